package hostgo

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

const echoPath = "/test.v1.Test/Echo"

func echo(_ context.Context, _ *Call, request *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	return wrapperspb.String("echo " + request.GetValue()), nil
}

func TestUnary(t *testing.T) {
	h, err := NewHandler(nil, Unary(echoPath, echo, NoSideEffects()))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	client, err := NewClient(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var response wrapperspb.StringValue
	for _, options := range [][]CallOption{nil, {WithGet()}} {
		response.Reset()
		if err := client.Unary(ctx, echoPath, wrapperspb.String("one"), &response, options...); err != nil {
			t.Fatal(err)
		}
		if got, want := response.GetValue(), "echo one"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// echoBytes gives back payloads as they are.
var echoBytes = Procedure{Path: "/test.v1.Test/EchoBytes", Type: StreamTypeUnary,
	Serve: func(_ context.Context, call *Call) error {
		payload, err := call.ReceiveBytes()
		if err != nil {
			return err
		}
		return call.SendBytes(payload)
	}}
