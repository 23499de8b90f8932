package feed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func entry(n int64, k Kind, value string, until int64) Entry {
	e := Entry{N: n, Kind: k, Value: Value(k, value), Until: until}
	if k.Cutoff() {
		e.At = n
	}
	return e
}

func add(t interface{ Fatal(...any) }, v *View, entries ...Entry) {
	for _, e := range entries {
		if err := v.Add(e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestViewKinds(t *testing.T) {
	t.Parallel()
	token := Claims{ID: "g.1", SessionID: "s", Subject: "ada", ClientID: "web", KeyID: "k", Rev: 10, HasRev: true, IssuedAt: 100}
	foreign := token
	foreign.Rev, foreign.HasRev = 0, false
	for name, c := range map[string]struct {
		e              Entry
		token, foreign bool
	}{
		"its jti":                 {entry(11, Token, "g.1", 1), true, true},
		"another jti":             {entry(11, Token, "g.2", 1), false, false},
		"its grant as a token":    {entry(11, Token, "g", 1), false, false},
		"its grant":               {entry(11, Grant, "g", 1), true, true},
		"its jti as a grant":      {entry(11, Grant, "g.1", 1), false, false},
		"its session":             {entry(11, Session, "s", 1), true, true},
		"its subject as session":  {entry(11, Session, "ada", 1), false, false},
		"its key":                 {entry(11, Key, "k", 1), true, true},
		"another key":             {entry(11, Key, "K", 1), false, false},
		"a cutoff after it":       {Entry{11, Subject, Value(Subject, "ada"), 1, 100}, true, true},
		"a cutoff just before it": {Entry{10, Subject, Value(Subject, "ada"), 1, 99}, false, false},
		"of its client":           {Entry{11, Client, "web", 1, 100}, true, true},
		"of another client":       {Entry{11, Client, "we", 1, 100}, false, false},
		"of its client, before":   {Entry{10, Client, "web", 1, 99}, false, false},
		"of all":                  {Entry{11, All, "", 1, 100}, true, true},
		"of all, before":          {Entry{10, All, "", 1, 99}, false, false},
		"by number, not by time":  {Entry{11, All, "", 1, 50}, true, false},
	} {
		v := NewView(0)
		add(t, v, c.e)
		for range 2 { // the second time what is common is known
			if got := v.Revoked(NewNames(token)); got != c.token {
				t.Errorf("%s: %v", name, got)
			}
			if got := v.Revoked(NewNames(foreign)); got != c.foreign {
				t.Errorf("%s, without rev: %v", name, got)
			}
		}
		bare := NewNames(Claims{ID: "x.1", Subject: "x", ClientID: "x", Rev: 100, HasRev: true})
		if v.Revoked(bare) {
			t.Errorf("%s revokes another token", name)
		}
	}
}

func TestViewComposes(t *testing.T) {
	t.Parallel()
	v := NewView(0)
	names := NewNames(Claims{ID: "g.1", Subject: "ada", ClientID: "c", Rev: 7, HasRev: true})
	add(t, v, entry(9, Subject, "ada", 50), entry(5, Subject, "ada", 90))
	if !v.Revoked(names) {
		t.Error("a lower number takes a higher one back")
	}
	v.Forget(time.Unix(80, 0))
	if !v.Revoked(names) {
		t.Error("the later end does not count")
	}
	add(t, v, entry(10, Grant, "g", 900), entry(11, Grant, "g", 100))
	v.Forget(time.Unix(800, 0))
	if !v.Revoked(names) || v.Entries() != 1 {
		t.Errorf("an earlier end counts, or %d entries", v.Entries())
	}
}

func TestViewForgets(t *testing.T) {
	t.Parallel()
	v := NewView(0)
	for i := range 10_000 {
		add(t, v, entry(int64(i+1), Token, fmt.Sprint("a.", i), int64(600+i)))
	}
	for i, k := range []Kind{Subject, Client, Key, All} {
		add(t, v, entry(int64(20_000+i), k, "x", 5000))
	}
	full := v.Bytes()
	v.Forget(time.Unix(5000, 0))
	if n := v.Entries(); n < 5600+4 || n > 5700+4 {
		t.Errorf("%d entries", n)
	}
	for i := range 10_000 {
		if alive := 600+i >= 5000; alive && !v.Revoked(NewNames(Claims{ID: fmt.Sprint("a.", i), Rev: 1 << 40, HasRev: true})) {
			t.Fatalf("entry %d is lost before its end", i)
		}
	}
	v.Forget(time.Unix(20_000, 0))
	if n := v.Entries(); n != 0 || v.Bytes() > full/100 {
		t.Errorf("%d entries and %d octets are kept for ever", n, v.Bytes())
	}
}

func TestViewLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{4 << 10, 64 << 10, 1 << 20} {
		v := NewView(limit)
		n := 0
		for ; ; n++ {
			if err := v.Add(entry(int64(n+1), []Kind{Token, Token, Token, Subject}[n%4], fmt.Sprint(n), 1000)); err != nil {
				if !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
				break
			}
		}
		if v.Bytes() > limit || n < limit/100 {
			t.Errorf("limit %d: full after %d entries at %d octets", limit, n, v.Bytes())
		}
		for i := range n {
			c := Claims{ID: fmt.Sprint(i), Subject: fmt.Sprint(i), Rev: 0, HasRev: true}
			if !v.Revoked(NewNames(c)) {
				t.Fatalf("limit %d: entry %d of %d is lost", limit, i, n)
			}
		}
		// What is there already needs no room.
		add(t, v, entry(1, Token, "0", 2000))
		v.Forget(time.Unix(3000, 0))
		add(t, v, entry(1, Token, "again", 4000))
	}
}

func TestViewRefusesMalformed(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "x", "wRk8vhdKZdM3h3bR1CwqC", "wRk8vhdKZdM3h3bR1CwqCA=", "wRk8vhdKZdM3h3bR1CwqCB", "wRk8vhdKZdM3h3bR1CwqC\n", "wRk8vhdKZdM3h3bR1CwqCAAA"} {
		if err := NewView(0).Add(Entry{N: 1, Kind: Token, Value: bad, Until: 1}); err == nil {
			t.Errorf("the value %q is taken", bad)
		}
	}
}

// Who looks while others write never misses what was there before.
func TestViewConcurrently(t *testing.T) {
	t.Parallel()
	v := NewView(0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	add(t, v, entry(1, Token, "first", 1<<40), entry(2, Subject, "bob", 1<<40))
	for range 2 {
		wg.Go(func() {
			a := NewNames(Claims{ID: "first", Rev: 5, HasRev: true})
			b := NewNames(Claims{ID: "x", Subject: "bob", HasRev: true})
			c := NewNames(Claims{ID: "never", Subject: "eve", ClientID: "none", Rev: 1 << 40, HasRev: true})
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !v.Revoked(a) || !v.Revoked(b) || v.Revoked(c) {
					t.Error("a wrong verdict while the view changes")
					return
				}
			}
		})
	}
	for i := range 20_000 {
		kind := []Kind{Token, Grant, Subject}[i%3]
		if i%100 == 0 {
			kind = Client
		}
		add(t, v, entry(int64(i+3), kind, fmt.Sprint("k", i%5000), int64(60*i)))
		if i%1000 == 0 {
			v.Forget(time.Unix(int64(30*i), 0))
		}
	}
	close(stop)
	wg.Wait()
}

// A view takes at most 64 octets for each entry, whenever one looks, and not only by
// its own account. (A benchmark of verify measures a million.)
func TestViewMemory(t *testing.T) {
	const entries = 200_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	v := NewView(0)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range int64(entries) {
		id := ID{r.Uint64(), r.Uint64()}
		v.mu.Lock()
		if err := v.reserve(); err != nil {
			t.Fatal(err)
		}
		v.table.Load().put(id, i)
		v.mu.Unlock()
		if per := float64(v.Bytes()) / float64(i+1); i > 1000 && per > 64 {
			t.Fatalf("%.1f octets an entry at %d", per, i)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := float64(after.HeapAlloc-before.HeapAlloc) / entries
	t.Logf("%.1f octets an entry; Bytes says %.1f", per, float64(v.Bytes())/entries)
	if per > 64 {
		t.Error("that is more than 64")
	}
	runtime.KeepAlive(v)
}

// model is the plain truth about a log.
type model struct {
	now, head int64
	log       []Entry
	raw       []string // what each names
	tokens    []*modelToken
}

type modelToken struct {
	Claims
	expiry int64
	names  *Names
}

const modelLife = 1000 // longest life of a token, in seconds

func (m *model) revoked(t *modelToken) bool { return m.named(t, true) }

// ended tells whether a token, its grant, session or key was revoked for good.
func (m *model) ended(t *modelToken) bool { return m.named(t, false) }

func (m *model) named(t *modelToken, cutoffs bool) bool {
	for i, e := range m.log {
		if e.Kind.Cutoff() && !cutoffs {
			continue
		}
		named := false
		switch raw := m.raw[i]; e.Kind {
		case Token:
			named = t.ID == raw
		case Grant:
			named = Handle(t.ID) == raw
		case Session:
			named = t.SessionID != "" && t.SessionID == raw
		case Key:
			named = t.KeyID != "" && t.KeyID == raw
		case Subject:
			named = t.Subject == raw
		case Client:
			named = t.ClientID == raw
		case All:
			named = true
		}
		if named && e.Kind.Cutoff() {
			named = t.HasRev && t.Rev < e.N || !t.HasRev && t.IssuedAt <= e.At
		}
		if named {
			return true
		}
	}
	return false
}

// Any interleaving of tokens, revocations, cutoffs, passing time, forgetting, and
// readers that restart or take a snapshot again gives the verdicts of the model.
func TestViewIsLikeTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{now: 1_000_000}
		v := NewView(0)
		pick := func(name string, n int) string { return fmt.Sprint(name, rapid.IntRange(1, n).Draw(t, name)) }
		snapshot := func() {
			first := 0
			for first < len(m.log) && m.log[first].Until < m.now { // what is over may be lacking
				first++
			}
			for _, e := range m.log[rapid.IntRange(0, first).Draw(t, "from"):] {
				add(t, v, e)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"mint": func(t *rapid.T) {
				k := &modelToken{Claims: Claims{
					ID: pick("g", 4) + "." + pick("", 3), Subject: pick("sub", 3), ClientID: pick("c", 3), KeyID: pick("k", 2),
					IssuedAt: m.now, Rev: m.head, HasRev: rapid.Bool().Draw(t, "rev"),
				}, expiry: m.now + int64(rapid.IntRange(1, modelLife).Draw(t, "life"))}
				if rapid.Bool().Draw(t, "sid") {
					k.SessionID = pick("s", 3)
				}
				if !k.HasRev {
					k.Rev = 0
				}
				if m.ended(k) {
					return // nothing ended mints a token
				}
				k.names = NewNames(k.Claims)
				m.tokens = append(m.tokens, k)
			},
			"revoke": func(t *rapid.T) {
				kind := rapid.SampledFrom([]Kind{Token, Token, Grant, Session, Key, Subject, Client, All}).Draw(t, "kind")
				raw := map[Kind]string{
					Token: pick("g", 4) + "." + pick("", 3), Grant: pick("g", 4), Session: pick("s", 3), Key: pick("k", 2),
					Subject: pick("sub", 3), Client: pick("c", 3), All: "",
				}[kind]
				m.head++
				e := Entry{N: m.head, Kind: kind, Value: Value(kind, raw), Until: m.now + modelLife + 600}
				if kind.Cutoff() {
					e.At = m.now
				}
				m.log, m.raw = append(m.log, e), append(m.raw, raw)
				add(t, v, e)
			},
			"pass":     func(t *rapid.T) { m.now += int64(rapid.IntRange(1, 900).Draw(t, "seconds")) },
			"forget":   func(*rapid.T) { v.Forget(time.Unix(m.now, 0)) },
			"restart":  func(*rapid.T) { v = NewView(0); m.fresh(); snapshot() },
			"snapshot": func(*rapid.T) { snapshot() },
			"": func(t *rapid.T) {
				for _, k := range m.tokens {
					if k.expiry > m.now && v.Revoked(k.names) != m.revoked(k) {
						t.Fatalf("%+v: the model says %v", k.Claims, m.revoked(k))
					}
				}
			},
		})
	})
}

// fresh hashes the names anew, since a restarted reader has none.
func (m *model) fresh() {
	for _, k := range m.tokens {
		k.names = NewNames(k.Claims)
	}
}
