package interop

import (
	"slices"
	"strings"
)

// In what our client is meant to differ from the peers', each with its reason and
// the paragraph that decides.

func (g *generated) ends(names ...string) bool  { return slices.Contains(names, g.end) }
func (g *generated) heads(names ...string) bool { return slices.Contains(names, g.fields) }

// keeps says whether we have the error that the server sent.
func (g *generated) keeps() bool { return g.ours.code == "failed_precondition" }

// refused says whether we refuse the head, or find the server's error in it.
func (g *generated) refused() bool {
	return g.ours.code == "internal" || g.ends("an end in the head") && g.keeps()
}

func (g *generated) codes(ours, theirs string) bool {
	return g.ours.code == ours && strings.Contains(theirs, g.theirs.code)
}

// oneResponse says whether exactly one message has to come, in an envelope.
func (f *form) oneResponse() bool {
	return f.envelopes && (f.target == unaryPath || f.target == clientPath)
}

// has says whether all fields of the other are among these.
func (a *answered) has(other *answered) bool {
	for _, field := range strings.Fields(other.fields) {
		if !slices.Contains(strings.Fields(a.fields), field) {
			return false
		}
	}
	return true
}

const (
	allOf   = "messages code text fields"
	anError = "code text details fields"
)

// Differences from both peers.
var (
	capitals = difference{"a content type in capitals", "media types have no case", "RFC 9110, section 8.3.1", allOf,
		func(g *generated) bool {
			return g.heads("a type in capitals") && (g.theirs.code == "unknown" || g.ends("a reset"))
		}}
	severalMessages = difference{"another number of messages than the one that is wanted",
		"that there is a second one is known before its content is", "gRPC status codes, UNIMPLEMENTED: response cardinality violation", anError,
		func(g *generated) bool {
			return g.form.oneResponse() && (g.content != "a message" || strings.HasSuffix(g.end, "more behind it")) && g.ours.code == "unimplemented" && g.theirs.code != "ok"
		}}
	noText = difference{"an error that came without a text", "its user gets one: what the code means", "ours, rule 7", "text",
		func(g *generated) bool {
			return g.ours.text == ownWords && g.theirs.text == "" && g.theirs.code != "ok"
		}}
	noStatus = difference{"no status", "nothing says that the call ended well, or how: the response is malformed",
		"ours, rule 1; gRPC over HTTP/2, Responses: Trailers", "code text",
		func(g *generated) bool {
			none := g.ends("no end", "half an end", "half an end's prefix", "an end of nothing", "the end of the other protocol")
			return g.form.grpc() && (none && g.content == "nothing" || g.form.isPlain() && g.ends("an end of another flag", "a word")) &&
				g.codes("internal", "unknown")
		}}
	badStatus = difference{"a status that is not one of the numbers as they are written", "the code is not known, the text is",
		"gRPC over HTTP/2, Responses: Status; gRPC status codes", "code text",
		func(g *generated) bool {
			return g.form.grpc() && (strings.HasPrefix(g.end, "a status of ") || g.ends("an error without a code", "an end that is malformed")) &&
				g.ours.code == "unknown" && g.ours.text == saidText
		}}
	twoStatuses = difference{"statuses that contradict each other", "none of them is believed", "ours, rule 6; RFC 9110, section 5.3", allOf,
		func(g *generated) bool {
			return g.form.grpc() && g.ends("two ends", "success and an error", "two envelopes that are ends") && g.ours.code == "internal"
		}}
	badDetails = difference{"details that cannot be decoded, or are of another code", "the error's code and text are there without them",
		"gRPC status codes; Connect protocol, Error details", "code text",
		func(g *generated) bool {
			return strings.HasPrefix(g.end, "details ") && g.keeps() && g.ours.text == saidText
		}}
	severalFaults = difference{"a response with more than one thing wrong",
		"what is found first, or what the server itself says of the call", "none: any of them may be named", anError,
		func(g *generated) bool {
			wrong := 0
			for _, is := range []bool{g.content == "a message" || g.content == "nothing" && !g.form.one(), g.ends(goodEnd().name), g.heads(rightHead)} {
				if !is {
					wrong++
				}
			}
			return wrong > 1 && g.ours.code != "ok" && g.theirs.code != "ok"
		}}
	fieldsBefore = difference{"metadata that came before a fault that the client finds", "it came, and tells about the server",
		"gRPC over HTTP/2, Responses: Response-Headers; Connect protocol, Leading-Metadata", "fields",
		func(g *generated) bool { return g.ours.code != "ok" && g.theirs.code != "ok" && g.ours.has(&g.theirs) }}
	fieldsBehind = difference{"metadata behind a fault that the client finds", "the call is over: nothing more of it is read",
		"RFC 9113, section 8.1: a stream may be reset when its response is not needed", "fields",
		func(g *generated) bool { return g.form.grpc() && g.ours.code != "ok" && g.theirs.has(&g.ours) }}
)

var connectGoClientDifferences = []difference{
	capitals,
	{"a parameter of the content type", "one that is not known does not change the media type", "RFC 9110, section 8.3.1", allOf,
		func(g *generated) bool { return g.heads("a parameter") && g.theirs.code == "internal" }},
	{"malformed content", "it is the server's fault: invalid_argument would say that it is the caller's", "gRPC status codes, INTERNAL", "code",
		func(g *generated) bool { return g.codes("internal", "invalid_argument") }},
	{"a type of the same protocol, of another kind", "the server speaks Connect, and answers another call", "Connect protocol, Streaming-Content-Type", "code",
		func(g *generated) bool {
			return g.form.connectStream() && g.heads("the type of application", "a type without a codec") && g.codes("internal", "unknown")
		}},
	{"a type of another protocol", "it is not the server that was asked", "Connect protocol, Unary-Content-Type", "code",
		func(g *generated) bool {
			return !g.form.envelopes && g.heads("the type of application/grpc", "the type of application/grpc-web") && g.codes("unknown", "internal")
		}},
	severalMessages, noText, noStatus, badStatus, twoStatuses, badDetails,
	{"a text with broken escapes", "its raw text: a client must not fail, nor throw the message away", "gRPC over HTTP/2, Responses: Status-Message", "code text",
		func(g *generated) bool { return g.ends("a text with broken escapes") && g.keeps() }},
	{"what is behind the end with an error", "the server has said how the call ended", "ours, rule 9", "code text",
		func(g *generated) bool { return g.ends("an error, and more behind it") && g.keeps() }},
	{"a reserved flag", "flags that are not known make an envelope malformed", "Connect protocol, Enveloped-Message; gRPC-Web, message framing", allOf,
		func(g *generated) bool {
			return g.ends("an end of another flag") && g.codes("internal", "ok unimplemented")
		}},
	{"an end marker of null", "it is a JSON object", "Connect protocol, EndStreamResponse", allOf,
		func(g *generated) bool {
			return g.form.connectStream() && g.ends("lines without an end") && g.codes("internal", "ok unimplemented")
		}},
	{"trailers whose last line has no end", "a block of fields without the line that ends it", "gRPC-Web, HTTP wire protocols: trailers", allOf,
		func(g *generated) bool {
			return g.form.isWeb() && g.ends("lines without a space", "lines without an end") && (g.keeps() || g.ours.code == "ok") && g.theirs.code == "internal"
		}},
	{"JSON that is not UTF-8", "it is malformed", "RFC 8259, section 8.1", "code text",
		func(g *generated) bool { return g.ends("what is no UTF-8") && g.codes("internal", "aborted") }},
	{"no code in an end marker's error", "an error has one; an end that is malformed says nothing else, either", "Connect protocol, EndStreamResponse, Error end-stream", anError,
		func(g *generated) bool {
			return !g.form.grpc() && g.ends("an error without a code") && g.codes("internal", "unknown")
		}},
	severalFaults, fieldsBefore, fieldsBehind,
}

// http1Differences are those of calls over HTTP/1.1.
var http1Differences = slices.Concat(slices.DeleteFunc(slices.Clone(connectGoClientDifferences), func(d difference) bool {
	return d.what == "a type of another protocol" || d.what == fieldsBehind.what // of other calls
}), []difference{
	{"a connection that breaks off", "another try may do; internal would say that none does", "ours, rule 1; gRPC status codes, UNAVAILABLE", "code",
		func(g *generated) bool { return g.ends("a reset") && g.codes("unavailable", "internal") }},
})

var grpcGoClientDifferences = []difference{
	capitals,
	{"an HTTP status that is not 200", "success is not believed then", "gRPC's HTTP statuses", allOf,
		func(g *generated) bool { return strings.HasPrefix(g.fields, "status ") && g.ours.code != "ok" }},
	{"another codec", "the content is not what was asked for", "gRPC over HTTP/2, Responses: Content-Type", allOf,
		func(g *generated) bool {
			return g.heads("another codec", "the codec of the other kind", "a type that goes on") && g.refused()
		}},
	{"a coding that nobody knows", "messages in it would be malformed", "gRPC compression", allOf,
		func(g *generated) bool { return g.heads("a coding that nobody knows") && g.refused() }},
	{"an informational response", "a client has to read one or more of them", "RFC 9110, section 15.2", allOf,
		func(g *generated) bool { return g.heads("hints before it") && g.theirs.code == "internal" }},
	{"an end in the head", "nothing follows but the end of the content, which comes in a frame of its own", "gRPC over HTTP/2, Responses: Trailers-Only", "code text",
		func(g *generated) bool {
			return g.ends("an end in the head") && g.content == "nothing" && g.keeps() && g.theirs.code == "internal"
		}},
	{"binary metadata that is no base64", "it stays text, and fails no call", "ours, rule 5", allOf,
		func(g *generated) bool { return g.ends("metadata of a wrong kind") && g.codes("ok", "internal") }},
	{"details with success", "there is no error that they tell about", "gRPC over HTTP/2, Responses: Status-Details", allOf,
		func(g *generated) bool { return g.ends("success with details") && g.codes("ok", "internal") }},
	severalMessages, noText, noStatus, badStatus, twoStatuses, badDetails, severalFaults, fieldsBefore, fieldsBehind,
}

// isPlain is plain gRPC.
func (f *form) isPlain() bool       { return f.grpc() && !f.isWeb() }
func (f *form) connectStream() bool { return f.envelopes && !f.grpc() }
