package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
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
	client, err := c.client(request)
	if err != nil {
		return none, err
	}
	defer client.Close()
	t, ok := streamTypes[request.EnumName("stream_type")]
	if !ok {
		return none, fmt.Errorf("unknown stream type %s", request.EnumName("stream_type"))
	}
	var messages []gosuite.Message
	for _, packed := range request.List("request_messages") {
		message, err := c.suite.Unpack(packed)
		if err != nil {
			return none, err
		}
		messages = append(messages, message)
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
	r := round{caller: c, request: request, messages: messages, result: c.suite.New("ClientResponseResult"),
		procedure: "/" + request.String("service") + "/" + request.String("method"), options: options}
	ctx, r.cancel = context.WithCancel(ctx)
	defer r.cancel()
	var failure error
	if t == hostgo.StreamTypeUnary {
		failure = r.unary(ctx, client)
	} else {
		failure = r.stream(ctx, client, t)
	}
	gosuite.AddFrom(r.result, "response_headers", &header)
	gosuite.AddFrom(r.result, "response_trailers", &trailer)
	if failure != nil && !errors.Is(failure, io.EOF) {
		return r.result, c.describe(r.result.Mutable("error"), failure)
	}
	return r.result, nil
}

var streamTypes = map[string]hostgo.StreamType{
	"STREAM_TYPE_UNARY":                   hostgo.StreamTypeUnary,
	"STREAM_TYPE_CLIENT_STREAM":           hostgo.StreamTypeClient,
	"STREAM_TYPE_SERVER_STREAM":           hostgo.StreamTypeServer,
	"STREAM_TYPE_HALF_DUPLEX_BIDI_STREAM": hostgo.StreamTypeBidi,
	fullDuplex:                            hostgo.StreamTypeBidi,
}

const fullDuplex = "STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM"

// round is one call under way.
type round struct {
	*caller
	request, result gosuite.Message
	messages        []gosuite.Message
	procedure       string
	options         []hostgo.CallOption
	cancel          context.CancelFunc
	received        uint64
}

// cancelAfter cancels the call so many milliseconds after the last request was
// sent, if that is asked for.
func (r *round) cancelAfter() {
	timing := r.request.Message("cancel")
	if r.request.Has("cancel") && !timing.Has("before_close_send") && !timing.Has("after_num_responses") {
		time.AfterFunc(time.Duration(timing.Uint("after_close_send_ms"))*time.Millisecond, r.cancel)
	}
}

func (r *round) unary(ctx context.Context, client *hostgo.Client) error {
	if len(r.messages) != 1 {
		return fmt.Errorf("a unary call with %d messages", len(r.messages))
	}
	r.cancelAfter()
	response := r.response()
	failure := client.Unary(ctx, r.procedure, r.messages[0].Proto(), response.Proto(), r.options...)
	if failure == nil {
		r.add(response)
	}
	return failure
}

func (r *round) response() gosuite.Message {
	return r.suite.New(r.request.String("method") + "Response")
}

func (r *round) add(response gosuite.Message) {
	if r.request.String("method") != "Unimplemented" {
		r.result.AppendMessage("payloads", response.Mutable("payload"))
	}
	if r.received++; r.received == r.request.Message("cancel").Uint("after_num_responses") {
		r.cancel()
	}
}

func (r *round) stream(ctx context.Context, client *hostgo.Client, t hostgo.StreamType) error {
	stream, err := client.Stream(ctx, t, r.procedure, r.options...)
	if err != nil {
		return err
	}
	defer stream.Close()
	for i, message := range r.messages {
		time.Sleep(time.Duration(r.request.Uint("request_delay_ms")) * time.Millisecond)
		if err := stream.Send(message.Proto()); errors.Is(err, io.EOF) {
			r.result.Set("num_unsent_requests", int32(len(r.messages)-i))
			break
		} else if err != nil {
			return err
		}
		if r.request.EnumName("stream_type") != fullDuplex {
			continue
		}
		if err := r.receive(stream); err != nil {
			return err
		}
	}
	if r.request.Message("cancel").Has("before_close_send") {
		r.cancel()
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	r.cancelAfter()
	for err == nil {
		err = r.receive(stream)
	}
	return err
}

func (r *round) receive(stream *hostgo.Stream) error {
	response := r.response()
	err := stream.Receive(response.Proto())
	if err == nil {
		r.add(response)
	}
	return err
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
	switch _, name, _ := strings.Cut(strings.ToLower(request.EnumName("compression")), "_"); name {
	case "identity", "unspecified":
	default:
		options.Codings, options.SendCoding = []string{name}, name
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
	transport := &http.Transport{DisableCompression: true, Protocols: &http.Protocols{}}
	switch key.version {
	case "HTTP_VERSION_1":
		transport.Protocols.SetHTTP1(true)
		// A call that is canceled closes its connection, and net/http may have
		// given that to the next call by then: such calls keep none.
		transport.DisableKeepAlives = key.mayCancel
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
