package main

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func grpcGo(url string, how *speech) (caller, error) {
	options := []grpc.CallOption{}
	if how.JSON {
		encoding.RegisterCodec(jsonCodec{})
		options = append(options, grpc.CallContentSubtype("json"))
	}
	if how.Coding != "" {
		encoding.RegisterCompressor(counted{})
		options = append(options, grpc.UseCompressor(how.Coding))
	}
	conn, err := grpc.NewClient(strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(options...))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, one *asked, arrived func()) *result {
		answer := newResult()
		header, trailer, err := grpcCall(ctx, conn, one, func(value string) {
			answer.Responses = append(answer.Responses, value)
			arrived()
		})
		if err == nil {
			note(answer.Header, header, bare)
			note(answer.Trailer, trailer, bare)
			return answer
		}
		told := status.Convert(err)
		answer.Error = &failure{codeName(told.Code()), told.Message(), [][2]string{}, map[string]string{}}
		note(answer.Error.Metadata, header, bare)
		note(answer.Error.Metadata, trailer, bare)
		for _, detail := range told.Proto().GetDetails() {
			_, name, _ := strings.Cut(detail.GetTypeUrl(), "/")
			answer.Error.Details = append(answer.Error.Details, [2]string{name, base64.StdEncoding.EncodeToString(detail.GetValue())})
		}
		return answer
	}, nil
}

func grpcCall(ctx context.Context, conn *grpc.ClientConn, one *asked, got func(string)) (header, trailer metadata.MD, err error) {
	for name, value := range one.Metadata {
		if strings.HasSuffix(name, "-bin") {
			data, err := base64.RawStdEncoding.DecodeString(value)
			if err != nil {
				return nil, nil, err
			}
			value = string(data)
		}
		ctx = metadata.AppendToOutgoingContext(ctx, name, value)
	}
	streams := grpc.StreamDesc{
		ClientStreams: one.Procedure == "client" || one.Procedure == "bidi",
		ServerStreams: one.Procedure == "server" || one.Procedure == "bidi",
	}
	if !streams.ClientStreams && !streams.ServerStreams {
		response := new(wrapperspb.StringValue)
		err := conn.Invoke(ctx, one.path(), wrapperspb.String(one.Requests[0]), response, grpc.Header(&header), grpc.Trailer(&trailer))
		if err == nil {
			got(response.GetValue())
		}
		return header, trailer, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, &streams, one.path())
	if err != nil {
		return nil, nil, err
	}
	receive := func() error {
		response := new(wrapperspb.StringValue)
		err := stream.RecvMsg(response)
		if err == nil {
			got(response.GetValue())
		}
		return err
	}
	send := func(value string) error { return stream.SendMsg(wrapperspb.String(value)) }
	if streams.ServerStreams {
		err = converse(one, send, stream.CloseSend, receive)
	} else {
		for _, value := range one.Requests {
			if send(value) != nil {
				break // receive says why
			}
		}
		if err = stream.CloseSend(); err == nil {
			err = receive()
		}
	}
	header, _ = stream.Header()
	return header, stream.Trailer(), err
}

func bare(value string) ([]byte, error) { return []byte(value), nil }

// codeName is a code as Connect writes it.
func codeName(code codes.Code) string {
	if code == codes.Canceled {
		return "canceled"
	}
	var name strings.Builder
	for i, letter := range code.String() {
		if i > 0 && 'A' <= letter && letter <= 'Z' {
			name.WriteByte('_')
		}
		name.WriteRune(letter)
	}
	return strings.ToLower(name.String())
}

type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

func (jsonCodec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, errors.New("not a message")
	}
	return protojson.Marshal(m)
}

func (jsonCodec) Unmarshal(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return errors.New("not a message")
	}
	return protojson.Unmarshal(data, m)
}

// counted is gzip that counts how often it was used.
type counted struct{}

func (counted) Name() string { return "gzip" }

func (counted) Compress(to io.Writer) (io.WriteCloser, error) {
	used.compressed.Add(1)
	return gzip.NewWriter(to), nil
}

func (counted) Decompress(from io.Reader) (io.Reader, error) {
	used.decompressed.Add(1)
	return gzip.NewReader(from)
}
