package authorize

import (
	"strings"
	"testing"
)

func TestUserCode(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"BCDF-GHJK": "BCDF-GHJK", "bcdfghjk": "BCDF-GHJK", " bcdf – ghjk\n": "BCDF-GHJK", "b.c.d.f.g.h.j.k": "BCDF-GHJK",
		"": "", "BCDF-GHJ": "", "BCDF-GHJKL": "", "ACDF-GHJK": "", "0CDF-GHJK": "", "BCDFGHJK" + strings.Repeat(" ", 100): "",
	} {
		if got, ok := UserCode(typed); got != want || ok != (want != "") {
			t.Errorf("%q is %q, %v; want %q", typed, got, ok, want)
		}
	}
}

func TestNewUserCode(t *testing.T) {
	t.Parallel()
	seen, letters := map[string]bool{}, map[rune]int{}
	for range 2000 {
		code := newUserCode()
		if again, ok := UserCode(code); again != code || !ok || seen[code] {
			t.Fatalf("%q", code)
		}
		seen[code] = true
		for _, c := range code {
			letters[c]++
		}
	}
	for _, c := range userCodeLetters {
		if n := letters[c]; n < 600 || n > 1000 { // 800 ± 7σ
			t.Errorf("%c came %d times of 16000", c, n)
		}
	}
}

func FuzzUserCode(f *testing.F) {
	f.Add("BCDF-GHJK")
	f.Add(" bcdf ghjk")
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := UserCode(typed)
		if !ok {
			return
		}
		if again, ok := UserCode(code); !ok || again != code || len(code) != userCodeLength+1 {
			t.Errorf("%q is %q, and that is %q", typed, code, again)
		}
	})
}
