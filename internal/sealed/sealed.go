// Package sealed writes and reads files that only a key opens: under a key of 32 bytes,
// or for age recipients (age-encryption.org/v1). What is cut off, put elsewhere, added
// or changed in such a file is noticed, at the latest at its end: whoever reads one must
// read all of it before believing any.
//
// A file is two lines in the clear and a sealed body. The first line says how it is
// sealed, the second is what the writer wants to be known without the key; the body
// begins with the SHA-256 of both. Under a key the body is cut in chunks of 64 KiB, each
// sealed with XChaCha20-Poly1305 under a key of this file alone (HKDF-SHA-256 with a
// random salt), with its number and whether it is the last as the nonce: the STREAM
// construction.
package sealed

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
)

// The first line, without and with a salt after it.
const (
	magic   = "jeton-sealed 1 "
	byAge   = "age"
	byKey   = "key"
	maxLine = 64 << 10
	chunk   = 64 << 10
)

// Key is what seals and opens a file: either a key, or what age needs.
type Key struct {
	Secret     []byte          // 32 bytes
	Recipients []age.Recipient // to seal; they win over Secret
	Identities []age.Identity  // to open
}

// Recipients reads age recipients, as in age1….
func Recipients(texts []string) ([]age.Recipient, error) {
	return age.ParseRecipients(strings.NewReader(strings.Join(texts, "\n")))
}

// Identities reads an age key file.
func Identities(r io.Reader) ([]age.Identity, error) { return age.ParseIdentities(r) }

// NewWriter begins a file. Head is one line that anybody can read. The file is whole
// when Close has succeeded.
func NewWriter(w io.Writer, head []byte, k Key) (io.WriteCloser, error) {
	if bytes.ContainsAny(head, "\r\n") || len(head) >= maxLine {
		return nil, errors.New("sealed: the head is not one line")
	}
	first := magic + byAge
	salt := make([]byte, 32)
	if len(k.Recipients) == 0 {
		rand.Read(salt)
		first = magic + byKey + " " + base64.RawURLEncoding.EncodeToString(salt)
	}
	lines := append([]byte(first+"\n"), append(bytes.Clone(head), '\n')...)
	if _, err := w.Write(lines); err != nil {
		return nil, err
	}
	var body io.WriteCloser
	var err error
	if len(k.Recipients) > 0 {
		body, err = age.Encrypt(w, k.Recipients...)
	} else {
		body, err = newStream(w, k.Secret, salt)
	}
	if err != nil {
		return nil, fmt.Errorf("sealed: %w", err)
	}
	sum := sha256.Sum256(lines)
	_, err = body.Write(sum[:])
	return body, err
}

// Reader reads a file that NewWriter wrote.
type Reader struct {
	Head []byte // true once the file has been opened
	Age  bool   // it is sealed for age recipients

	lines []byte
	salt  []byte
	rest  *bufio.Reader
}

// ErrForeign says that a file is none of these.
var ErrForeign = errors.New("sealed: this is no sealed file of Jeton's")

// ErrOpen says that a file is not whole, was changed, or is sealed under another key.
var ErrOpen = errors.New("sealed: the key does not open this file, or the file was changed or cut off")

// NewReader reads the lines in the clear. Nothing of them is certain before Open.
func NewReader(r io.Reader) (*Reader, error) {
	s := &Reader{rest: bufio.NewReaderSize(r, maxLine)}
	first, err := s.line()
	if err != nil {
		return nil, err
	}
	how, ok := strings.CutPrefix(string(first), magic)
	if !ok {
		return nil, ErrForeign
	}
	how, salt, _ := strings.Cut(how, " ")
	switch how {
	case byAge:
		s.Age = true
	case byKey:
		if s.salt, err = base64.RawURLEncoding.Strict().DecodeString(salt); err != nil {
			return nil, ErrForeign
		}
	default:
		return nil, ErrForeign
	}
	s.Head, err = s.line()
	return s, err
}

func (s *Reader) line() ([]byte, error) {
	line, err := s.rest.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, io.EOF) {
		return nil, ErrForeign
	}
	if err != nil {
		return nil, err
	}
	s.lines = append(s.lines, line...)
	return bytes.Clone(line[:len(line)-1]), nil
}

// Open gives the body. Its end, io.EOF, comes only if the file is whole.
func (s *Reader) Open(k Key) (io.Reader, error) {
	var body io.Reader
	var err error
	switch {
	case s.Age && len(k.Identities) == 0:
		return nil, errors.New("sealed: this file is sealed for age recipients: an identity is needed")
	case s.Age:
		if body, err = age.Decrypt(s.rest, k.Identities...); err == nil {
			body = ageBody{body}
		}
	default:
		body, err = openStream(s.rest, k.Secret, s.salt)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	var sum [sha256.Size]byte
	if _, err := io.ReadFull(body, sum[:]); err != nil {
		return nil, errors.Join(ErrOpen, err)
	}
	if sum != sha256.Sum256(s.lines) {
		return nil, ErrOpen
	}
	return body, nil
}

// ageBody names age's failures as ours.
type ageBody struct{ io.Reader }

func (b ageBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", ErrOpen, err)
	}
	return n, err
}

func fileKey(secret, salt []byte) (cipher.AEAD, error) {
	if len(secret) != chacha20poly1305.KeySize {
		return nil, fmt.Errorf("the key has %d bytes, not %d", len(secret), chacha20poly1305.KeySize)
	}
	key, err := hkdf.Key(sha256.New, secret, salt, "jeton sealed file 1", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(key)
}

// nonce is a chunk's number and whether it is the last.
func nonce(n uint64, last bool) []byte {
	b := make([]byte, chacha20poly1305.NonceSizeX)
	binary.BigEndian.PutUint64(b[len(b)-9:], n)
	if last {
		b[len(b)-1] = 1
	}
	return b
}

// stream seals chunks.
type stream struct {
	w    io.Writer
	aead cipher.AEAD
	n    uint64
	buf  []byte
	out  []byte
	err  error
}

func newStream(w io.Writer, secret, salt []byte) (*stream, error) {
	aead, err := fileKey(secret, salt)
	return &stream{w: w, aead: aead, buf: make([]byte, 0, chunk)}, err
}

func (s *stream) Write(p []byte) (n int, err error) {
	for len(p) > 0 && s.err == nil {
		if len(s.buf) == chunk { // only when more comes: the last chunk is marked
			s.flush(false)
		}
		k := min(len(p), chunk-len(s.buf))
		s.buf, p, n = append(s.buf, p[:k]...), p[k:], n+k
	}
	return n, s.err
}

func (s *stream) flush(last bool) {
	if s.err == nil {
		s.out = s.aead.Seal(s.out[:0], nonce(s.n, last), s.buf, nil)
		s.n++
		s.buf = s.buf[:0]
		_, s.err = s.w.Write(s.out)
	}
}

func (s *stream) Close() error {
	s.flush(true)
	err := s.err
	if err == nil {
		s.err = errors.New("sealed: the file is closed")
	}
	return err
}

// opening opens chunks.
type opening struct {
	r     *bufio.Reader
	aead  cipher.AEAD
	n     uint64
	buf   []byte
	plain []byte // of buf, not read yet
	err   error
}

func openStream(r *bufio.Reader, secret, salt []byte) (*opening, error) {
	aead, err := fileKey(secret, salt)
	if err != nil {
		return nil, err
	}
	return &opening{r: r, aead: aead, buf: make([]byte, chunk+aead.Overhead())}, nil
}

func (o *opening) Read(p []byte) (int, error) {
	for len(o.plain) == 0 {
		if o.err != nil {
			return 0, o.err
		}
		o.next()
	}
	n := copy(p, o.plain)
	o.plain = o.plain[n:]
	return n, nil
}

// next opens a chunk. The one that the file ends after must be marked as the last.
func (o *opening) next() {
	k, err := io.ReadFull(o.r, o.buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		if errors.Is(err, io.EOF) {
			err = ErrOpen
		}
		o.err = err
		return
	}
	_, peeked := o.r.Peek(1)
	if peeked != nil && !errors.Is(peeked, io.EOF) {
		o.err = peeked
		return
	}
	last := peeked != nil
	plain, err := o.aead.Open(o.buf[:0], nonce(o.n, last), o.buf[:k], nil)
	if err != nil {
		o.err = ErrOpen
		return
	}
	o.plain = plain
	o.n++
	if last {
		o.err = io.EOF
	}
}
