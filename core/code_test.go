package core

import "testing"

func TestCodeTable(t *testing.T) {
	for _, c := range []struct {
		code   Code
		number uint32
		name   string
		status int
	}{
		{Canceled, 1, "canceled", 499},
		{Unknown, 2, "unknown", 500},
		{InvalidArgument, 3, "invalid_argument", 400},
		{DeadlineExceeded, 4, "deadline_exceeded", 504},
		{NotFound, 5, "not_found", 404},
		{AlreadyExists, 6, "already_exists", 409},
		{PermissionDenied, 7, "permission_denied", 403},
		{ResourceExhausted, 8, "resource_exhausted", 429},
		{FailedPrecondition, 9, "failed_precondition", 400},
		{Aborted, 10, "aborted", 409},
		{OutOfRange, 11, "out_of_range", 400},
		{Unimplemented, 12, "unimplemented", 501},
		{Internal, 13, "internal", 500},
		{Unavailable, 14, "unavailable", 503},
		{DataLoss, 15, "data_loss", 500},
		{Unauthenticated, 16, "unauthenticated", 401},
	} {
		if uint32(c.code) != c.number || c.code.String() != c.name || c.code.HTTPStatus() != c.status || !c.code.Valid() {
			t.Errorf("%s: number %d, name %q, status %d", c.name, c.code, c.code.String(), c.code.HTTPStatus())
		}
		if got, ok := CodeByName([]byte(c.name)); !ok || got != c.code {
			t.Errorf("%s: CodeByName says %d, %v", c.name, got, ok)
		}
	}
	if OK.String() != "ok" || OK.HTTPStatus() != 200 || !OK.Valid() {
		t.Errorf("ok: %q, %d", OK.String(), OK.HTTPStatus())
	}
	for _, c := range []struct {
		code Code
		name string
	}{{17, "code_17"}, {100, "code_100"}, {^Code(0), "code_4294967295"}} {
		if c.code.String() != c.name || c.code.HTTPStatus() != 500 || c.code.Valid() {
			t.Errorf("%s: %q, %d", c.name, c.code.String(), c.code.HTTPStatus())
		}
	}
}

func TestCodeByNameIsExact(t *testing.T) {
	for _, name := range []string{"", "ok", "OK", "CANCELED", "Canceled", "cancelled", "not found", "not-found", "internal ", "unknown\x00", "code_2", "2"} {
		if c, ok := CodeByName([]byte(name)); ok {
			t.Errorf("%q is taken for %v", name, c)
		}
	}
}

func TestCodeOfHTTPStatus(t *testing.T) {
	for _, c := range []struct {
		status int
		code   Code
	}{
		{400, Internal}, {401, Unauthenticated}, {403, PermissionDenied}, {404, Unimplemented},
		{429, Unavailable}, {502, Unavailable}, {503, Unavailable}, {504, Unavailable},
		// All others, those of the code table included: it is not to be read backwards.
		{-1, Unknown}, {0, Unknown}, {200, Unknown}, {204, Unknown}, {302, Unknown}, {405, Unknown},
		{408, Unknown}, {409, Unknown}, {412, Unknown}, {413, Unknown}, {415, Unknown}, {418, Unknown},
		{431, Unknown}, {499, Unknown}, {500, Unknown}, {501, Unknown}, {505, Unknown}, {800, Unknown},
	} {
		if got := CodeOfHTTPStatus(c.status); got != c.code {
			t.Errorf("%d: %v", c.status, got)
		}
	}
}
