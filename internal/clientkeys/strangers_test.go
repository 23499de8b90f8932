package clientkeys

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"testing"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/fetch"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
)

// Nobody who only names a client can spoil what is known of its keys: neither by a kid
// that makes us ask a server which fails, nor by going away while we ask.
func TestStrangersSpoilNothing(t *testing.T) {
	t.Parallel()
	own, stranger := newKey(t, "1"), newKey(t, "2")
	s := publish(t, set(t, own))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Verify(gone, s.client, own.sign(t, nil), spec.Algs); err != nil {
		t.Errorf("who asked first went away: %v", err)
	}
	s.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	s.clock.Advance(Least)
	s.want(stranger.sign(t, nil), ErrNoKey, 1)
	s.want(stranger.sign(t, nil), ErrNoKey, 0)
	s.want(own.sign(t, nil), nil, 0)
	s.clock.Advance(Usual)
	s.want(own.sign(t, nil), ErrFetch, 1)
}

// While the keys are fetched once more for a stranger's kid, and the site is slow, those
// that are kept serve.
func TestStrangersHoldNobodyUp(t *testing.T) {
	t.Parallel()
	one, stranger := newKey(t, "1"), newKey(t, "stranger")
	s := publish(t, set(t, one))
	s.want(one.sign(t, nil), nil, 1)
	asked, answer := make(chan struct{}), make(chan struct{})
	s.does(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-answer
	})
	s.clock.Advance(Least)
	done := make(chan struct{})
	compact := stranger.sign(t, nil)
	go func() {
		defer close(done)
		_, _ = s.Verify(t.Context(), s.client, compact, spec.Algs)
	}()
	<-asked
	s.want(one.sign(t, nil), nil, 0)
	select {
	case <-done:
		t.Error("the known key waited until the site was given up")
	default:
	}
	close(answer)
	<-done
}

func FuzzVerify(f *testing.F) {
	out, err := fetch.New(nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	own := newKey(f, "1")
	keys := New(out, clock.System{})
	client := &store.Client{Client: spec.Client{ID: "bank", JWKS: spec.JWKS(set(f, own))}}
	f.Add(own.sign(f, nil))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "..")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		signed, err := keys.Verify(t.Context(), client, text, spec.Algs)
		if err == nil && string(signed.Payload) != `{"iss":"shop"}` {
			t.Fatalf("%q says %q", text, signed.Payload)
		}
		if err != nil && !errors.Is(err, ErrForm) && !errors.Is(err, ErrNoKey) && !errors.Is(err, ErrSignature) {
			t.Fatal(err)
		}
	})
}
