package demo

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/oauth/feed"
)

const incarnation = "life-1"

// log is what the test's issuer has revoked, with the feed that tells of it.
type log struct {
	is   *issuer
	key  *ecdsa.PrivateKey
	jwks []byte // the issuer's key set

	mu      sync.Mutex
	entries []feed.Entry
	wake    chan struct{} // closed when there is more
	over    chan struct{} // closed when the issuer is
	close   func()
}

func newLog(is *issuer) *log {
	l := &log{is: is, key: newKey(is.t), wake: make(chan struct{}), over: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.over) })
	var keys []map[string]any
	for kid, key := range map[string]*ecdsa.PrivateKey{"k1": is.key, "f1": l.key} {
		doc, err := json.Marshal(jose.JSONWebKey{Key: key.Public(), KeyID: kid, Algorithm: "ES256", Use: "sig"})
		member := map[string]any{}
		if err != nil || json.Unmarshal(doc, &member) != nil {
			is.t.Fatal("a key has no JSON form")
		}
		if kid == "f1" {
			member["jeton_use"] = "feed"
		}
		keys = append(keys, member)
	}
	l.jwks, _ = json.Marshal(map[string]any{"keys": keys})
	return l
}

// revoke adds an entry, after a while if there is a lag.
func (l *log) revoke(k feed.Kind, value string, lag time.Duration) {
	add := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.entries = append(l.entries, feed.Entry{
			N: int64(len(l.entries) + 1), Kind: k, Value: feed.Value(k, value), Until: time.Now().Add(time.Hour).Unix(),
		})
		close(l.wake)
		l.wake = make(chan struct{})
	}
	if lag == 0 {
		add()
		return
	}
	time.AfterFunc(lag, add)
}

// stream is the feed, to a reader that has nothing yet or goes on with what it has.
func (l *log) stream(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if id != l.is.api || secret != apiSecret {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	at := feed.Position{Incarnation: incarnation, Hash: feed.Start(incarnation)}
	event, nonce := feed.EventSnapshot, r.FormValue("nonce")
	beats := time.NewTicker(100 * time.Millisecond)
	defer beats.Stop()
	for {
		l.mu.Lock()
		b := feed.Batch{Incarnation: incarnation, From: at.N, To: int64(len(l.entries)), Entries: l.entries[at.N:]}
		wake := l.wake
		l.mu.Unlock()
		if event == feed.EventSnapshot {
			b.Base = &at.Hash
		}
		doc := b.Append(nil)
		if err := at.Extend(b); err != nil {
			l.is.t.Error(err)
		}
		fmt.Fprintf(w, "event: %s\ndata: %s\n\nevent: heartbeat\ndata: %s\n\n", event, doc, l.beat(at, nonce))
		_ = http.NewResponseController(w).Flush()
		event, nonce = feed.EventRevocations, ""
		select {
		case <-wake:
		case <-beats.C:
		case <-l.over:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (l *log) beat(at feed.Position, nonce string) string {
	payload, err := feed.Heartbeat{
		Issuer: l.is.URL, Incarnation: incarnation, N: at.N, Hash: at.Hash, First: 1,
		JWKS: feed.JWKSHash(l.jwks), AsOf: time.Now().UnixMilli(), Nonce: nonce,
	}.Payload()
	if err != nil {
		l.is.t.Error(err)
	}
	return l.is.jws("f1", l.key, feed.Typ, payload)
}
