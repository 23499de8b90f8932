package password

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/argon2"
)

// cheap keeps the tests quick; the costs change nothing else.
var cheap = Params{Memory: 64, Iterations: 1, Parallelism: 1}

const good = "correct horse battery staple"

func TestHashAndVerify(t *testing.T) {
	t.Parallel()
	h := New(cheap, 2, 2)
	phc, err := h.Hash(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Errorf("PHC string %q", phc)
	}
	again, err := h.Hash(t.Context(), good)
	if err != nil || again == phc {
		t.Errorf("a second hash is %q, %v: no new salt", again, err)
	}
	tests := []struct {
		name, phc, password string
		ok                  bool
	}{
		{"right", phc, good, true},
		{"wrong", phc, good + "!", false},
		{"empty", phc, "", false},
		{"case", phc, strings.ToUpper(good), false},
		{"unknown user", "", good, false},
		{"unknown user, empty password", "", "", false},
		{"not UTF-8", phc, "\xff" + good, false},
		{"too long", phc, strings.Repeat("a", 100_000), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ok, rehash, err := h.Verify(t.Context(), tt.phc, tt.password)
			if ok != tt.ok || rehash || err != nil {
				t.Errorf("Verify = %v, %v, %v", ok, rehash, err)
			}
		})
	}
}

func TestKnownAnswer(t *testing.T) {
	t.Parallel()
	// From the tests of the reference implementation, phc-winner-argon2.
	const phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	h := New(Params{}, 1, 0)
	ok, rehash, err := h.Verify(t.Context(), phc, "password")
	if !ok || !rehash || err != nil {
		t.Errorf("Verify = %v, %v, %v", ok, rehash, err)
	}
}

func TestNormalForm(t *testing.T) {
	t.Parallel()
	h := New(cheap, 1, 0)
	phc, err := h.Hash(t.Context(), "café au lait, zweimal")
	if err != nil {
		t.Fatal(err)
	}
	ok, _, err := h.Verify(t.Context(), phc, "cafe\u0301 au lait, zweimal")
	if !ok || err != nil {
		t.Errorf("the decomposed spelling gives %v, %v", ok, err)
	}
}

func TestRehash(t *testing.T) {
	t.Parallel()
	phc, err := New(cheap, 1, 0).Hash(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	h := New(Params{Memory: 128, Iterations: 1, Parallelism: 1}, 1, 0)
	if ok, rehash, err := h.Verify(t.Context(), phc, good); !ok || !rehash || err != nil {
		t.Errorf("right password: %v, %v, %v", ok, rehash, err)
	}
	if ok, rehash, err := h.Verify(t.Context(), phc, "wrong"); ok || rehash || err != nil {
		t.Errorf("wrong password: %v, %v, %v", ok, rehash, err)
	}
}

// Whoever is asked about, the same work is done (case 45).
func TestSameWork(t *testing.T) {
	t.Parallel()
	h := New(cheap, 1, 0)
	phc, err := h.Hash(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	type work struct {
		salt, key, time, memory uint32
		threads                 uint8
	}
	var done []work
	h.key = func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
		done = append(done, work{uint32(len(salt)), keyLen, time, memory, threads})
		return argon2.IDKey(password, salt, time, memory, threads, keyLen)
	}
	want := work{saltLength, keyLength, cheap.Iterations, cheap.Memory, cheap.Parallelism}
	for name, in := range map[string]struct{ phc, password string }{
		"right":            {phc, good},
		"wrong":            {phc, "wrong"},
		"unknown user":     {"", good},
		"not UTF-8":        {phc, "\xff"},
		"too long":         {phc, strings.Repeat("a", MaxBytes+1)},
		"unusable hash":    {"$2b$12$abc", good},
		"greedy hash":      {"$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", good},
		"unknown, invalid": {"", "\xff"},
	} {
		done = nil
		ok, _, err := h.Verify(t.Context(), in.phc, in.password)
		if ok != (name == "right") || (err != nil) != strings.HasSuffix(name, " hash") {
			t.Errorf("%s: Verify = %v, %v", name, ok, err)
		}
		if len(done) != 1 || done[0] != want {
			t.Errorf("%s: work done %v, want one of %v", name, done, want)
		}
	}
}

func TestHashRefuses(t *testing.T) {
	t.Parallel()
	h := New(cheap, 1, 0)
	if _, err := h.Hash(t.Context(), strings.Repeat("a", MaxBytes+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
	if _, err := h.Hash(t.Context(), "\xff"); !errors.Is(err, ErrNotText) {
		t.Errorf("not text: %v", err)
	}
}

// At most concurrent hashes run, at most queue wait, the rest is turned away.
func TestBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const concurrent, queue, more = 3, 4, 5
		h := New(cheap, concurrent, queue)
		var running, most atomic.Int64
		release := make(chan struct{})
		h.key = func(_, _ []byte, _, _ uint32, _ uint8, keyLen uint32) []byte {
			n := running.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-release
			running.Add(-1)
			return make([]byte, keyLen)
		}
		var wg sync.WaitGroup
		results := make(chan error, concurrent+queue+more)
		verify := func(n int) {
			for range n {
				wg.Go(func() {
					_, _, err := h.Verify(t.Context(), "", good)
					results <- err
				})
			}
			synctest.Wait()
		}
		verify(concurrent)
		if running.Load() != concurrent {
			t.Fatalf("%d hashes run, want %d", running.Load(), concurrent)
		}

		impatient, leave := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, _, err := h.Verify(impatient, "", good)
			gone <- err
		}()
		synctest.Wait()
		if h.waiting.Load() != 1 {
			t.Fatalf("%d wait, want 1", h.waiting.Load())
		}
		leave()
		if err := <-gone; !errors.Is(err, context.Canceled) || h.waiting.Load() != 0 {
			t.Errorf("the caller that left got %v; %d wait", err, h.waiting.Load())
		}

		verify(queue + more)
		if len(results) != more {
			t.Fatalf("%d callers were turned away, want %d", len(results), more)
		}
		for range more {
			if err := <-results; !errors.Is(err, ErrBusy) {
				t.Errorf("beyond the queue: %v", err)
			}
		}
		close(release)
		wg.Wait()
		close(results)
		served := 0
		for err := range results {
			if served++; err != nil {
				t.Errorf("a caller in line got %v", err)
			}
		}
		if served != concurrent+queue || most.Load() != concurrent || h.waiting.Load() != 0 {
			t.Errorf("%d served, %d at once at most, %d still waiting", served, most.Load(), h.waiting.Load())
		}
	})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(cheap, 1, 0).Hash(ended, good); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended gives %v", err)
	}
}

// A slot is free again after a hash that panicked.
func TestPanicFreesSlot(t *testing.T) {
	t.Parallel()
	h := New(cheap, 1, 0)
	h.key = func(_, _ []byte, _, _ uint32, _ uint8, _ uint32) []byte { panic("out of memory") }
	func() {
		defer func() { _ = recover() }()
		_, _ = h.Hash(t.Context(), good)
	}()
	h.key = argon2.IDKey
	if _, err := h.Hash(t.Context(), good); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

func BenchmarkVerify(b *testing.B) {
	h := New(Default, 1, 0)
	phc, err := h.Hash(b.Context(), good)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if ok, _, err := h.Verify(b.Context(), phc, good); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
