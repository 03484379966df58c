package core

import (
	"slices"
	"testing"
)

// TestCORSFields: what connect-es, connect-go's package cors and grpc-web's client
// name, of the protocols that a page can speak.
func TestCORSFields(t *testing.T) {
	request := []string{
		"content-type", "connect-protocol-version", "connect-timeout-ms", "content-encoding", "accept-encoding",
		"connect-content-encoding", "connect-accept-encoding", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding",
		"x-grpc-web", "x-user-agent",
	}
	response := []string{
		"grpc-status", "grpc-message", "grpc-status-details-bin", "content-encoding", "accept-encoding",
		"connect-content-encoding", "connect-accept-encoding", "grpc-encoding", "grpc-accept-encoding",
	}
	if got := CORSRequestFields(); !slices.Equal(got, request) {
		t.Errorf("of requests: %q", got)
	}
	if got := CORSResponseFields(); !slices.Equal(got, response) {
		t.Errorf("of responses: %q", got)
	}
	if got := CORSMethods(); !slices.Equal(got, []string{"GET", "POST"}) {
		t.Errorf("methods: %q", got)
	}
}
