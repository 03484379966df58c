package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const window = 1 << 30 // for all that a connection receives before it says more

// conn2 is a connection of HTTP/2 with prior knowledge.
type conn2 struct {
	conn         net.Conn
	out          *bufio.Writer
	frames       *http2.Framer
	head         []byte // of the request, without use of the dynamic table
	pieces       [][]byte
	stream       uint32
	room         int64 // to send, on the connection
	streamRoom   int64
	initialRoom  int64
	received     uint32 // since the window was last opened
	maxFrameSize int
	fields       *hpack.Decoder
	status       string // :status, then grpc-status, of the call
}

func dialHTTP2(p *plan, address string) (caller, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	var head bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	encoder.SetMaxDynamicTableSize(0)
	fields := append([][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":authority", address}, {":path", p.Path},
		{"content-type", p.ContentType}, {"user-agent", "bench"},
	}, p.Fields...)
	if p.Length {
		fields = append(fields, [2]string{"content-length", fmt.Sprint(len(p.Content))})
	}
	for _, field := range fields {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			return nil, err
		}
	}
	c := &conn2{conn: conn, out: bufio.NewWriterSize(conn, bufferSize), head: head.Bytes(), pieces: p.pieces(), room: 65535,
		initialRoom: 65535, maxFrameSize: 16 << 10}
	c.frames = http2.NewFramer(c.out, bufio.NewReaderSize(conn, bufferSize))
	c.frames.SetReuseFrames()
	c.fields = hpack.NewDecoder(4096, func(field hpack.HeaderField) {
		if field.Name == ":status" || field.Name == "grpc-status" {
			c.status = field.Value
		}
	})
	_, err = c.out.WriteString(http2.ClientPreface)
	return c, errors.Join(err,
		c.frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}, http2.Setting{ID: http2.SettingEnablePush}),
		c.frames.WriteWindowUpdate(0, window), c.out.Flush())
}

func (c *conn2) close() { _ = c.conn.Close() }

func (c *conn2) call(whole bool) (answer, error) {
	c.stream += 2
	if c.stream == 2 {
		c.stream = 1
	}
	c.streamRoom, c.status = c.initialRoom, ""
	err := c.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: c.stream, BlockFragment: c.head, EndHeaders: true})
	if err != nil {
		return answer{}, err
	}
	var a answer
	var ended bool
	for i, piece := range c.pieces {
		for first := true; first || len(piece) > 0; first = false {
			size := min(len(piece), c.maxFrameSize)
			for int64(size) > min(c.room, c.streamRoom) {
				if ended, err = c.read(&a, whole); err != nil || ended {
					return a, errors.Join(err, errors.New("the answer came before the request was sent"))
				}
			}
			c.room, c.streamRoom = c.room-int64(size), c.streamRoom-int64(size)
			last := i == len(c.pieces)-1 && size == len(piece)
			if err := c.frames.WriteData(c.stream, last, piece[:size]); err != nil {
				return answer{}, err
			}
			piece = piece[size:]
		}
	}
	for !ended && err == nil {
		ended, err = c.read(&a, whole)
	}
	a.status = c.status
	return a, err
}

// read takes a frame, and says whether the answer is complete. What was not yet
// written is written first.
func (c *conn2) read(a *answer, whole bool) (bool, error) {
	if err := c.out.Flush(); err != nil {
		return false, err
	}
	frame, err := c.frames.ReadFrame()
	if err != nil {
		return false, err
	}
	switch frame := frame.(type) {
	case *http2.DataFrame:
		a.size += len(frame.Data())
		if whole {
			a.content = append(a.content, frame.Data()...)
		}
		if c.received += frame.Length; c.received > window/4 {
			err = c.frames.WriteWindowUpdate(0, c.received)
			c.received = 0
		}
		return frame.StreamEnded(), err
	case *http2.HeadersFrame:
		if !frame.HeadersEnded() {
			return false, errors.New("a head in several frames")
		}
		if _, err := c.fields.Write(frame.HeaderBlockFragment()); err != nil {
			return false, err
		}
		if c.status != "200" && !frame.StreamEnded() {
			return false, fmt.Errorf("status %s", c.status)
		}
		return frame.StreamEnded(), nil
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			c.room += int64(frame.Increment)
		} else if frame.StreamID == c.stream {
			c.streamRoom += int64(frame.Increment)
		}
	case *http2.SettingsFrame:
		if frame.IsAck() {
			return false, nil
		}
		if size, ok := frame.Value(http2.SettingInitialWindowSize); ok {
			c.streamRoom += int64(size) - c.initialRoom
			c.initialRoom = int64(size)
		}
		if size, ok := frame.Value(http2.SettingMaxFrameSize); ok {
			c.maxFrameSize = int(size)
		}
		return false, c.frames.WriteSettingsAck()
	case *http2.PingFrame:
		if !frame.IsAck() {
			return false, c.frames.WritePing(true, frame.Data)
		}
	case *http2.RSTStreamFrame:
		if frame.StreamID == c.stream {
			return false, fmt.Errorf("the stream was reset: %s", frame.ErrCode)
		}
	case *http2.GoAwayFrame:
		return false, fmt.Errorf("the connection goes away: %s", frame.ErrCode)
	}
	return false, nil
}
