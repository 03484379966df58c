package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/connectcore/connectcore/hostgo"
	"github.com/connectcore/connectcore/tests/conformance/gosuite"
)

// caller makes the calls that the runner asks for.
type caller struct {
	suite  *gosuite.Suite
	module *hostgo.Module
	http   sync.Map // *http.Client by connection
}

// connection is what calls have to have in common to share connections.
type connection struct {
	version, trusted, certificate, key string
	mayCancel                          bool
}

// call makes one call. An error means that it could not be made as asked; how
// the RPC ended stands in the result.
func (c *caller) call(ctx context.Context, request gosuite.Message) (gosuite.Message, error) {
	var none gosuite.Message
	if t := request.EnumName("stream_type"); t != "STREAM_TYPE_UNARY" {
		return none, fmt.Errorf("%s: this client makes unary calls", t)
	}
	client, err := c.client(request)
	if err != nil {
		return none, err
	}
	messages := request.List("request_messages")
	if len(messages) != 1 {
		return none, fmt.Errorf("a unary call with %d messages", len(messages))
	}
	message, err := c.suite.Unpack(messages[0])
	if err != nil {
		return none, err
	}
	var metadata, header, trailer hostgo.Metadata
	if err := gosuite.AddTo(&metadata, request.List("request_headers")); err != nil {
		return none, err
	}
	options := []hostgo.CallOption{hostgo.WithMetadata(metadata), hostgo.ReceiveMetadata(&header, &trailer)}
	if request.Bool("use_get_http_method") {
		options = append(options, hostgo.WithGet())
	}
	if request.Has("timeout_ms") {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(request.Uint("timeout_ms"))*time.Millisecond)
		defer cancel()
	}
	if request.Has("cancel") {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		after := time.Duration(request.Message("cancel").Uint("after_close_send_ms")) * time.Millisecond
		defer time.AfterFunc(after, cancel).Stop()
	}
	method := request.String("method")
	response := c.suite.New(method + "Response")
	failure := client.Unary(ctx, "/"+request.String("service")+"/"+method, message.Proto(), response.Proto(), options...)

	result := c.suite.New("ClientResponseResult")
	gosuite.AddFrom(result, "response_headers", &header)
	gosuite.AddFrom(result, "response_trailers", &trailer)
	if failure != nil {
		return result, c.describe(result.Mutable("error"), failure)
	}
	if method != "Unimplemented" {
		result.AppendMessage("payloads", response.Mutable("payload"))
	}
	return result, nil
}

// describe fills the suite's Error.
func (c *caller) describe(m gosuite.Message, failure error) error {
	e, ok := errors.AsType[*hostgo.Error](failure)
	if !ok {
		return fmt.Errorf("a call failed with something that is no RPC error: %w", failure)
	}
	m.SetEnum("code", int(e.Code))
	m.Set("message", e.Message)
	for _, detail := range e.Details {
		m.AppendMessage("details", c.suite.PackRaw(detail.Type, detail.Value))
	}
	return nil
}

func (c *caller) client(request gosuite.Message) (*hostgo.Client, error) {
	httpClient, err := c.httpClient(request)
	if err != nil {
		return nil, err
	}
	options := hostgo.ClientOptions{HTTPClient: httpClient, Module: c.module, Codings: []string{}, CompressMin: -1,
		ReadMax: int(request.Uint("message_receive_limit"))}
	if options.ReadMax == 0 {
		options.ReadMax = 1<<31 - 1 // the suite expects no limit where it names none
	}
	switch protocol := request.EnumName("protocol"); protocol {
	case "PROTOCOL_CONNECT":
		options.Protocol = hostgo.ProtocolConnect
	case "PROTOCOL_GRPC":
		options.Protocol = hostgo.ProtocolGRPC
	case "PROTOCOL_GRPC_WEB":
		options.Protocol = hostgo.ProtocolGRPCWeb
	default:
		return nil, fmt.Errorf("unknown protocol %s", protocol)
	}
	codecs := c.suite.Codecs()
	switch codec := request.EnumName("codec"); codec {
	case "CODEC_PROTO":
		options.Codec = codecs[0]
	case "CODEC_JSON":
		options.Codec = codecs[1]
	default:
		return nil, fmt.Errorf("unknown codec %s", codec)
	}
	switch compression := request.EnumName("compression"); compression {
	case "COMPRESSION_IDENTITY", "COMPRESSION_UNSPECIFIED":
	case "COMPRESSION_GZIP":
		options.Codings, options.SendCoding = []string{"gzip"}, "gzip"
	default:
		return nil, fmt.Errorf("%s is not a compression that this client has", compression)
	}
	scheme := "http://"
	if len(request.Bytes("server_tls_cert")) > 0 {
		scheme = "https://"
	}
	host := net.JoinHostPort(request.String("host"), strconv.FormatUint(request.Uint("port"), 10))
	return hostgo.NewClient(scheme+host, &options)
}

func (c *caller) httpClient(request gosuite.Message) (*http.Client, error) {
	creds := request.Message("client_tls_creds")
	key := connection{request.EnumName("http_version"), string(request.Bytes("server_tls_cert")),
		string(creds.Bytes("cert")), string(creds.Bytes("key")), request.Has("cancel") || request.Has("timeout_ms")}
	if client, ok := c.http.Load(key); ok {
		return client.(*http.Client), nil
	}
	// A call that is canceled closes its connection, and net/http may have
	// given that to the next call by then: such calls keep none.
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: key.mayCancel, Protocols: &http.Protocols{}}
	switch key.version {
	case "HTTP_VERSION_1":
		transport.Protocols.SetHTTP1(true)
	case "HTTP_VERSION_2":
		transport.Protocols.SetHTTP2(true)
		transport.Protocols.SetUnencryptedHTTP2(true)
	default:
		return nil, fmt.Errorf("%s is not carried by net/http", key.version)
	}
	if key.trusted != "" {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(key.trusted)) {
			return nil, errors.New("the server's certificate is not PEM")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		if key.certificate != "" {
			certificate, err := tls.X509KeyPair([]byte(key.certificate), []byte(key.key))
			if err != nil {
				return nil, fmt.Errorf("the client's certificate: %w", err)
			}
			transport.TLSClientConfig.Certificates = []tls.Certificate{certificate}
		}
	}
	client, _ := c.http.LoadOrStore(key, &http.Client{Transport: transport})
	return client.(*http.Client), nil
}
