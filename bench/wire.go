package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// conn is a kept-alive HTTP/1.1 connection that sends requests which were written
// beforehand and reads as little of the answers as it can. Client and server share
// the processors, and net/http's client costs about as much as the server does: it
// would be half of what is measured. A conn belongs to one goroutine.
type conn struct {
	nc   net.Conn
	in   *bufio.Reader
	body []byte
}

// answer is what came back. body is valid until the next request.
type answer struct {
	status   int
	location string
	cookies  []string // the Set-Cookie values
	body     []byte
}

// dial connects; nothing on the connection may take longer than until deadline.
func dial(addr string, deadline time.Time) (*conn, error) {
	nc, err := (&net.Dialer{Deadline: deadline}).Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := nc.SetDeadline(deadline); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return &conn{nc: nc, in: bufio.NewReaderSize(nc, 8<<10)}, nil
}

func (c *conn) close() error { return c.nc.Close() }

// get writes a GET request. header lines end in CRLF each.
func get(addr, target, header string) []byte {
	return []byte("GET " + target + " HTTP/1.1\r\nHost: " + addr + "\r\n" + header + "\r\n")
}

// post writes a POST request with a form.
func post(addr, target, header string, form url.Values) []byte {
	body := form.Encode()
	return []byte("POST " + target + " HTTP/1.1\r\nHost: " + addr + "\r\n" + header +
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// do sends a request and reads its answer.
func (c *conn) do(request []byte) (a answer, err error) {
	if _, err := c.nc.Write(request); err != nil {
		return a, err
	}
	line, err := c.line()
	if err != nil {
		return a, err
	}
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return a, fmt.Errorf("%q is no status line", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, fmt.Errorf("%q is no status line", line)
	}
	length, chunked := -1, false
	for {
		line, err := c.line()
		if err != nil {
			return a, err
		}
		if len(line) == 0 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			return a, fmt.Errorf("%q is no header", line)
		}
		value := bytes.TrimSpace(line[colon+1:])
		switch {
		case named(line[:colon], "content-length"):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return a, err
			}
		case named(line[:colon], "transfer-encoding"):
			chunked = true
		case named(line[:colon], "location"):
			a.location = string(value)
		case named(line[:colon], "set-cookie"):
			a.cookies = append(a.cookies, string(value))
		case named(line[:colon], "connection"):
			return a, fmt.Errorf("the server does not keep the connection (%s), status %d", value, a.status)
		}
	}
	a.body, err = c.read(a.status, length, chunked)
	return a, err
}

func (c *conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func (c *conn) read(status, length int, chunked bool) ([]byte, error) {
	switch {
	case status == 204 || status == 304:
		return nil, nil
	case chunked:
		body, err := io.ReadAll(httputil.NewChunkedReader(c.in))
		if err != nil {
			return nil, err
		}
		_, err = c.in.Discard(2) // the reader leaves the last line end
		return body, err
	case length < 0:
		return nil, errors.New("the answer has no length")
	}
	if cap(c.body) < length {
		c.body = make([]byte, 2*length)
	}
	body := c.body[:length]
	_, err := io.ReadFull(c.in, body)
	return body, err
}

// named compares a header's name with one in lower case.
func named(name []byte, lower string) bool {
	return len(name) == len(lower) && strings.EqualFold(string(name), lower)
}

// ok is do for a request that must be answered 200.
func (c *conn) ok(request []byte) ([]byte, error) {
	a, err := c.do(request)
	if err == nil && a.status != 200 {
		err = fmt.Errorf("status %d: %.300s", a.status, a.body)
	}
	return a.body, err
}
