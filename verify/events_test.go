package verify

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/jeton-auth/jeton/oauth/feed"
)

type read struct{ name, data string }

func readEvents(r io.Reader) (all []read, err error) {
	events := newEvents(r)
	for {
		e, err := events.next()
		if err != nil {
			return all, err
		}
		all = append(all, read{e.name, string(e.data)})
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream string
		want   []read
	}{
		"nothing":              {"", nil},
		"one":                  {"event: heartbeat\nid: 7\ndata: x\n\n", []read{{"heartbeat", "x"}}},
		"two":                  {"event: a\ndata: x\n\nevent: b\ndata: y\n\n", []read{{"a", "x"}, {"b", "y"}}},
		"no name":              {"data: x\n\n", []read{{"", "x"}}},
		"the name is not kept": {"event: a\ndata: x\n\ndata: y\n\n", []read{{"a", "x"}, {"", "y"}}},
		"no space":             {"event:a\ndata:x\n\n", []read{{"a", "x"}}},
		"one space alone goes": {"data:  x\n\n", []read{{"", " x"}}},
		"many lines":           {"data: x\ndata: y\ndata\n\n", []read{{"", "x\ny\n"}}},
		"comments":             {": hello\n\n:\ndata: x\n: y\n\n", []read{{"", "x"}}},
		"no data":              {"event: a\n\nevent: b\nid: 1\n\ndata: x\n\n", []read{{"", "x"}}},
		"unknown fields":       {"retry: 5\nx\nevent: a\ny: z\ndata: x\n\n", []read{{"a", "x"}}},
		"CRLF":                 {"event: a\r\ndata: x\r\n\r\ndata: y\r\n\r\n", []read{{"a", "x"}, {"", "y"}}},
		"CR":                   {"event: a\rdata: x\r\rdata: y\r\r", []read{{"a", "x"}, {"", "y"}}},
		"all line ends":        {"data: x\n\r\ndata: y\r\rdata: z\n\n", []read{{"", "x"}, {"", "y"}, {"", "z"}}},
		"a byte order mark":    {"\ufeffdata: x\n\n", []read{{"", "x"}}},
		"a mark later on":      {"data: x\n\ufeffdata: y\n\n", []read{{"", "x"}}},
		"cut in an event":      {"data: x\n\nevent: a\ndata: y\n", []read{{"", "x"}}},
		"cut in a line":        {"data: x\n\ndata: y", []read{{"", "x"}}},
		"empty data":           {"data\n\n", []read{{"", ""}}},
		"a long line":          {"data: " + strings.Repeat("x", 100_000) + "\n\n", []read{{"", strings.Repeat("x", 100_000)}}},
	} {
		for how, r := range map[string]io.Reader{
			"whole": strings.NewReader(c.stream), "in octets": iotest.OneByteReader(strings.NewReader(c.stream)), "in halves": iotest.HalfReader(strings.NewReader(c.stream)),
		} {
			got, err := readEvents(r)
			if !slices.Equal(got, c.want) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, %s: %q, %v, want %q", name, how, got, err, c.want)
			}
		}
	}
}

// An event is given as soon as its last line end is there, be it the first half of
// CRLF.
func TestEventsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"data: x\n\n", "data: x\r\n\r", "data: x\r\r"} {
		r, w := io.Pipe()
		go w.Write([]byte(stream)) // and nothing after it
		if e, err := newEvents(r).next(); err != nil || string(e.data) != "x" {
			t.Errorf("%q: %q, %v", stream, e.data, err)
		}
		r.Close()
	}
}

type endless struct{ line string }

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e.line) <= len(p) {
		n += copy(p[n:], e.line)
	}
	return n, nil
}

func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{"a line": "x", "data": "data: x\n", "comments within an event": ": x\n", "names": "event: a\n"} {
		r := io.MultiReader(strings.NewReader("data: x\n"), endless{line})
		if _, err := readEvents(r); !errors.Is(err, errEvent) {
			t.Errorf("endless %s: %v", name, err)
		}
	}
	big := strings.Repeat("x", feed.MaxBatchSize)
	if got, _ := readEvents(strings.NewReader("event: snapshot\ndata: " + big + "\n\n")); len(got) != 1 || got[0].data != big {
		t.Error("the largest batch does not fit")
	}
}

// FuzzEvents reads a stream as it comes and in single octets: both must give the same
// events, none larger than the stream.
func FuzzEvents(f *testing.F) {
	for _, s := range []string{
		"event: a\nid: 1\ndata: x\n\n", "data: x\r\n\r\ndata\r\r: c\n\n", "\ufeffdata: x\n\n", "data: x\n\nevent: cut", "retry: 1\n\n\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, err := readEvents(bytes.NewReader(stream))
		pieces, err2 := readEvents(iotest.OneByteReader(bytes.NewReader(stream)))
		if !slices.Equal(whole, pieces) || !errors.Is(err, io.ErrUnexpectedEOF) != !errors.Is(err2, io.ErrUnexpectedEOF) {
			t.Errorf("%q, %v or %q, %v", whole, err, pieces, err2)
		}
		size := 0
		for _, e := range whole {
			size += len(e.name) + len(e.data)
		}
		if size > len(stream) {
			t.Errorf("%d octets of events in a stream of %d", size, len(stream))
		}
	})
}

// FuzzFeed gives a reader any stream: whatever comes, nothing is confirmed that was not
// signed, and nothing that was learnt is lost.
func FuzzFeed(f *testing.F) {
	entry := feed.Entry{N: 1, Kind: feed.Token, Value: feed.Value(feed.Token, "a.1"), Until: 1 << 40}
	start := feed.Start("life-1")
	one := feed.Batch{Incarnation: "life-1", To: 1, Base: &start, Entries: []feed.Entry{entry}}
	f.Add([]byte("event: snapshot\ndata: " + string(one.Append(nil)) + "\n\nevent: heartbeat\ndata: a.b.c\n\n"))
	next := feed.Batch{Incarnation: "life-1", From: 1, To: 2, Entries: []feed.Entry{{N: 2, Kind: feed.All, Until: 1 << 40, At: 5}}}
	f.Add([]byte("event: revocations\ndata: " + string(next.Append(nil)) + "\n\n"))
	names := feed.NewNames(feed.Claims{ID: "learnt.1", Rev: 1 << 50, HasRev: true})
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := chain{view: feed.NewView(1 << 20), told: func([]feed.Entry) {}}
		before := feed.Batch{Incarnation: "life-1", To: 1, Base: &start, Entries: []feed.Entry{{N: 1, Kind: feed.Grant, Value: feed.Value(feed.Grant, "learnt"), Until: 1 << 40}}}
		if err := c.take(before, true); err != nil {
			t.Fatal(err)
		}
		events := newEvents(bytes.NewReader(stream))
		for {
			e, err := events.next()
			if err != nil {
				break
			}
			b, err := feed.ParseBatch(e.data)
			if err != nil {
				continue
			}
			at, _ := c.position()
			if err := c.take(b, e.name == feed.EventSnapshot); err != nil {
				if now, _ := c.position(); now != at {
					t.Fatalf("after %v it moved from %v to %v", err, at, now)
				}
			}
		}
		if !c.view.Revoked(names) {
			t.Fatal("what was learnt is lost")
		}
		if _, taken := c.head(); taken {
			t.Fatal("something is confirmed without a heartbeat")
		}
	})
}
