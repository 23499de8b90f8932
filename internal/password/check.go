package password

import (
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of a password that is the only factor (NIST SP 800-63B-4 §3.1.1.2).
const (
	MinLength = 15   // characters: Unicode code points
	MaxBytes  = 1024 // in UTF-8
)

// Why Check refuses a password. The texts say what to do.
var (
	ErrTooShort = errors.New("use at least 15 characters; four or five words that have nothing to do with each other are easy to remember")
	ErrTooLong  = errors.New("use at most 1024 bytes")
	ErrNotText  = errors.New("use characters that are valid text (UTF-8)")
	ErrContext  = errors.New("choose something that is not mostly your name, your e-mail address or the name of this service")
	ErrTrivial  = errors.New("choose something less regular than a repetition, a row of the keyboard, or letters or digits in order")
)

// substance is how many characters must be left of a password without what can be
// guessed: context words, repetitions, sequences.
const substance = 8

// Check tells whether a new password may be taken. context are words that an
// attacker would try first: the product, the person's e-mail address and name. No
// rule asks for kinds of characters.
func Check(password string, context ...string) error {
	text, err := normal(password)
	if err != nil {
		return err
	}
	if utf8.RuneCount(text) < MinLength {
		return ErrTooShort
	}
	folded := fold(string(text))
	if regular(folded) {
		return ErrTrivial
	}
	rest := folded
	for _, word := range words(context) {
		rest = strings.ReplaceAll(rest, word, "")
	}
	if rest != folded && regular(rest) {
		return ErrContext
	}
	return nil
}

// fold makes what looks alike alike: case, compatibility forms and accents.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(s))
}

// words are the context words, folded: each whole, its parts between other
// characters than letters and digits, and the parts joined; longest first, so that
// a part does not break up the whole.
func words(context []string) []string {
	const shortest = 3 // characters; less stands in too many honest passwords
	var all []string
	for _, c := range append([]string{"jeton", "password"}, context...) {
		c = fold(c)
		parts := strings.FieldsFunc(c, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		all = append(all, c, strings.Join(parts, ""))
		all = append(all, parts...)
	}
	all = slices.DeleteFunc(all, func(w string) bool { return utf8.RuneCountInString(w) < shortest })
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// regular tells whether too little of s is left once what can be guessed is out.
func regular(s string) bool {
	return repeated([]rune(s)) || len(irregular([]rune(s))) < substance
}

// repeated tells whether s is a shorter text two times or more, and the shorter
// one would itself be too short.
func repeated(s []rune) bool {
	for period := 1; period <= len(s)/2 && period < MinLength; period++ {
		if slices.Equal(s[period:], s[:len(s)-period]) {
			return true
		}
	}
	return false
}

// sequences are the orders in which people type without thinking.
const sequences = "abcdefghijklmnopqrstuvwxyz 01234567890 qwertyuiop qwertzuiop azertyuiop asdfghjkl qsdfghjklm zxcvbnm yxcvbnm wxcvbn"

// irregular leaves out the characters of s that follow from those before them: a
// repeated one, and the third and later of a sequence up or down.
func irregular(s []rune) []rune {
	s = slices.Compact(slices.Clone(s))
	var kept []rune
	for i, r := range s {
		if i >= 2 {
			a, b := s[i-2], s[i-1]
			if strings.Contains(sequences, string([]rune{a, b, r})) || strings.Contains(sequences, string([]rune{r, b, a})) {
				continue
			}
		}
		kept = append(kept, r)
	}
	return kept
}
