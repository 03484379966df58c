package main

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

func connectGo(url string, how *speech) (caller, error) {
	transport := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(how.HTTP == "1.1")
	transport.Protocols.SetUnencryptedHTTP2(how.HTTP == "2")
	httpClient := &http.Client{Transport: transport}
	// A coding that is not offered is not left to the library's default.
	options := []connect.ClientOption{connect.WithAcceptCompression("gzip", nil, nil)}
	switch how.Protocol {
	case "grpc":
		options = append(options, connect.WithGRPC())
	case "grpc-web":
		options = append(options, connect.WithGRPCWeb())
	}
	if how.JSON {
		options = append(options, connect.WithProtoJSON())
	}
	if how.Get {
		options = append(options, connect.WithHTTPGet(), connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	}
	if how.Coding != "" {
		options = append(options, connect.WithSendCompression(how.Coding), connect.WithAcceptCompression(how.Coding,
			func() connect.Decompressor { return &countedReader{} },
			func() connect.Compressor { return &countedWriter{Writer: gzip.NewWriter(io.Discard)} }))
	}
	return func(ctx context.Context, one *asked, arrived func()) *result {
		own := options
		if one.Procedure != "safe" && how.Get {
			own = append(own, connect.WithIdempotency(connect.IdempotencyUnknown))
		}
		return connectCall(ctx, connect.NewClient[text, text](httpClient, url+one.path(), own...), one, arrived)
	}, nil
}

func connectCall(ctx context.Context, client *connect.Client[text, text], one *asked, arrived func()) *result {
	answer := newResult()
	got := func(m *text) {
		answer.Responses = append(answer.Responses, m.GetValue())
		arrived()
	}
	header, trailer := http.Header{}, http.Header{}
	ask := func(fields http.Header) {
		for name, value := range one.Metadata {
			fields.Set(name, value)
		}
	}
	var err error
	switch one.Procedure {
	case "client":
		stream := client.CallClientStream(ctx)
		ask(stream.RequestHeader())
		for _, value := range one.Requests {
			if stream.Send(wrapperspb.String(value)) != nil {
				break // CloseAndReceive says why
			}
		}
		var response *connect.Response[text]
		if response, err = stream.CloseAndReceive(); err == nil {
			got(response.Msg)
			header, trailer = response.Header(), response.Trailer()
		}
	case "server":
		request := connect.NewRequest(wrapperspb.String(one.Requests[0]))
		ask(request.Header())
		var stream *connect.ServerStreamForClient[text]
		if stream, err = client.CallServerStream(ctx, request); err == nil {
			for stream.Receive() {
				got(stream.Msg())
			}
			err = stream.Err()
			header, trailer = stream.ResponseHeader(), stream.ResponseTrailer()
			_ = stream.Close()
		}
	case "bidi":
		stream := client.CallBidiStream(ctx)
		// net/http notices a canceled context only when it has something to send.
		stop := context.AfterFunc(ctx, func() { _ = stream.CloseRequest() })
		defer stop()
		ask(stream.RequestHeader())
		err = converse(one, func(value string) error { return stream.Send(wrapperspb.String(value)) }, stream.CloseRequest,
			func() error {
				m, err := stream.Receive()
				if err == nil {
					got(m)
				}
				return err
			})
		header, trailer = stream.ResponseHeader(), stream.ResponseTrailer()
		_ = stream.CloseResponse()
	default:
		request := connect.NewRequest(wrapperspb.String(one.Requests[0]))
		ask(request.Header())
		var response *connect.Response[text]
		if response, err = client.CallUnary(ctx, request); err == nil {
			got(response.Msg)
			header, trailer = response.Header(), response.Trailer()
		}
	}
	if err == nil {
		note(answer.Header, header, connect.DecodeBinaryHeader)
		note(answer.Trailer, trailer, connect.DecodeBinaryHeader)
		return answer
	}
	answer.Error = &failure{Code: connect.CodeOf(err).String(), Details: [][2]string{}, Metadata: map[string]string{}}
	var e *connect.Error
	if errors.As(err, &e) {
		answer.Error.Message = e.Message()
		note(answer.Error.Metadata, e.Meta(), connect.DecodeBinaryHeader)
		for _, detail := range e.Details() {
			answer.Error.Details = append(answer.Error.Details,
				[2]string{detail.Type(), base64.StdEncoding.EncodeToString(detail.Bytes())})
		}
	}
	return answer
}

// converse sends the requests of a bidi stream and receives what comes: one
// after the other, or all requests first.
func converse(one *asked, send func(string) error, closeSend func() error, receive func() error) error {
	for _, value := range one.Requests {
		if send(value) != nil {
			break // receive says why
		}
		if one.Conversation || one.Sleeps {
			if err := receive(); err != nil {
				return err
			}
		}
	}
	if err := closeSend(); err != nil {
		return err
	}
	for {
		if err := receive(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

type countedReader struct{ gzip.Reader }

func (r *countedReader) Reset(from io.Reader) error {
	used.decompressed.Add(1)
	return r.Reader.Reset(from)
}

type countedWriter struct{ *gzip.Writer }

func (w *countedWriter) Close() error {
	used.compressed.Add(1)
	return w.Writer.Close()
}
