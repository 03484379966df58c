package core

// Streaming calls of the Connect protocol: "Streaming-Request" and
// "Streaming-Response" (protocol.md). Messages are envelopes; the last envelope of
// a response is the end marker, which carries the outcome and the trailing
// metadata as JSON (endstream.go).

var connectStream = dialect{
	protocol: ProtocolConnect, base: "connect", stream: true, envelopes: true,
	version: fieldVersion, coding: fieldStreamEncoding, accept: fieldStreamAccept, timeout: fieldConnectTimeout,
	parseTimeout: ParseConnectTimeout, appendTimeout: AppendConnectTimeout,
	leading: ReservedResponse, endFlag: 0x02, // "EndStreamResponse"
	begin: beginEnvelopes, end: endConnectStream,
	answered: connectStreamAnswered, unpacked: connectStreamUnpacked, noEnd: "the response ends without its end marker",
}

// Server role.

func endConnectStream(c *ServerCall, e *Error, fields Fields, binary Pairs) {
	b, at := c.beginEnd(e)
	c.tail.Reset()
	c.scratch = addMetadata(&c.tail, "", fields, binary, c.scratch)
	c.body = AppendEndStream(c.body, e, c.tail)
	c.closeEnd(b, at)
}

// Client role.

func connectStreamAnswered(c *ClientCall, t ContentType, ours, offered bool) bool {
	if c.status != 200 { // "Streaming-Response": only 200 has an end marker
		c.failStatus()
		return false
	}
	return c.agreed(t, ours, offered)
}

// connectStreamUnpacked reads an end marker.
func connectStreamUnpacked(c *ClientCall, content []byte, fault Reason) {
	if fault != 0 {
		c.receiveBad(fault)
		return
	}
	if !ParseEndStream(content, &c.endStream) {
		c.receiveFailed(Internal, "the end marker is malformed")
		return
	}
	c.ended, c.parsed = true, c.endStream.Error
	if !c.endStream.Failed {
		c.parsed.Code = OK
	}
	c.trail.addAll(c.endStream.Trailers)
	c.trailBinary.addAll(c.endStream.Binary)
	c.checkTrailing()
}
