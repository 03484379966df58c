package interop

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectcore/connectcore/hostgo"
)

// ownWords stands for a text that no server said.
const ownWords = "(its own)"

// What a caller sees of a call, of our client and of the peers'.

// seen is what a caller is told, in the words of no library.
type seen struct {
	messages []string
	code     string
	text     string   // of the error
	details  []string // of the error
	fields   []string // leading and trailing metadata, in which ever way it is given
}

func (s *seen) answered() answered {
	code := strings.ReplaceAll(s.code, " ", "_")
	if strings.HasPrefix(code, "code_") {
		code = "unknown" // connect-go gives numbers that are no codes
	}
	text := s.text
	if text != "" && text != saidText && text != rawText {
		text = ownWords
	}
	slices.Sort(s.fields)
	list := strings.Join(s.messages, ",")
	return answered{messages: list, code: code, text: text, details: strings.Join(s.details, " "), fields: strings.Join(slices.Compact(s.fields), " ")}
}

// add adds the fields of the tests' own, values of bytes decoded.
func (s *seen) add(name, value string, decode bool) {
	if name = strings.ToLower(name); !strings.HasPrefix(name, "x-") {
		return
	}
	if decode && strings.HasSuffix(name, "-bin") {
		if b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "=")); err == nil {
			value = string(b)
		}
	}
	s.fields = append(s.fields, fmt.Sprintf("%s=%.20q", name, value))
}

// caller makes a call of a form, for a response that comes at a moment.
type caller func(t *testing.T, f *form, m moment) answered

// sendsAll says whether a call with many requests has sent all of them, and said
// so, before it receives.
func (m moment) sendsAll() bool { return m == late || m == split }

// converseAt makes a call with many requests, of which it sends two at most. It
// receives until receive says that no message is left.
func converseAt(m moment, f *form, send func(string) error, closeSend func() error, receive func() (more bool)) {
	switch {
	case f.target == clientPath || m.sendsAll():
		_ = errors.Join(send("a"), send("b"), closeSend()) // receiving says why they fail
		for receive() {
		}
	default:
		_ = send("a")
		if m == talk && receive() {
			_ = send("b")
		}
		for receive() {
		}
		_ = closeSend()
	}
}

func ourCaller(t *testing.T, url string, httpClient *http.Client) caller {
	clients := map[string]*hostgo.Client{}
	return func(t *testing.T, f *form, m moment) answered {
		client := clients[f.contentType]
		if client == nil {
			options := hostgo.ClientOptions{HTTPClient: httpClient, ReadMax: readMax, Protocol: hostgo.ProtocolConnect}
			if f.isWeb() {
				options.Protocol = hostgo.ProtocolGRPCWeb
			} else if f.grpc() {
				options.Protocol = hostgo.ProtocolGRPC
			}
			if options.Codec = hostgo.ProtoCodec(); f.json() {
				options.Codec = hostgo.JSONCodec(nil)
			}
			client = ownClient(t, url, options)
			clients[f.contentType] = client
		}
		s, err := ourCall(t, client, f, m)
		s.code = "ok"
		if err != nil {
			s.code = hostgo.CodeOf(err).String()
		}
		if e, ok := errors.AsType[*hostgo.Error](err); ok {
			s.text = e.Message
			for _, detail := range e.Details {
				s.details = append(s.details, fmt.Sprintf("%s:%x", detail.Type, detail.Value))
			}
			s.addOurs(e.Metadata)
		}
		return s.answered()
	}
}

func (s *seen) addOurs(all ...hostgo.Metadata) {
	for _, m := range all {
		for name, value := range m.All() {
			s.add(name, value, false)
		}
		for name, value := range m.AllBinary() {
			s.add(name, string(value), false)
		}
	}
}

func ourCall(t *testing.T, client *hostgo.Client, f *form, m moment) (s seen, err error) {
	switch f.target {
	case unaryPath:
		var response text
		var header, trailer hostgo.Metadata
		if err = client.Unary(soon(t), unaryPath, wrapperspb.String("x"), &response, hostgo.ReceiveMetadata(&header, &trailer)); err == nil {
			s.messages = []string{response.GetValue()}
		}
		s.addOurs(header, trailer)
		return s, err
	case serverPath:
		stream, err := client.ServerStream(soon(t), serverPath, wrapperspb.String("x"))
		if err != nil {
			return s, err
		}
		s.messages, err = collect(stream)
		s.addOurs(stream.Header(), stream.Trailer())
		return s, err
	}
	kind := hostgo.StreamTypeBidi
	if f.target == clientPath {
		kind = hostgo.StreamTypeClient
	}
	stream, err := client.Stream(soon(t), kind, f.target)
	if err != nil {
		return s, err
	}
	defer stream.Close()
	converseAt(m, f, func(v string) error { return stream.Send(wrapperspb.String(v)) }, stream.CloseSend, func() bool {
		var response text
		if f.target == clientPath {
			err = stream.CloseAndReceive(&response)
		} else {
			err = stream.Receive(&response)
		}
		if err == nil {
			s.messages = append(s.messages, response.GetValue())
		}
		return err == nil && f.target != clientPath
	})
	if again := stream.Send(wrapperspb.String("c")); again == nil {
		t.Errorf("%s: a message was sent behind the end", f.name)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	s.addOurs(stream.Header(), stream.Trailer())
	return s, err
}

func connectGoCaller(url string, httpClient *http.Client) caller {
	return func(t *testing.T, f *form, m moment) answered {
		options := []connect.ClientOption{connect.WithReadMaxBytes(readMax)}
		if f.isWeb() {
			options = append(options, connect.WithGRPCWeb())
		} else if f.grpc() {
			options = append(options, connect.WithGRPC())
		}
		if f.json() {
			options = append(options, connect.WithProtoJSON())
		}
		s, err := connectGoCall(soon(t), connect.NewClient[text, text](httpClient, url+f.target, options...), f, m)
		s.code = "ok"
		if err != nil {
			s.code = connect.CodeOf(err).String()
		}
		if e, ok := errors.AsType[*connect.Error](err); ok {
			s.text = e.Message()
			for _, detail := range e.Details() {
				s.details = append(s.details, fmt.Sprintf("%s:%x", detail.Type(), detail.Bytes()))
			}
			s.addHTTP(e.Meta())
		}
		return s.answered()
	}
}

func (s *seen) addHTTP(all ...http.Header) { addAll(s, true, all) }

func addAll[M ~map[string][]string](s *seen, decode bool, all []M) {
	for _, fields := range all {
		for name, values := range fields {
			for _, value := range values {
				s.add(name, value, decode)
			}
		}
	}
}

func connectGoCall(ctx context.Context, client *connect.Client[text, text], f *form, m moment) (s seen, err error) {
	switch f.target {
	case unaryPath:
		r, err := client.CallUnary(ctx, connect.NewRequest(wrapperspb.String("x")))
		if err == nil {
			s.messages = []string{r.Msg.GetValue()}
			s.addHTTP(r.Header(), r.Trailer())
		}
		return s, err
	case serverPath:
		stream, err := client.CallServerStream(ctx, connect.NewRequest(wrapperspb.String("x")))
		if err != nil {
			return s, err
		}
		for stream.Receive() {
			s.messages = append(s.messages, stream.Msg().GetValue())
		}
		err = stream.Err()
		_ = stream.Close()
		s.addHTTP(stream.ResponseHeader(), stream.ResponseTrailer())
		return s, err
	case clientPath:
		stream := client.CallClientStream(ctx)
		var r *connect.Response[text]
		nothing := func() error { return nil }
		converseAt(m, f, func(v string) error { return stream.Send(wrapperspb.String(v)) }, nothing, func() bool {
			if r, err = stream.CloseAndReceive(); err == nil {
				s.messages = []string{r.Msg.GetValue()}
				s.addHTTP(r.Header(), r.Trailer())
			}
			return false
		})
		return s, err
	}
	stream := client.CallBidiStream(ctx)
	converseAt(m, f, func(v string) error { return stream.Send(wrapperspb.String(v)) }, stream.CloseRequest, func() bool {
		var response *text
		if response, err = stream.Receive(); err == nil {
			s.messages = append(s.messages, response.GetValue())
		}
		return err == nil
	})
	_ = stream.CloseResponse()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	s.addHTTP(stream.ResponseHeader(), stream.ResponseTrailer())
	return s, err
}

func grpcGoCaller(t *testing.T, url string) caller {
	conn, err := grpc.NewClient(strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(readMax)), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func(t *testing.T, f *form, m moment) answered {
		s, err := grpcGoCall(soon(t), conn, f, m)
		told := status.Convert(err)
		s.code, s.text = "ok", told.Message()
		if told.Code() != codes.OK {
			s.code = connect.Code(told.Code()).String()
		}
		for _, detail := range told.Proto().GetDetails() {
			s.details = append(s.details, fmt.Sprintf("%s:%x", detail.GetTypeUrl()[strings.LastIndex(detail.GetTypeUrl(), "/")+1:], detail.GetValue()))
		}
		return s.answered()
	}
}

func (s *seen) addGRPC(all ...metadata.MD) { addAll(s, false, all) }

func grpcGoCall(ctx context.Context, conn *grpc.ClientConn, f *form, m moment) (s seen, err error) {
	if f.target == unaryPath {
		var response text
		var header, trailer metadata.MD
		err := conn.Invoke(ctx, unaryPath, wrapperspb.String("x"), &response, grpc.Header(&header), grpc.Trailer(&trailer))
		if err == nil {
			s.messages = []string{response.GetValue()}
		}
		s.addGRPC(header, trailer)
		return s, err
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: f.target != clientPath, ClientStreams: f.target != serverPath}, f.target)
	if err != nil {
		return s, err
	}
	receive := func() bool {
		var response text
		if err = stream.RecvMsg(&response); err == nil {
			s.messages = append(s.messages, response.GetValue())
		}
		return err == nil && f.target != clientPath
	}
	if f.target == serverPath {
		_ = errors.Join(stream.SendMsg(wrapperspb.String("x")), stream.CloseSend()) // receiving says why they fail
		for receive() {
		}
	} else {
		converseAt(m, f, func(v string) error { return stream.SendMsg(wrapperspb.String(v)) }, stream.CloseSend, receive)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if header, headerErr := stream.Header(); headerErr == nil {
		s.addGRPC(header)
	}
	s.addGRPC(stream.Trailer())
	return s, err
}
