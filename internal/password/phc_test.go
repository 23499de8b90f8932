package password

import (
	"strings"
	"testing"
)

const (
	salt16 = "AAAAAAAAAAAAAAAAAAAAAA"
	key32  = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		phc string
		ok  bool
	}{
		{"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32, true},
		{"$argon2id$v=19$m=1048576,t=4,p=255$" + salt16 + "$" + key32, true},
		{"$argon2id$v=19$m=1048577,t=1,p=1$" + salt16 + "$" + key32, false},     // over 1 GiB
		{"$argon2id$v=19$m=1048576,t=5,p=1$" + salt16 + "$" + key32, false},     // too much work
		{"$argon2id$v=19$m=64,t=4294967295,p=1$" + salt16 + "$" + key32, false}, // too much work
		{"$argon2id$v=19$m=4294967295,t=4294967295,p=1$" + salt16 + "$" + key32, false},
		{"$argon2id$v=19$m=4294967296,t=1,p=1$" + salt16 + "$" + key32, false},
		{"$argon2id$v=19$m=64,t=1,p=256$" + salt16 + "$" + key32, false},
		{"$argon2id$v=19$m=64,t=1,p=9$" + salt16 + "$" + key32, false}, // under 8 KiB a lane
		{"$argon2id$v=19$m=64,t=0,p=1$" + salt16 + "$" + key32, false},
		{"$argon2id$v=19$m=64,t=1,p=0$" + salt16 + "$" + key32, false},
		{"$argon2id$v=19$m=064,t=1,p=1$" + salt16 + "$" + key32, false},
		{"$argon2id$v=19$m=+64,t=1,p=1$" + salt16 + "$" + key32, false},
		{"$argon2id$v=19$t=1,m=64,p=1$" + salt16 + "$" + key32, false},
		{"$argon2id$v=19$m=64,t=1$" + salt16 + "$" + key32, false},
		{"$argon2id$v=19$m=64,t=1,p=1,x=1$" + salt16 + "$" + key32, false},
		{"$argon2id$v=16$m=64,t=1,p=1$" + salt16 + "$" + key32, false},
		{"$argon2i$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32, false},
		{"$argon2id$m=64,t=1,p=1$" + salt16 + "$" + key32, false},
		{"$argon2id$v=19$m=64,t=1,p=1$$" + key32, false},
		{"$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$", false}, // an empty key would match anything
		{"$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$AAAA", false},
		{"$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32 + "=", false},
		{"$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32 + "\n", false},
		{"$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32[:42] + "B", false}, // bits beyond the last octet
		{"$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32 + "$", false},
		{"$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + strings.Repeat("A", 1000), false},
		{"", false},
		{"$$$$$", false},
	}
	for _, tt := range tests {
		h, err := parse(tt.phc)
		if (err == nil) != tt.ok {
			t.Errorf("parse(%q): %v", tt.phc, err)
		}
		if err == nil && h.String() != tt.phc {
			t.Errorf("%q is written again as %q", tt.phc, h)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32)
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$" + salt16 + "$" + key32)
	f.Add("$2b$12$abcdefghijklmnopqrstuv")
	f.Fuzz(func(t *testing.T, phc string) {
		h, err := parse(phc)
		if err != nil {
			return
		}
		if h.String() != phc {
			t.Errorf("%q is written again as %q", phc, h)
		}
		p := uint32(h.Parallelism)
		if h.Memory > maxMemory || h.Memory < 8*p || p == 0 || h.Iterations == 0 ||
			uint64(h.Memory)*uint64(h.Iterations) > maxWork || len(h.key) < 16 || len(h.salt) < 8 {
			t.Errorf("%q is out of bounds: %+v", phc, h)
		}
	})
}
