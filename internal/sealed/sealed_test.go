package sealed

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
)

var secret = bytes.Repeat([]byte{7}, 32)

func write(t testing.TB, body []byte, k Key) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, []byte(`{"a":"head"}`), k)
	if err != nil {
		t.Fatal(err)
	}
	// In pieces of odd sizes.
	for rest := body; len(rest) > 0; {
		n := min(len(rest), 9973)
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func read(file []byte, k Key) ([]byte, error) {
	s, err := NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	body, err := s.Open(k)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(body)
}

// sizes are around the ends of chunks, of which the first has 32 octets of ours.
var sizes = []int{0, 1, chunk - 33, chunk - 32, chunk - 31, chunk, 3*chunk - 32, 3 * chunk}

func bodyOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func TestSealed(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := Recipients([]string{identity.Recipient().String()})
	if err != nil {
		t.Fatal(err)
	}
	identities, err := Identities(strings.NewReader("# a key\n" + identity.String() + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]Key{"key": {Secret: secret}, "age": {Secret: secret, Recipients: recipients, Identities: identities}} {
		for _, n := range sizes {
			body := bodyOf(n)
			file := write(t, body, k)
			if got, err := read(file, k); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s: %d octets came back as %d: %v", name, n, len(got), err)
			}
			if n > 64 && bytes.Contains(file, body[:64]) {
				t.Errorf("%s: %d octets stand in the clear", name, n)
			}
		}
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	sealed := write(t, bodyOf(10), Key{Recipients: recipients})
	for _, k := range []Key{{Secret: secret}, {Identities: []age.Identity{other}}} {
		if _, err := read(sealed, k); err == nil {
			t.Error("a file for another age recipient was opened")
		}
	}
	if _, err := read(write(t, bodyOf(10), Key{Secret: secret}), Key{Secret: bytes.Repeat([]byte{8}, 32)}); !errors.Is(err, ErrOpen) {
		t.Errorf("another key: %v", err)
	}
	if _, err := NewWriter(io.Discard, []byte("h"), Key{Secret: secret[:31]}); err == nil {
		t.Error("a short key was taken")
	}
	if _, err := NewWriter(io.Discard, []byte("two\nlines"), Key{Secret: secret}); err == nil {
		t.Error("a head of two lines was taken")
	}
}

// Whatever is done to a file, reading it to its end fails.
func TestTampered(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]Key{
		"key": {Secret: secret},
		"age": {Recipients: []age.Recipient{identity.Recipient()}, Identities: []age.Identity{identity}},
	} {
		file := write(t, bodyOf(3*chunk), k)
		fails := func(what string, changed []byte) {
			t.Helper()
			if _, err := read(changed, k); err == nil {
				t.Errorf("%s: %s was not noticed", name, what)
			}
		}
		lines := bytes.IndexByte(file, '\n') + 1
		lines += bytes.IndexByte(file[lines:], '\n') + 1
		for i := 0; i < len(file); i += max(1, len(file)/500) {
			changed := bytes.Clone(file)
			changed[i] ^= 1
			fails("a changed octet", changed)
		}
		for _, i := range []int{0, 10, lines - 5} {
			changed := bytes.Clone(file)
			changed[i] ^= 1
			fails("a changed octet of the lines", changed)
		}
		for _, cut := range []int{0, 1, lines, lines + 1, len(file) - 1, len(file) - 16, len(file) - chunk} {
			fails("a cut", file[:cut])
		}
		fails("more at the end", append(bytes.Clone(file), 0))
		if name == "age" {
			continue
		}
		const sealed = chunk + 16
		for n := 1; lines+n*sealed < len(file); n++ {
			fails("a cut between chunks", file[:lines+n*sealed])
		}
		swapped := bytes.Clone(file)
		copy(swapped[lines:], file[lines+sealed:lines+2*sealed])
		copy(swapped[lines+sealed:], file[lines:lines+sealed])
		fails("two chunks that changed places", swapped)
		fails("a chunk that is gone", append(bytes.Clone(file[:lines+sealed]), file[lines+2*sealed:]...))
		other := write(t, bodyOf(3*chunk), k)
		fails("a chunk of another file", append(bytes.Clone(file[:lines+sealed]), other[lines+sealed:]...))
	}
	if _, err := read([]byte("SQLite format 3\x00\n\n"), Key{Secret: secret}); !errors.Is(err, ErrForeign) {
		t.Errorf("another file: %v", err)
	}
}
