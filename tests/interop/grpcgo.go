package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // the server understands it
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TheirsGRPC is the same service on a server of grpc-go's.
func TheirsGRPC() *grpc.Server {
	return grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) (err error) {
		// grpc-go does not recover from panics by itself.
		defer func() {
			if recover() != nil {
				err = status.Error(codes.Unknown, "panic")
			}
		}()
		return serveGRPC(stream)
	}))
}

// serveGRPC serves a call of any procedure.
func serveGRPC(stream grpc.ServerStream) error {
	ctx := stream.Context()
	if err := errors.Join(metadataGRPC(ctx), stream.SendHeader(nil)); err != nil {
		return err
	}
	do := func(ask string) (string, error) {
		return act(ctx, http.MethodPost, ask, func() error {
			stream.SetTrailer(metadata.Pairs("x-error", "why"))
			return failureGRPC()
		})
	}
	answer := func(ask string) error {
		said, err := do(ask)
		if err != nil {
			return err
		}
		return stream.SendMsg(wrapperspb.String(said))
	}
	path, _ := grpc.MethodFromServerStream(stream)
	switch path {
	case unaryPath, safePath, clientPath, serverPath, bidiPath:
	default:
		return status.Error(codes.Unimplemented, "no such procedure")
	}
	var all []string
	for {
		var m text
		if err := stream.RecvMsg(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		switch all = append(all, m.GetValue()); path {
		case serverPath:
			for i := range answers(&m) {
				if err := stream.SendMsg(wrapperspb.String(fmt.Sprintf("%s %d", m.GetValue(), i))); err != nil {
					return err
				}
			}
			if _, err := do(m.GetValue()); err != nil {
				return err
			}
		case unaryPath, safePath, bidiPath:
			if err := answer(m.GetValue()); err != nil {
				return err
			}
		}
	}
	if path == clientPath {
		return answer(strings.Join(all, "+"))
	}
	return nil
}

// metadataGRPC answers the peer's metadata with metadata of both kinds.
func metadataGRPC(ctx context.Context) error {
	asked, _ := metadata.FromIncomingContext(ctx)
	lead, trail := metadata.MD{}, metadata.MD{}
	for from, to := range map[string]string{"x-ask": "", "x-ask-bin": "-bin"} {
		if values := asked.Get(from); len(values) > 0 {
			lead.Set("x-lead"+to, values...)
			trail.Set("x-trail"+to, values...)
		}
	}
	return errors.Join(grpc.SetTrailer(ctx, trail), grpc.SetHeader(ctx, lead))
}

func failureGRPC() error {
	s, err := status.New(codes.FailedPrecondition, "not now: é").WithDetails(protoadapt.MessageV1Of(wrapperspb.Int64(42)))
	if err != nil {
		return err
	}
	return s.Err()
}
