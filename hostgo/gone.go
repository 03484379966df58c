package hostgo

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/connectcore/connectcore/wasm/abi"
)

// goneFor says in the module's words why a response, or the rest of it, does not
// come. response is nil if no head of it came.
func goneFor(err error, response *http.Response) (reason, code uint32) {
	err = withoutURL(err)
	if isTooLarge(err.Error()) {
		return abi.GoneLarge, 0
	}
	if code, ok := unrepeated(err.Error()); ok {
		return abi.GoneReset, code
	}
	var stream streamError
	if errors.As(err, &stream) {
		if stream.Cause != nil && stream.Cause.Error() == "received from peer" {
			return abi.GoneReset, stream.Code
		}
		return abi.GoneBroken, 0 // net/http reset the stream, for what came
	}
	var outage net.Error
	switch {
	case errors.As(err, &outage):
		if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
			return abi.GoneRefused, 0
		}
		return abi.GoneClosed, 0
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return abi.GoneClosed, 0
	case response != nil && response.ProtoMajor == 1 || isMalformed(err.Error()):
		return abi.GoneBroken, 0
	}
	return abi.GoneClosed, 0
}

// isMalformed says whether a text of net/http's transport tells that what came
// is not HTTP. Its errors of that kind have no common type.
func isMalformed(text string) bool {
	return strings.Contains(text, "malformed") ||
		strings.HasPrefix(text, "net/http: HTTP/1.x transport connection broken: ") ||
		strings.HasPrefix(text, "http2: failed reading the frame payload: ") ||
		strings.HasPrefix(text, "connection error: ") // also of HTTP/2's frames
}

// isTooLarge says whether such a text tells that the response has more fields than the
// transport takes.
func isTooLarge(text string) bool {
	return strings.Contains(text, "server response headers exceeded ") ||
		strings.HasSuffix(text, "response header list larger than advertised limit") ||
		strings.HasSuffix(text, "suspiciously long trailer after chunked body")
}

// unrepeated gives the code of a reset, of which such a text tells if net/http would
// make the request again, but cannot repeat its content.
func unrepeated(text string) (code uint32, ok bool) {
	if strings.HasPrefix(text, "http2: Transport: cannot retry err [stream error: ") {
		for name, code := range map[string]uint32{"PROTOCOL_ERROR": 1, "REFUSED_STREAM": 7} {
			if strings.Contains(text, "; "+name+"; received from peer]") {
				return code, true
			}
		}
	}
	return 0, false
}

// withoutURL takes off what http.Client says of the request.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// streamError has the shape of net/http's own error for an HTTP/2 stream that
// was reset, which lets itself be copied into it.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream reset" }
