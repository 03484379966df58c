// Package hostgo serves and calls RPCs over net/http with the rules of the
// Connect, gRPC and gRPC-Web protocols taken from an embedded WebAssembly module.
// The package owns sockets, deadlines and messages; the module decides what a
// request means and what goes on the wire:
//
//	net/http request -> records -> module (wazero) -> events -> handler
//	net/http response <- events <- module (wazero) <- records <- handler
//
// # Servers
//
// A server is a [Handler] made of procedures:
//
//	greet := hostgo.Unary("/greet.v1.GreetService/Greet",
//		func(ctx context.Context, call *hostgo.Call, req *greetv1.GreetRequest) (*greetv1.GreetResponse, error) {
//			return &greetv1.GreetResponse{Greeting: "Hello, " + req.GetName()}, nil
//		})
//	handler, err := hostgo.NewHandler(nil, greet)
//	...
//	http.ListenAndServe("127.0.0.1:8080", handler)
//
// [Unary], [ClientStream], [ServerStream] and [BidiStream] make procedures for
// generated messages. A peer chooses the protocol, the codec and the compression
// with each call. gRPC needs HTTP/2, or trailers over HTTP/1.1, which few of its
// clients take; without TLS that is [http.Protocols.SetUnencryptedHTTP2].
//
// [HandlerOptions] has limits, the protocols to serve, a hook for unexpected errors
// and an access log.
//
// # Clients
//
// A client is a [Client] for one base URL. It speaks one protocol:
//
//	client, err := hostgo.NewClient("http://127.0.0.1:8080", &hostgo.ClientOptions{Protocol: hostgo.ProtocolGRPC})
//	...
//	err = client.Unary(ctx, "/greet.v1.GreetService/Greet", request, response)
//
// [Client.ServerStream], [Client.ClientStream] and [Client.BidiStream] begin a
// [Stream]. A context's deadline goes to the server with the call, and its end ends
// the call. Calls fail with an [Error].
//
// # Proxies
//
// Payloads can stay bytes: [Call.ReceiveBytes], [Call.SendBytes], [Client.Stream]
// with any [StreamType], [Stream.ReceiveBytes] and [Stream.SendBytes] know no message
// types. The example of [Client.Stream] is a proxy.
//
// # The module
//
// It is compiled once a process, at first use ([Default]), and runs in a pool of
// instances, one owner at a time. [Load] says where the compiled code is kept, so
// that later processes start at once. An instance that fails is dropped; its calls
// end with an error that the module chooses, the others go on. [Module.Stats]
// counts. The instances keep something for each handler and client, until that is
// closed or forgotten. The compressions br and zstd have a module of their own,
// which is compiled when one is first used, or by [Module.LoadCodings].
package hostgo
