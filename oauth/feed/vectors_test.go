package feed_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

var update = flag.Bool("update", false, "write testdata/vectors.json")

const (
	vectorIssuer = "https://id.example.com"
	vectorFile   = "testdata/vectors.json"
	inc          = "c3VtbWVy"
	former       = "d2ludGVy"
	nonce        = "Qm9uam91cg"
	vectorTime   = int64(1_795_000_000)
)

// vectors is the document; docs/revocation-feed.md describes it.
type vectors struct {
	Issuer      string       `json:"issuer"`
	Names       []name       `json:"names"`
	Hashes      hashes       `json:"hashes"`
	JWKS        string       `json:"jwks"`
	JWKSHash    string       `json:"jwks_hash"`
	Heartbeats  []heartbeat  `json:"heartbeats"`
	Tokens      []token      `json:"tokens"`
	Transcripts []transcript `json:"transcripts"`
}

type name struct {
	Kind  feed.Kind `json:"k"`
	Value string    `json:"value"`
	V     string    `json:"v"`
}

type hashes struct {
	Inc     string   `json:"inc"`
	Start   string   `json:"start"`
	Entries []hashed `json:"entries"`
}

type hashed struct {
	N     int64     `json:"n"`
	Kind  feed.Kind `json:"k"`
	Value string    `json:"v"`
	Until int64     `json:"u"`
	At    int64     `json:"t,omitempty"`
	Hash  string    `json:"hash"`
}

type heartbeat struct {
	Name  string          `json:"name"`
	JWS   string          `json:"jws"`
	Valid bool            `json:"valid"`
	Says  json.RawMessage `json:"claims,omitempty"`
}

type token struct {
	Name    string         `json:"name"`
	Kid     string         `json:"kid"`
	Claims  map[string]any `json:"claims"`
	Revoked bool           `json:"revoked"`
}

type transcript struct {
	Name   string `json:"name"`
	Nonce  string `json:"nonce"`
	Stream string `json:"stream"`
	OK     bool   `json:"ok"`
	N      int64  `json:"n"`
	Hash   string `json:"hash,omitempty"`
}

// vectorKey is a private key that is always the same, so that the vectors are.
type vectorKey struct {
	jwks.Key
	private *ecdsa.PrivateKey
}

func newVectorKey(kid string, isFeed bool) vectorKey {
	d := sha256.Sum256([]byte("jeton vectors " + kid))
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d[:])
	if err != nil {
		panic(err)
	}
	k, err := jwks.New(kid, oauth.ES256, private.Public())
	if err != nil {
		panic(err)
	}
	k.Feed = isFeed
	return vectorKey{k, private}
}

func (k vectorKey) jws(header, payload string) string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	sum := sha256.Sum256([]byte(signed))
	der, err := k.private.Sign(nil, sum[:], crypto.SHA256) // RFC 6979: always the same
	if err != nil {
		panic(err)
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		panic(err)
	}
	return signed + "." + encode(append(sig.R.FillBytes(make([]byte, 32)), sig.S.FillBytes(make([]byte, 32))...))
}

func (k vectorKey) heartbeat(h feed.Heartbeat) string {
	payload, err := h.Payload()
	if err != nil {
		panic(err)
	}
	return k.jws(fmt.Sprintf(`{"alg":"ES256","kid":%q,"typ":%q}`, k.ID, feed.Typ), string(payload))
}

// vectorLog is the log of all the vectors.
func vectorLog() []feed.Entry {
	entry := func(k feed.Kind, value string) feed.Entry {
		return feed.Entry{Kind: k, Value: feed.Value(k, value)}
	}
	log := []feed.Entry{
		entry(feed.Token, "g-over.1"), entry(feed.Token, "g-ada.2"), entry(feed.Grant, "g-eve"), entry(feed.Session, "session-7"),
		entry(feed.Subject, "bob"), entry(feed.Client, "shop-\"wéb\""), entry(feed.Grant, "g-zoe"), entry(feed.Key, "token-2"), entry(feed.All, ""),
	}
	for i := range log {
		log[i].N, log[i].Until = int64(i)+1, vectorTime+4200+int64(i)
		if log[i].Kind.Cutoff() {
			log[i].At = vectorTime + int64(i)
		}
	}
	return log
}

func makeVectors() vectors {
	tokenKey, secondKey, feedKey, stranger := newVectorKey("token-1", false), newVectorKey("token-2", false), newVectorKey("feed-1", true), newVectorKey("feed-9", true)
	set, err := jwks.NewSet(tokenKey.Key, secondKey.Key, feedKey.Key)
	if err != nil {
		panic(err)
	}
	doc, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	v := vectors{Issuer: vectorIssuer, JWKS: string(doc), JWKSHash: feed.JWKSHash(doc)}
	for _, n := range []struct {
		k     feed.Kind
		value string
	}{
		{feed.Token, "g-ada.2"},
		{feed.Grant, "g-ada"},
		{feed.Session, "session-7"},
		{feed.Subject, "bob"},
		{feed.Subject, "zoë"},
		{feed.Key, "token-2"},
		{feed.Client, "shop-web"},
		{feed.All, ""},
	} {
		v.Names = append(v.Names, name{n.k, n.value, feed.Value(n.k, n.value)})
	}
	log, at := vectorLog(), []feed.Hash{feed.Start(inc)}
	v.Hashes = hashes{Inc: inc, Start: at[0].String()}
	for _, e := range log {
		h := at[len(at)-1].Next(e)
		at = append(at, h)
		v.Hashes.Entries = append(v.Hashes.Entries, hashed{e.N, e.Kind, e.Value, e.Until, e.At, h.String()})
	}
	state := func(n int64) feed.Heartbeat {
		return feed.Heartbeat{
			Issuer: vectorIssuer, Incarnation: inc, Former: []string{former}, N: n, Hash: at[n], First: 2, JWKS: v.JWKSHash,
			AsOf: vectorTime*1000 + 10*n, // a reader takes all of it at once
		}
	}
	v.heartbeats(state(9), feedKey, tokenKey, stranger)
	v.tokens()
	v.transcripts(log, at, state, feedKey, tokenKey)
	return v
}

func (v *vectors) heartbeats(h feed.Heartbeat, feedKey, tokenKey, stranger vectorKey) {
	payload, err := h.Payload()
	if err != nil {
		panic(err)
	}
	good := feedKey.heartbeat(h)
	later := h
	later.AsOf++
	header := func(s string) string { return feedKey.jws(s, string(payload)) }
	evil := h
	evil.Issuer = "https://evil.example"
	v.Heartbeats = []heartbeat{
		{"good", good, true, payload},
		{"by a key that signs tokens", tokenKey.heartbeat(h), false, nil},
		{"by a key that is not published", stranger.heartbeat(h), false, nil},
		{"by the feed's kid and another key", stranger.jws(`{"alg":"ES256","kid":"feed-1","typ":"jeton-feed+jwt"}`, string(payload)), false, nil},
		{"of another typ", header(`{"alg":"ES256","kid":"feed-1","typ":"at+jwt"}`), false, nil},
		{"without typ", header(`{"alg":"ES256","kid":"feed-1"}`), false, nil},
		{"of another algorithm", header(`{"alg":"RS256","kid":"feed-1","typ":"jeton-feed+jwt"}`), false, nil},
		{"without signature", strings.Join(strings.Split(header(`{"alg":"none","kid":"feed-1","typ":"jeton-feed+jwt"}`), ".")[:2], ".") + ".", false, nil},
		{"of another issuer", feedKey.heartbeat(evil), false, nil},
		{"with another's signature", good[:strings.LastIndexByte(good, '.')] + feedKey.heartbeat(later)[strings.LastIndexByte(feedKey.heartbeat(later), '.'):], false, nil},
		{"with another's payload", strings.Split(good, ".")[0] + "." + strings.Split(feedKey.heartbeat(later), ".")[1] + "." + strings.Split(good, ".")[2], false, nil},
		{"not JSON", feedKey.jws(`{"alg":"ES256","kid":"feed-1","typ":"jeton-feed+jwt"}`, "{"), false, nil},
	}
}

// tokens are the verdicts after the transcript "whole".
func (v *vectors) tokens() {
	add := func(name string, revoked bool, kid string, claims map[string]any) {
		all := map[string]any{"jti": "g-new.1", "sub": "ada", "client_id": "app", "iat": vectorTime + 60, "rev": 9}
		for k, c := range claims {
			if all[k] = c; c == nil {
				delete(all, k)
			}
		}
		v.Tokens = append(v.Tokens, token{name, kid, all, revoked})
	}
	add("good", false, "token-1", nil)
	add("its jti", true, "token-1", map[string]any{"jti": "g-ada.2"})
	add("another token of that grant", false, "token-1", map[string]any{"jti": "g-ada.3"})
	add("its grant", true, "token-1", map[string]any{"jti": "g-eve.17"})
	add("a grant with a dot in its handle", false, "token-1", map[string]any{"jti": "g-eve.17.1"})
	add("its session", true, "token-1", map[string]any{"sid": "session-7"})
	add("another session", false, "token-1", map[string]any{"sid": "session-8"})
	add("its key", true, "token-2", nil)
	add("its subject, before", false, "token-1", map[string]any{"sub": "bob", "rev": 9})
	add("all, made before", true, "token-1", map[string]any{"rev": 8})
	add("without rev, made in the second of all", true, "token-1", map[string]any{"rev": nil, "iat": vectorTime + 8})
	add("without rev, made after", false, "token-1", map[string]any{"rev": nil, "iat": vectorTime + 9})
	add("its client's cutoff is older", false, "token-1", map[string]any{"client_id": "shop-\"wéb\""})
}

func event(name string, id int64, data string) string {
	return fmt.Sprintf("event: %s\nid: %d\ndata: %s\n\n", name, id, data)
}

func (v *vectors) transcripts(log []feed.Entry, at []feed.Hash, state func(int64) feed.Heartbeat, feedKey, tokenKey vectorKey) {
	batch := func(from, to int64) feed.Batch {
		return feed.Batch{Incarnation: inc, From: from, To: to, Entries: log[from:to]}
	}
	more := func(from, to int64) string {
		return event(feed.EventRevocations, to, string(batch(from, to).Append(nil)))
	}
	snapshot := func(from, to int64) string {
		b := batch(from, to)
		b.Base = &at[from]
		return event(feed.EventSnapshot, to, string(b.Append(nil)))
	}
	beat := func(n int64, change func(*feed.Heartbeat)) string {
		h := state(n)
		change(&h)
		return event(feed.EventHeartbeat, n, feedKey.heartbeat(h))
	}
	first := func(h *feed.Heartbeat) { h.Nonce = nonce }
	plain := func(*feed.Heartbeat) {}
	begun := snapshot(1, 4) + beat(4, first)
	add := func(name string, ok bool, n int64, stream string) {
		t := transcript{Name: name, Nonce: nonce, Stream: stream, OK: ok, N: n}
		if ok {
			t.Hash = at[n].String()
		}
		v.Transcripts = append(v.Transcripts, t)
	}
	add("whole", true, 9, ": a comment\n\n"+snapshot(1, 3)+more(3, 4)+beat(4, first)+more(4, 7)+beat(7, plain)+more(7, 8)+
		event("something", 8, "from a later version")+more(8, 9)+beat(9, plain)+": the end\n\nevent: heartbeat\ndata: cut")
	add("line ends of another kind", true, 4, strings.ReplaceAll(begun, "\n", "\r\n"))
	add("a batch without entries", true, 4, begun+more(4, 4)+beat(4, plain))
	add("from the beginning", true, 9, snapshot(0, 9)+beat(9, first))
	add("a gap", false, 4, begun+more(5, 6)+beat(6, plain))
	add("no snapshot", false, 0, more(0, 4)+beat(4, first))
	add("another nonce", false, 0, snapshot(1, 4)+beat(4, func(h *feed.Heartbeat) { h.Nonce = "another" }))
	add("no nonce", false, 0, snapshot(1, 4)+beat(4, plain))
	add("the snapshot lacks an entry that is needed", false, 0, snapshot(2, 4)+beat(4, first))
	add("a heartbeat ahead of the entries", false, 4, begun+beat(5, plain))
	add("a heartbeat with another hash", false, 4, begun+more(4, 5)+beat(5, func(h *feed.Heartbeat) { h.Hash[0] ^= 1 }))
	add("a heartbeat by a key that signs tokens", false, 4, begun+event(feed.EventHeartbeat, 4, tokenKey.heartbeat(state(4))))
	add("an unknown kind", false, 4, begun+strings.Replace(more(4, 5), `"k":"subject"`, `"k":"tenant"`, 1)+beat(5, plain))
	add("another incarnation", false, 4, begun+strings.Replace(more(4, 5), inc, former, 1)+beat(5, plain))
	add("the log went back", false, 4, begun+snapshot(1, 3)+beat(3, func(h *feed.Heartbeat) { h.AsOf = state(5).AsOf }))
	other := batch(4, 5)
	other.Entries = []feed.Entry{{N: 5, Kind: feed.All, Until: vectorTime + 4200, At: vectorTime}}
	add("an entry that was changed on the way", false, 4, begun+event(feed.EventRevocations, 5, string(other.Append(nil)))+beat(5, plain))
}

// TestVectors: the file is what this makes.
func TestVectors(t *testing.T) {
	t.Parallel()
	var made bytes.Buffer
	e := json.NewEncoder(&made)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(makeVectors()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(vectorFile, made.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, made.Bytes()) {
		t.Errorf("%s is not what the test makes: go test ./oauth/feed -run TestVectors -update", vectorFile)
	}
}
