package feed

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Names of the events of a stream, and of members of other documents.
const (
	EventSnapshot    = "snapshot"
	EventRevocations = "revocations"
	EventHeartbeat   = "heartbeat"
)

// Bounds of what a reader takes.
const (
	MaxBatch     = 4096    // entries of one batch
	MaxBatchSize = 2 << 20 // octets of one batch
	maxValue     = 1024    // octets of what a plain entry names
)

// SegmentSize is how many entries a segment holds: number k has those from
// k·SegmentSize+1 to (k+1)·SegmentSize. A segment never changes.
const SegmentSize = 256

// Batch is entries that follow one another: From is the number before the first,
// To that of the last.
type Batch struct {
	Incarnation string
	From, To    int64
	// Base is the hash at From, of a batch with which a reader may begin; nil in
	// others.
	Base    *Hash
	Entries []Entry
}

// wireBatch and wireEntry are the JSON forms.
type wireBatch struct {
	Incarnation string      `json:"inc"`
	From        int64       `json:"from"`
	To          int64       `json:"to"`
	Base        *Hash       `json:"hash,omitempty"`
	Entries     []wireEntry `json:"entries"`
}

type wireEntry struct {
	N     int64  `json:"n"`
	Kind  Kind   `json:"k"`
	Value string `json:"v"`
	Until int64  `json:"u"`
	At    int64  `json:"t"`
}

// ErrUnknownKind says that an entry revokes something that this reader does not
// understand. It must not take tokens on trust any more.
var ErrUnknownKind = errors.New("feed: a kind of entry that is not known here")

var errBatch = errors.New("feed: not a batch of entries")

// ParseBatch reads a batch and checks that its entries are numbered one after the
// other and well-formed.
func ParseBatch(doc []byte) (Batch, error) {
	if len(doc) > MaxBatchSize {
		return Batch{}, fmt.Errorf("%w: more than %d octets", errBatch, MaxBatchSize)
	}
	var w wireBatch
	if err := json.Unmarshal(doc, &w); err != nil {
		return Batch{}, fmt.Errorf("%w: %w", errBatch, err)
	}
	switch {
	case w.Incarnation == "" || len(w.Incarnation) > maxIncarnation:
		return Batch{}, fmt.Errorf("%w: no incarnation", errBatch)
	case len(w.Entries) > MaxBatch:
		return Batch{}, fmt.Errorf("%w: more than %d entries", errBatch, MaxBatch)
	case w.From < 0 || w.To != w.From+int64(len(w.Entries)):
		return Batch{}, fmt.Errorf("%w: from %d to %d with %d entries", errBatch, w.From, w.To, len(w.Entries))
	}
	b := Batch{Incarnation: w.Incarnation, From: w.From, To: w.To, Base: w.Base, Entries: make([]Entry, len(w.Entries))}
	for i, e := range w.Entries {
		b.Entries[i] = Entry(e)
		if err := b.Entries[i].check(w.From + int64(i) + 1); err != nil {
			return Batch{}, err
		}
	}
	return b, nil
}

// check is that the entry has the number n and is well-formed.
func (e Entry) check(n int64) error {
	switch {
	case e.N != n:
		return fmt.Errorf("%w: %d stands in the place of %d", ErrGap, e.N, n)
	case !e.Kind.known():
		// Left out it would be a revocation that is not seen.
		return fmt.Errorf("%w: entry %d is of the kind %q; use a newer reader", ErrUnknownKind, e.N, e.Kind)
	case e.Until <= 0 || e.At < 0 || len(e.Value) > maxValue:
		return fmt.Errorf("feed: entry %d is malformed", e.N)
	}
	_, err := e.ID()
	return err
}

// Append writes the batch's JSON form.
func (b Batch) Append(dst []byte) []byte {
	dst = append(dst, `{"inc":`...)
	dst = appendString(dst, b.Incarnation)
	dst = append(dst, `,"from":`...)
	dst = strconv.AppendInt(dst, b.From, 10)
	dst = append(dst, `,"to":`...)
	dst = strconv.AppendInt(dst, b.To, 10)
	if b.Base != nil {
		dst = append(dst, `,"hash":"`...)
		dst = base64.RawURLEncoding.AppendEncode(dst, b.Base[:])
		dst = append(dst, '"')
	}
	dst = append(dst, `,"entries":[`...)
	for i, e := range b.Entries {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = e.append(dst)
	}
	return append(dst, "]}"...)
}

func (e Entry) append(dst []byte) []byte {
	dst = append(dst, `{"n":`...)
	dst = strconv.AppendInt(dst, e.N, 10)
	dst = append(dst, `,"k":"`...)
	dst = append(dst, e.Kind...)
	dst = append(dst, `","v":`...)
	dst = appendString(dst, e.Value)
	dst = append(dst, `,"u":`...)
	dst = strconv.AppendInt(dst, e.Until, 10)
	if e.At != 0 {
		dst = append(dst, `,"t":`...)
		dst = strconv.AppendInt(dst, e.At, 10)
	}
	return append(dst, '}')
}

// appendString appends s quoted; nearly always it needs no escaping.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			quoted, _ := json.Marshal(s) // a string always has a JSON form
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
