package password

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	ada := []string{"Jeton", "ada.lovelace@example.com", "Ada Lovelace"}
	tests := []struct {
		password string
		context  []string
		want     error
	}{
		{"correct horse battery staple", ada, nil},
		{"kÄse-Wolke-Turbine", ada, nil},
		{"ガラスの靴と電車と林檎と砂時計", ada, nil}, // 15 code points
		{"🦊🐙🌵🎺🧊🍋🚲🪁🧦🐢🎲🌋🪐🥁🧲", ada, nil},
		{"x7#Kq9!mZ2$wL5&", ada, nil},
		{"my ada likes green onions", ada, nil},
		{strings.Repeat("qx7 zorbl fent ", 68), ada, nil}, // long, and its unit is long enough
		{"x7#Kq9!mZ2$wL5", ada, ErrTooShort},
		{"", ada, ErrTooShort},
		{"e\u0301a\u0301o\u0301x7#Kq9!mZ2$", nil, ErrTooShort}, // 17 typed, 14 composed
		{"🦊🐙🌵🎺🧊🍋🚲🪁🧦🐢🎲🌋🪐🥁", nil, ErrTooShort},                   // 56 octets, 14 characters
		{strings.Repeat("x7#Kq9!mZ2$wL5&fgu", 57)[:1025], nil, ErrTooLong},
		{strings.Repeat("a", 1<<20), nil, ErrTooLong},
		{"x7#Kq9!mZ2$wL5&\xff", nil, ErrNotText},
		{"aaaaaaaaaaaaaaaaaaaa", ada, ErrTrivial},
		{"abcabcabcabcabc", ada, ErrTrivial},
		{"tulip42tulip42tulip42", ada, ErrTrivial},
		{"tulip42TULIP42tulip", ada, ErrTrivial},
		{"123456789012345", ada, ErrTrivial},
		{"987654321098765", ada, ErrTrivial},
		{"112233445566778899", ada, ErrTrivial},
		{"qwertyuiopasdfghjkl", ada, ErrTrivial},
		{"abcdefghijklmnopqrstuvwxyz", ada, ErrTrivial},
		{"adalovelace12345", ada, ErrContext},
		{"Ada-Lovelace-1815", ada, ErrContext},
		{"ÁdaLovelàce!!!!!", ada, ErrContext},
		{"ada.lovelace@example.com", ada, ErrContext},
		{"adalovelaceexample", ada, ErrContext},
		{"lovelace12345678910", ada, ErrContext},
		{"jetonpassword2026", nil, ErrContext},
		{"Password1234567", nil, ErrContext},
		{"adalovelace12345", nil, nil}, // nobody's name here
	}
	for _, tt := range tests {
		if got := Check(tt.password, tt.context...); got != tt.want {
			t.Errorf("Check(%.40q) = %v, want %v", tt.password, got, tt.want)
		}
	}
}

// Context that is empty or too short to mean anything forbids nothing.
func TestCheckContext(t *testing.T) {
	t.Parallel()
	if err := Check("correct horse battery staple", "", "a", "o r", "@", "\xff"); err != nil {
		t.Error(err)
	}
}
