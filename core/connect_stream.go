package core

// Streaming calls of the Connect protocol: "Streaming-Request" and
// "Streaming-Response" (protocol.md). Messages are envelopes; the last envelope of
// a response is the end marker, which carries the outcome and the trailing
// metadata as JSON (endstream.go).

var connectStream = dialect{
	protocol: ProtocolConnect, base: "connect", stream: true, envelopes: true,
	version: fieldVersion, coding: fieldStreamEncoding, accept: fieldStreamAccept, timeout: fieldConnectTimeout,
	parseTimeout: ParseConnectTimeout, appendTimeout: AppendConnectTimeout,
	leading: ReservedResponse,
	begin:   beginConnectStream, end: endConnectStream,
}

const flagEndStream = 0x02 // "EndStreamResponse"

func beginConnectStream(c *ServerCall) {
	c.addType()
	c.addCodings()
}

func endConnectStream(c *ServerCall, e *Error, fields Fields, binary Pairs) {
	if !c.headSent {
		c.emitHead()
	}
	var b *Event
	if c.repliesOnce(e) {
		b = c.emitReply()
	} else {
		b = c.emit(EventBody)
		c.body = c.body[:0]
	}
	at := len(c.body)
	c.body = append(c.body, flagEndStream, 0, 0, 0, 0)
	c.body = AppendEndStream(c.body, e, fields, binary)
	putPrefixLength(c.body[at:])
	b.Data, b.End = c.body, true
}
