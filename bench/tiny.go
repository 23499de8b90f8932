package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// tiny is an issuer that does nothing but publish keys and a feed: in the rows of the
// verifier the processors are to be the verifier's.
type tiny struct {
	*httptest.Server
	token, feed *ecdsa.PrivateKey
	keys        []byte
	each        int // revocations a second

	mu  sync.Mutex
	at  feed.Position
	all []feed.Entry
}

// newTiny has so many revocations from the start, and more each second.
func newTiny(entries, each int) (*tiny, error) {
	t := &tiny{each: each, at: feed.Position{Incarnation: "bench", Hash: feed.Start("bench")}}
	var public []jwks.Key
	for i, into := range []**ecdsa.PrivateKey{&t.token, &t.feed} {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		k, err := jwks.New([]string{"token", "feed"}[i], oauth.ES256, &private.PublicKey)
		if err != nil {
			return nil, err
		}
		k.Feed = i == 1
		*into, public = private, append(public, k)
	}
	set, err := jwks.NewSet(public...)
	if err != nil {
		return nil, err
	}
	if t.keys, err = json.Marshal(set); err != nil {
		return nil, err
	}
	t.revoke(entries)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%[1]s/jwks","revocation_feed_endpoint":"%[1]s/revocations"}`, t.URL)
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(t.keys) })
	mux.HandleFunc("GET /revocations", t.stream)
	t.Server = httptest.NewServer(mux)
	return t, nil
}

// revoke adds n entries that name nothing.
func (t *tiny) revoke(n int) feed.Batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := feed.Batch{Incarnation: t.at.Incarnation, From: t.at.N, To: t.at.N + int64(n)}
	until := time.Now().Add(time.Hour).Unix()
	for i := range n {
		var name [16]byte
		_, _ = rand.Read(name[:]) // never fails
		binary.BigEndian.PutUint64(name[:], binary.BigEndian.Uint64(name[:])|1)
		b.Entries = append(b.Entries, feed.Entry{N: b.From + int64(i) + 1, Kind: feed.Token, Value: base64.RawURLEncoding.EncodeToString(name[:]), Until: until})
	}
	t.all = append(t.all, b.Entries...)
	_ = t.at.Extend(b) // it follows
	return b
}

// stream serves a snapshot, a heartbeat, and then entries and heartbeats for as long
// as its reader stays.
func (t *tiny) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	c := http.NewResponseController(w)
	send := func(name, data string, id int64) {
		fmt.Fprintf(w, "event: %s\nid: %d\ndata: %s\n\n", name, id, data)
		_ = c.Flush() // the loop sees a reader that left
	}
	batch := func(name string, b feed.Batch) { send(name, string(b.Append(nil)), b.To) }
	t.mu.Lock()
	all := t.all
	t.mu.Unlock()
	after, err := strconv.Atoi(r.URL.Query().Get("after"))
	if err != nil {
		start := feed.Start(t.at.Incarnation)
		batch(feed.EventSnapshot, feed.Batch{Incarnation: t.at.Incarnation, Base: &start})
	}
	for from := after; from < len(all); from += feed.MaxBatch {
		part := all[from:min(from+feed.MaxBatch, len(all))]
		batch(feed.EventRevocations, feed.Batch{Incarnation: t.at.Incarnation, From: int64(from), To: int64(from + len(part)), Entries: part})
	}
	beat := func(nonce string) {
		payload, _ := feed.Heartbeat{
			Issuer: t.URL, Incarnation: t.at.Incarnation, N: t.at.N, Hash: t.at.Hash, First: 1,
			JWKS: feed.JWKSHash(t.keys), AsOf: time.Now().UnixMilli(), Nonce: nonce,
		}.Payload()
		send(feed.EventHeartbeat, sign(t.feed, "feed", feed.Typ, payload), t.at.N)
	}
	beat(r.URL.Query().Get("nonce"))
	const parts = 20 // of a second
	ticker := time.NewTicker(time.Second / parts)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
			if t.each > 0 {
				batch(feed.EventRevocations, t.revoke(t.each/parts))
			}
			if n%parts == 0 {
				beat("")
			}
		}
	}
}

// mint makes an access token of about 900 bytes.
func (t *tiny) mint(n int) string {
	claims, _ := json.Marshal(map[string]any{
		"iss": t.URL, "sub": "u_0123456789abcdefghijkl", "aud": api, "client_id": webClient, "scope": scope + " orders:write profile email",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "jti": fmt.Sprintf("grant%d.%d", n, n), "rev": 1 << 30,
		"roles": []string{"customer", "editor", "auditor"}, "acr": "urn:example:loa:2", "amr": []string{"pwd", "otp"}, "auth_time": time.Now().Unix(),
		"padding": strings.Repeat("x", 190),
	})
	return sign(t.token, "token", oauth.TypAccessToken, claims)
}

// sign makes a compact JWS by ES256.
func sign(key *ecdsa.PrivateKey, kid, typ string, payload []byte) string {
	enc := base64.RawURLEncoding
	signed := enc.EncodeToString(fmt.Appendf(nil, `{"alg":"ES256","kid":%q,"typ":%q}`, kid, typ)) + "." + enc.EncodeToString(payload)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err) // a sound key and a sound source of randomness always sign
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	return signed + "." + enc.EncodeToString(raw)
}
