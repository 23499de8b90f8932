package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What a stored hash may demand. A row that someone else wrote must not be able
// to take the machine down.
const (
	maxMemory = 1 << 20 // KiB: 1 GiB
	maxWork   = 4 << 20 // KiB times iterations
	maxPHC    = 512     // octets
)

var b64 = base64.RawStdEncoding.Strict()

// hash is a parsed PHC string of argon2id, version 19.
type hash struct {
	Params
	salt, key []byte
}

// parse reads $argon2id$v=19$m=…,t=…,p=…$salt$key in its one canonical form. The
// error quotes nothing of it.
func parse(phc string) (hash, error) {
	if len(phc) > maxPHC {
		return hash{}, errors.New("password: the stored hash is too long")
	}
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return hash{}, errors.New("password: the stored hash is not $argon2id$v=19$m=…,t=…,p=…$salt$hash; set the password anew")
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return hash{}, errCosts
	}
	m, okM := cost(costs[0], "m=", 32)
	t, okT := cost(costs[1], "t=", 32)
	p, okP := cost(costs[2], "p=", 8)
	if !okM || !okT || !okP || t < 1 || p < 1 || m < 8*p {
		return hash{}, errCosts
	}
	if m > maxMemory || m*t > maxWork {
		return hash{}, fmt.Errorf("password: the stored hash demands more than %d MiB or %d MiB-passes; set the password anew", maxMemory>>10, maxWork>>10)
	}
	salt, errSalt := decode(parts[4])
	key, errKey := decode(parts[5])
	if errSalt != nil || errKey != nil || len(salt) < 8 || len(salt) > 64 || len(key) < 16 || len(key) > 64 {
		return hash{}, errors.New("password: the stored hash has no salt of 8 to 64 octets and key of 16 to 64; set the password anew")
	}
	return hash{Params: Params{Memory: uint32(m), Iterations: uint32(t), Parallelism: uint8(p)}, salt: salt, key: key}, nil
}

var errCosts = errors.New("password: the stored hash has costs that argon2id does not take; set the password anew")

// cost reads one number behind its name, without sign or leading zeros.
func cost(s, name string, bits int) (uint64, bool) {
	digits, ok := strings.CutPrefix(s, name)
	if !ok || digits == "" || digits[0] < '1' || digits[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, bits)
	return n, err == nil
}

// decode reads base64 as PHC strings have it: no padding, and no line ends, which
// the decoder alone would skip.
func decode(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("password: a line end within base64")
	}
	return b64.DecodeString(s)
}
