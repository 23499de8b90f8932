package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestHandle(t *testing.T) {
	t.Parallel()
	for jti, want := range map[string]string{"g.1": "g", "c.web.1": "c.web", "1": "", "": "", ".1": "", "g.": "g"} {
		if got := Handle(jti); got != want {
			t.Errorf("Handle(%q) = %q, want %q", jti, got, want)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	seen := map[ID]Kind{}
	for _, k := range []Kind{Token, Grant, Session, Key, Subject, Client, All} {
		e := Entry{Kind: k, Value: Value(k, "x")}
		id, err := e.ID()
		if err != nil || id != NewID(k, "x") {
			t.Errorf("%s: %v, %v, want %v", k, id, err, NewID(k, "x"))
		}
		if plain := e.Value == "x"; plain != k.Plain() {
			t.Errorf("%s stands as %q", k, e.Value)
		}
		if other, twice := seen[id]; twice {
			t.Errorf("%s and %s give one name", k, other)
		}
		seen[id] = k
	}
}

func TestExtend(t *testing.T) {
	t.Parallel()
	entries := []Entry{{1, Token, Value(Token, "a"), 5, 0}, {2, All, "", 6, 4}, {3, Client, "c", 7, 4}}
	at := Position{"i", 0, Start("i")}
	whole := at
	if err := whole.Extend(Batch{Incarnation: "i", To: 3, Entries: entries}); err != nil {
		t.Fatal(err)
	}
	pieces := at
	for i := range entries {
		if err := pieces.Extend(Batch{Incarnation: "i", From: int64(i), To: int64(i + 1), Entries: entries[i : i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	if whole != pieces || whole.N != 3 {
		t.Errorf("%v and %v", whole, pieces)
	}
	before := whole
	for _, b := range []Batch{{Incarnation: "i", From: 2, To: 2}, {Incarnation: "i", From: 4, To: 4}, {Incarnation: "j", From: 3, To: 3}} {
		if err := whole.Extend(b); !errors.Is(err, ErrGap) || whole != before {
			t.Errorf("%+v: %v", b, err)
		}
	}
	// Each member counts.
	for _, e := range []Entry{{2, Token, entries[0].Value, 5, 0}, {1, Grant, entries[0].Value, 5, 0}, {1, Token, Value(Token, "b"), 5, 0}, {1, Token, entries[0].Value, 6, 0}, {1, Token, entries[0].Value, 5, 1}} {
		if at.Hash.Next(e) == at.Hash.Next(entries[0]) {
			t.Errorf("%+v gives the same hash", e)
		}
	}
}

func TestParseBatchRefuses(t *testing.T) {
	t.Parallel()
	v := Value(Token, "a")
	for name, doc := range map[string]string{
		"nothing":              ``,
		"an array":             `[]`,
		"no incarnation":       `{"from":0,"to":0,"entries":[]}`,
		"a long incarnation":   `{"inc":"` + strings.Repeat("x", 65) + `","from":0,"to":0,"entries":[]}`,
		"to is not reached":    `{"inc":"i","from":0,"to":1,"entries":[]}`,
		"below zero":           `{"inc":"i","from":-1,"to":-1,"entries":[]}`,
		"a number left out":    `{"inc":"i","from":0,"to":2,"entries":[{"n":1,"k":"token","v":"` + v + `","u":1},{"n":3,"k":"token","v":"` + v + `","u":1}]}`,
		"a number twice":       `{"inc":"i","from":0,"to":2,"entries":[{"n":1,"k":"token","v":"` + v + `","u":1},{"n":1,"k":"token","v":"` + v + `","u":1}]}`,
		"an unknown kind":      `{"inc":"i","from":0,"to":1,"entries":[{"n":1,"k":"tenant","v":"` + v + `","u":1}]}`,
		"no end":               `{"inc":"i","from":0,"to":1,"entries":[{"n":1,"k":"token","v":"` + v + `"}]}`,
		"made before all time": `{"inc":"i","from":0,"to":1,"entries":[{"n":1,"k":"all","v":"","u":1,"t":-1}]}`,
		"a plain token":        `{"inc":"i","from":0,"to":1,"entries":[{"n":1,"k":"token","v":"jti","u":1}]}`,
		"a long client":        `{"inc":"i","from":0,"to":1,"entries":[{"n":1,"k":"client","v":"` + strings.Repeat("x", 2000) + `","u":1}]}`,
		"a number as text":     `{"inc":"i","from":"0","to":0,"entries":[]}`,
		"too large":            `{"inc":"i","from":0,"to":0,"entries":[]}` + strings.Repeat(" ", MaxBatchSize),
		"a hash that is short": `{"inc":"i","from":0,"to":0,"hash":"AA","entries":[]}`,
		"too many":             string(Batch{Incarnation: "i", To: MaxBatch + 1, Entries: make([]Entry, MaxBatch+1)}.Append(nil)),
	} {
		if b, err := ParseBatch([]byte(doc)); err == nil {
			t.Errorf("%s is taken: %+v", name, b)
		} else if (name == "an unknown kind") != errors.Is(err, ErrUnknownKind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParseBatch: what is read is numbered without a gap, and is written as it was
// read.
func FuzzParseBatch(f *testing.F) {
	start := Start("i")
	f.Add(Batch{Incarnation: "i", To: 2, Base: &start, Entries: []Entry{{1, Token, Value(Token, "a"), 5, 0}, {2, All, "", 6, 4}}}.Append(nil))
	f.Add(Batch{Incarnation: "\"\\é", From: 7, To: 8, Entries: []Entry{{8, Client, "a\"b", 5, 1}}}.Append(nil))
	f.Add([]byte(`{"inc":"i","from":0,"to":0,"entries":null}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		b, err := ParseBatch(doc)
		if err != nil {
			return
		}
		if b.To-b.From != int64(len(b.Entries)) || len(b.Entries) > MaxBatch {
			t.Fatalf("%+v", b)
		}
		for i, e := range b.Entries {
			if _, err := e.ID(); err != nil || e.N != b.From+int64(i)+1 || !e.Kind.known() {
				t.Fatalf("%+v: %v", e, err)
			}
		}
		again, err := ParseBatch(b.Append(nil))
		if err != nil || !reflect.DeepEqual(again, b) {
			t.Fatalf("%+v is read back as %+v, %v", b, again, err)
		}
		at := Position{b.Incarnation, b.From, Hash{}}
		if err := at.Extend(b); err != nil || at.N != b.To {
			t.Fatal(err)
		}
	})
}

func heartbeat() Heartbeat {
	return Heartbeat{Issuer: "https://id.example.com", Incarnation: "b", Former: []string{"a"}, N: 7, Hash: Start("x"), First: 3, JWKS: "h", AsOf: 1_795_000_000_000, Nonce: "n"}
}

func TestFollows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Heartbeat)
		ok     bool
	}{
		"the same":               {func(*Heartbeat) {}, true},
		"later":                  {func(h *Heartbeat) { h.AsOf++ }, true},
		"longer":                 {func(h *Heartbeat) { h.N, h.Hash, h.AsOf = 8, Start("y"), h.AsOf+1 }, true},
		"earlier":                {func(h *Heartbeat) { h.AsOf-- }, false},
		"shorter":                {func(h *Heartbeat) { h.N, h.AsOf = 6, h.AsOf+1 }, false},
		"a fork":                 {func(h *Heartbeat) { h.Hash, h.AsOf = Start("y"), h.AsOf+1 }, false},
		"longer and earlier":     {func(h *Heartbeat) { h.N, h.AsOf = 8, h.AsOf-1 }, false},
		"its successor":          {func(h *Heartbeat) { h.Incarnation, h.Former, h.N, h.AsOf = "c", []string{"a", "b"}, 1, 1 }, true},
		"a stranger":             {func(h *Heartbeat) { h.Incarnation, h.Former = "c", nil }, false},
		"a stranger's successor": {func(h *Heartbeat) { h.Incarnation, h.Former = "c", []string{"a"} }, false},
		"its predecessor":        {func(h *Heartbeat) { h.Incarnation, h.Former = "a", []string{"b"} }, false},
	} {
		h := heartbeat()
		c.change(&h)
		if err := h.Follows(heartbeat()); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseHeartbeat(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Heartbeat)
		ok     bool
	}{
		"sound":                   {func(*Heartbeat) {}, true},
		"empty log":               {func(h *Heartbeat) { h.N, h.First = 0, 1 }, true},
		"nothing is needed":       {func(h *Heartbeat) { h.First = 8 }, true},
		"no nonce":                {func(h *Heartbeat) { h.Nonce = "" }, true},
		"another issuer":          {func(h *Heartbeat) { h.Issuer += "/" }, false},
		"no incarnation":          {func(h *Heartbeat) { h.Incarnation = "" }, false},
		"a long incarnation":      {func(h *Heartbeat) { h.Incarnation = strings.Repeat("x", 65) }, false},
		"too many before it":      {func(h *Heartbeat) { h.Former = make([]string, 65) }, false},
		"below zero":              {func(h *Heartbeat) { h.N = -1 }, false},
		"first is 0":              {func(h *Heartbeat) { h.First = 0 }, false},
		"first is beyond the end": {func(h *Heartbeat) { h.First = 9 }, false},
		"no time":                 {func(h *Heartbeat) { h.AsOf = 0 }, false},
		"first, at the largest n": {func(h *Heartbeat) { h.N, h.First = math.MaxInt64, 1 }, false},
	} {
		h := heartbeat()
		c.change(&h)
		payload, err := h.Payload()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseHeartbeat(payload, "https://id.example.com")
		if (err == nil) != c.ok || err == nil && !reflect.DeepEqual(got, h) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, doc := range []string{``, `[]`, `{}`, `{"iss":1}`, `{"iss":"https://id.example.com","inc":"b","n":1e3,"hash":"x","first":1,"as_of":1}`} {
		if _, err := ParseHeartbeat([]byte(doc), "https://id.example.com"); err == nil {
			t.Errorf("%s is taken", doc)
		}
	}
}

// FuzzParseHeartbeat: what is read holds to its bounds, follows itself, and is written
// as it was read.
func FuzzParseHeartbeat(f *testing.F) {
	payload, err := heartbeat().Payload()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Add(bytes.Replace(payload, []byte(`"was":["a"],`), nil, 1))
	f.Fuzz(func(t *testing.T, doc []byte) {
		h, err := ParseHeartbeat(doc, "https://id.example.com")
		if err != nil {
			return
		}
		if h.N < 0 || h.First < 1 || h.First-1 > h.N || h.AsOf <= 0 || h.Incarnation == "" {
			t.Fatalf("%+v", h)
		}
		if err := h.Follows(h); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseHeartbeat(again, "https://id.example.com")
		if err != nil || back.Position() != h.Position() || back.AsOf != h.AsOf || back.Nonce != h.Nonce {
			t.Fatalf("%+v is read back as %+v, %v", h, back, err)
		}
	})
}
