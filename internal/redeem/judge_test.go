package redeem

import (
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	const grace = 10 * time.Second
	const soon, later = 5 * time.Second, 11 * time.Second
	for _, c := range []struct {
		name         string
		s, n         int64
		rotates      bool
		confidential bool
		served       time.Duration
		want         verdict
	}{
		{"the current number rotates", 5, 5, true, false, later, rotate},
		{"the current number of a client that does not rotate stays", 1, 1, false, true, later, stay},
		{"the number before, within grace: the same successor", 5, 4, true, false, soon, repeat},
		{"exactly at the end of grace counts as within", 5, 4, true, false, grace, repeat},
		{"the number before, after grace, confidential: nobody used the successor", 5, 4, true, true, later, repeat},
		{"the number before, after grace, public: replay", 5, 4, true, false, later, replay},
		{"an older number, within grace: a late tab", 5, 3, true, false, soon, late},
		{"an older number, within grace, confidential too", 5, 1, true, true, soon, late},
		{"an older number, later: replay", 5, 3, true, false, later, replay},
		{"an older number, later, confidential too", 5, 1, true, true, later, replay},
		{"a number above the row: writes were lost", 5, 6, true, true, soon, ahead},
		{"a number above the row, far", 1, 100, false, false, later, ahead},
		{"a client that no longer rotates still replays", 5, 3, false, true, later, replay},
	} {
		if got := judge(c.s, c.n, c.rotates, c.confidential, c.served, grace); got != c.want {
			t.Errorf("%s: judge(s=%d, n=%d) = %d, want %d", c.name, c.s, c.n, got, c.want)
		}
	}
}

func TestProves(t *testing.T) {
	t.Parallel()
	// RFC 7636 Appendix B.
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	for _, c := range []struct {
		verifier, challenge string
		want                bool
	}{
		{verifier, challenge, true},
		{verifier + "x", challenge, false},
		{challenge, challenge, false}, // "plain" is no method here
		{"", challenge, false},
		{verifier, "", false},
		{"short", "short", false},
	} {
		if got := proves(c.verifier, c.challenge); got != c.want {
			t.Errorf("proves(%q, %q) = %t, want %t", c.verifier, c.challenge, got, c.want)
		}
	}
}
