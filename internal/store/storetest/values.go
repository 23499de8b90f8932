package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jeton-auth/jeton/internal/store"
)

// texts are what a text may be.
var texts = []string{
	"", " ", "'; DROP TABLE users; --", `"\`, "$1 ? %s", "a\r\n\tb\x01\x7f", "é", "e\u0301", "ß", "Ω漢字", "👩‍👩‍👧", "\u202eright to left", "\uffff\U0010ffff",
	"null", "NaN", "0", strings.Repeat("long ", 20_000),
}

// blobs are what bytes may be.
var blobs = [][]byte{{0}, {}, {0xff, 0, 0xfe}, []byte(`\x00`), bytes.Repeat([]byte{0, 1, 0xff}, 100_000)}

// Whatever a value is, it comes back as it was.
func testValues(t *testing.T, f *fixture) {
	f.people()
	for i, text := range texts {
		u := store.User{ID: fmt.Sprintf("u_%d", i), Email: fmt.Sprintf("%d@example.com", i), Name: text, Password: text, Claims: map[string]any{"c": text}, Roles: []string{text}}
		s := store.Session{ID: []byte(u.ID), Subject: ada, ACR: text, UserAgent: text, Address: text, IdleAt: Begin.Add(time.Hour), AbsoluteAt: Begin.Add(time.Hour), AMR: []string{text}}
		e := store.AuditEvent{ID: u.ID, Type: text, Subject: text, Client: text, Grant: text, Actor: text, Address: text, Request: text, Data: text}
		f.write(func(tx *store.Tx) error {
			return errors.Join(tx.CreateUser(u), tx.CreateSession(s), tx.AppendAudit(e), tx.PutAttempt(key(text), Begin),
				tx.PutConsent(store.Consent{Subject: ada, Client: key(text), Scopes: map[string][]string{text: {text}}}))
		})
		u.CreatedAt, u.UpdatedAt, s.SeenAt, e.At = Begin, Begin, Begin, Begin
		equal(t, "a user", is[store.User](t)(f.read().User(u.ID)), u)
		equal(t, "a session", is[store.Session](t)(f.read().Session(s.ID, Begin)), s)
		all := is[[]store.AuditEvent](t)(f.read().AuditEvents(Begin, len(texts)+1))
		equal(t, "an event", all[slices.IndexFunc(all, func(a store.AuditEvent) bool { return a.ID == e.ID })], e)
		equal(t, "a limit", is[time.Time](t)(f.read().Attempt(key(text))), Begin)
		equal(t, "a consent", is[store.Consent](t)(f.read().Consent(ada, key(text))).Scopes, map[string][]string{text: {text}})
	}
	for i, blob := range blobs {
		k := store.Key{ID: fmt.Sprint(i), Number: 1<<62 + int64(i), Public: blob, Sealed: blob}
		w := store.Flow{ID: first(i), Browser: blob, Session: blob, ExpiresAt: Begin.Add(time.Hour)}
		g := coded()
		g.Secret, g.Session = blob, blob[:min(len(blob), 64)] // sessions are in an index, whose entries are short
		f.write(func(tx *store.Tx) error { return errors.Join(tx.CreateKey(k), tx.CreateFlow(w), tx.CreateGrant(g)) })
		k.CreatedAt, w.CreatedAt = Begin, Begin
		keys := is[[]store.Key](t)(f.read().Keys())
		equal(t, "a key", keys[len(keys)-1], k)
		equal(t, "a flow", is[store.Flow](t)(f.read().Flow(w.ID, Begin)), w)
		kept := is[store.Grant](t)(f.read().Grant(g.ID))
		equal(t, "a grant's secret", kept.Secret, g.Secret)
		equal(t, "a grant's session", kept.Session, g.Session)
	}
	// All of an id counts, zeros at its ends too.
	for _, id := range []store.FlowID{{}, {15: 1}, {0: 0xff}} {
		f.write(func(tx *store.Tx) error { return tx.CreateFlow(store.Flow{ID: id, ExpiresAt: Begin.Add(time.Hour)}) })
		equal(t, "a flow's id", is[store.Flow](t)(f.read().Flow(id, Begin)).ID, id)
	}
	// Times are kept to the millisecond, and far ones as well.
	for _, at := range []time.Time{Begin.Add(1999999 * time.Nanosecond), time.UnixMilli(-1), time.UnixMilli(1), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)} {
		f.write(func(tx *store.Tx) error { return tx.PutAttempt("at", at) })
		equal(t, "a time", is[time.Time](t)(f.read().Attempt("at")), at.Truncate(time.Millisecond))
	}
}

// key is a text as a key, which has an end.
func key(text string) string { return text[:min(len(text), 200)] }

// A text that not every engine keeps is refused by all of them, and nothing of its
// transaction stays. Where it is looked for, it is not there.
func testNoNUL(t *testing.T, f *fixture) {
	f.people()
	for _, bad := range []string{"a\x00b", "\x00", "a\xffb", "\xed\xa0\x80"} {
		if utf8.ValidString(bad) && !strings.Contains(bad, "\x00") {
			t.Fatalf("%q is a good text", bad)
		}
		for name, body := range map[string]func(*store.Tx) error{
			"user":    func(tx *store.Tx) error { return tx.CreateUser(store.User{ID: "u_1", Email: "e", Name: bad}) },
			"update":  func(tx *store.Tx) error { return tx.UpdateUser(store.User{ID: ada, Email: bad}) },
			"attempt": func(tx *store.Tx) error { return tx.PutAttempt(bad, Begin) },
			"consent": func(tx *store.Tx) error { return tx.PutConsent(store.Consent{Subject: bad}) },
			"audit":   func(tx *store.Tx) error { return tx.AppendAudit(store.AuditEvent{ID: "e", Client: bad}) },
			"session": func(tx *store.Tx) error { return tx.CreateSession(store.Session{ID: []byte("s"), UserAgent: bad}) },
			"end":     func(tx *store.Tx) error { _, err := tx.EndGrant(first(1), bad); return err },
		} {
			t.Log(name)
			f.refused(store.ErrText, func(tx *store.Tx) error {
				return errors.Join(tx.PutAttempt("before", Begin), body(tx))
			})
		}
		none, err := f.read().Attempt("before")
		gone(t, "what came before a text that was refused", none, err)
		if _, err := f.read().UserByLogin(bad); !errors.Is(err, store.ErrText) && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the user %q: %v", bad, err)
		}
	}
	// In JSON both are written as text of another form.
	f.write(func(tx *store.Tx) error {
		return tx.PutConsent(store.Consent{Subject: ada, Client: shop, Scopes: map[string][]string{"": {"\x00"}}})
	})
	equal(t, "a NUL in JSON", is[store.Consent](t)(f.read().Consent(ada, shop)).Scopes, map[string][]string{"": {"\x00"}})
}

// Lists are in one order, whichever it is in the database's language: whoever goes on
// after the last one of a page misses none and meets none again.
func testOrder(t *testing.T, f *fixture) {
	ids := []string{"Z", "a", "_", "-", "a-b", "ab", "é", "e", "~", "10", "9", "Ω", "u_1", "U1"}
	f.write(func(tx *store.Tx) (err error) {
		for _, id := range ids {
			err = errors.Join(err, tx.CreateUser(store.User{ID: id, Email: "x" + id}), tx.PutClient(client(id)))
		}
		return err
	})
	var users, clients []string
	for after := ""; len(users) <= len(ids); {
		page := is[[]store.User](t)(f.read().Users(after, 4))
		if len(page) == 0 {
			break
		}
		for _, u := range page {
			users = append(users, u.ID)
		}
		after = users[len(users)-1]
	}
	for _, c := range is[[]store.Client](t)(f.read().Clients()) {
		clients = append(clients, c.ID)
	}
	equal(t, "the clients, beside the users page by page", clients, users)
	slices.Sort(users)
	slices.Sort(ids)
	equal(t, "the users", users, ids)
}
