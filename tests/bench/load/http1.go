package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

const bufferSize = 128 << 10

// http1 is a connection of HTTP/1.1, which is opened again when the server has
// closed it.
type http1 struct {
	address string
	request []byte
	conn    net.Conn
	in      *bufio.Reader
}

func dialHTTP1(p *plan, address string) (caller, error) {
	var request bytes.Buffer
	fmt.Fprintf(&request, "POST %s HTTP/1.1\r\nhost: %s\r\nuser-agent: bench\r\ncontent-type: %s\r\n", p.Path, address, p.ContentType)
	for _, field := range p.Fields {
		fmt.Fprintf(&request, "%s: %s\r\n", field[0], field[1])
	}
	if p.Length {
		fmt.Fprintf(&request, "content-length: %d\r\n\r\n", len(p.Content))
		request.Write(p.Content)
	} else {
		request.WriteString("transfer-encoding: chunked\r\n\r\n")
		for _, piece := range p.pieces() {
			fmt.Fprintf(&request, "%x\r\n%s\r\n", len(piece), piece)
		}
		request.WriteString("0\r\n\r\n")
	}
	c := &http1{address: address, request: request.Bytes(), in: bufio.NewReaderSize(nil, bufferSize)}
	return c, c.open()
}

func (c *http1) open() error {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return err
	}
	c.conn = conn
	c.in.Reset(conn)
	return nil
}

func (c *http1) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *http1) call(whole bool) (answer, error) {
	if c.conn == nil {
		if err := c.open(); err != nil {
			return answer{}, err
		}
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return answer{}, err
	}
	status, err := c.line()
	if err != nil {
		return answer{}, err
	}
	closes := bytes.HasPrefix(status, []byte("HTTP/1.0"))
	if len(status) < 12 || string(status[9:12]) != "200" {
		return answer{}, fmt.Errorf("the answer begins with %q", status)
	}
	length := -1
	for {
		line, err := c.line()
		if err != nil {
			return answer{}, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return answer{}, err
			}
		case bytes.EqualFold(name, []byte("connection")):
			closes = bytes.EqualFold(value, []byte("close"))
		}
	}
	var a answer
	if length >= 0 {
		err = c.take(&a, length, whole)
	} else {
		err = c.chunks(&a, whole)
	}
	if closes {
		c.close()
	}
	return a, err
}

func (c *http1) chunks(a *answer, whole bool) error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return err
		}
		if err := c.take(a, int(size), whole); err != nil {
			return err
		}
		if line, err = c.line(); err != nil || len(line) > 0 {
			return errors.Join(err, fmt.Errorf("a chunk ends with %q", line))
		}
		if size == 0 {
			return nil
		}
	}
}

func (c *http1) take(a *answer, size int, whole bool) error {
	a.size += size
	if !whole {
		_, err := c.in.Discard(size)
		return err
	}
	old := len(a.content)
	a.content = append(a.content, make([]byte, size)...)
	_, err := io.ReadFull(c.in, a.content[old:])
	return err
}

// line is valid until the next read.
func (c *http1) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}
