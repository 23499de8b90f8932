package verify

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// event is one server-sent event (HTML, §9.2). Its data is valid until the next one
// is read.
type event struct {
	name string
	data []byte
}

// maxEvent bounds the octets of an event.
const maxEvent = feed.MaxBatchSize + 4<<10

var errEvent = fmt.Errorf("an event has more than %d octets", maxEvent)

// events reads an event stream.
type events struct {
	r    *bufio.Reader
	data []byte
	line []byte // one that does not fit the reader's buffer
	size int    // octets of the event so far
	cr   bool   // the line before ended in a carriage return
	any  bool   // there was a line
}

func newEvents(r io.Reader) *events { return &events{r: bufio.NewReaderSize(r, 32<<10)} }

// next reads an event that has data. One that is cut off by the end of the stream is
// none.
func (e *events) next() (event, error) {
	var ev event
	e.data, e.size = e.data[:0], 0
	some := false
	for {
		line, err := e.read()
		if err != nil {
			return event{}, err
		}
		if len(line) == 0 {
			if some {
				ev.data = e.data
				return ev, nil
			}
			ev, e.size = event{}, 0
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			ev.name = string(value)
		case "data":
			if some {
				e.data = append(e.data, '\n')
			}
			some = true
			e.data = append(e.data, value...)
		}
	}
}

var mark = []byte("\ufeff")

// read gives a line without its end: LF, CR, or both. A line without an end is not
// one.
func (e *events) read() ([]byte, error) {
	e.line = e.line[:0]
	for {
		// What is there already is enough: a CR must not wait for what comes after it.
		if _, err := e.r.Peek(1); err != nil {
			return nil, end(err)
		}
		buf, _ := e.r.Peek(e.r.Buffered())
		if e.cr && buf[0] == '\n' {
			e.cr = false
			_, _ = e.r.Discard(1)
			continue
		}
		e.cr = false
		i := bytes.IndexAny(buf, "\r\n")
		n := i
		if i < 0 {
			n = len(buf)
		}
		if e.size += n + 1; e.size > maxEvent {
			return nil, errEvent
		}
		if i < 0 {
			e.line = append(e.line, buf...)
			_, _ = e.r.Discard(n)
			continue
		}
		e.cr = buf[i] == '\r'
		line := buf[:i]
		if len(e.line) > 0 {
			e.line = append(e.line, line...)
			line = e.line
		}
		_, _ = e.r.Discard(i + 1)
		if !e.any {
			e.any = true
			line = bytes.TrimPrefix(line, mark)
		}
		return line, nil
	}
}

// end is an error for a stream that is over.
func end(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
