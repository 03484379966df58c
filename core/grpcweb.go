package core

// gRPC-Web (PROTOCOL-WEB.md): not spoken yet. Its content types are known, so that
// they are not taken for those of another protocol.

var (
	grpcWeb     = dialect{protocol: ProtocolGRPCWeb, base: "grpc-web", bare: true, envelopes: true}
	grpcWebText = dialect{protocol: ProtocolGRPCWeb, base: "grpc-web-text", bare: true, envelopes: true, text: true}
)
