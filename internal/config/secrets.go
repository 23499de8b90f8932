package config

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/jeton-auth/jeton/internal/secret"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reference reads what env:NAME or file:PATH names. Only a variable that itself
// overrides the key may hold the secret directly. No message repeats a value
// that could be one.
func (r *reader) reference(n *yaml.Node, path string) string {
	value := ""
	if r.is(n, "!!str") {
		value = n.Value
	}
	if name, ok := strings.CutPrefix(value, "env:"); ok {
		if !variableName.MatchString(name) {
			r.add(path, "after env: comes the name of an environment variable: write for instance env:SHOP_WEB_SECRET")
			return ""
		}
		v, _ := r.env(name)
		if v == "" {
			r.add(path, "the environment variable %s is not set or empty: set it", name)
		}
		return v
	}
	if file, ok := strings.CutPrefix(value, "file:"); ok {
		return r.secretFile(file, path)
	}
	if r.setBy[n] == "" {
		r.add(path, "must not stand in this file: write env:NAME or file:PATH")
	}
	return value
}

func (r *reader) secretFile(file, path string) string {
	if file == "" {
		r.add(path, "after file: comes a path: write for instance file:/etc/jeton/secret")
		return ""
	}
	full := r.resolve(file)
	data, err := r.read(full)
	if err != nil {
		r.add(path, "%s cannot be read: %s", quote(full), reason(err))
		return ""
	}
	r.files = append(r.files, full)
	s := strings.TrimRight(string(data), "\r\n")
	if s == "" {
		r.add(path, "%s is empty: put the secret into it", quote(full))
	}
	return s
}

// resolve makes a path in the file relative to the directory of the file.
func (r *reader) resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.dir, path)
}

// strong refuses a shared secret that could be guessed, or not be sent.
func (r *reader) strong(path string, s secret.Text) {
	switch {
	case strings.ContainsFunc(s.Reveal(), func(c rune) bool { return c < ' ' || c > '~' }): // RFC 6749 Appendix A.2
		r.add(path, "holds characters outside printable ASCII: make one with: jeton keygen --secret")
	case secret.Weak(s.Reveal()):
		r.add(path, "is weak: it needs %d characters and %d random bits; make one with: jeton keygen --secret", secret.MinLength, secret.MinBits)
	}
}

// keySize is the size of the key-encryption key in bytes.
const keySize = 32

func (r *reader) checkKey(c *Config) {
	const path = "key_encryption_key"
	if len(c.KeyEncryptionKey) == 0 {
		r.add(path, "is required: write file:PATH or env:NAME, and make one with: jeton keygen")
		return
	}
	key, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(string(c.KeyEncryptionKey)))
	switch {
	case err != nil:
		r.add(path, "is not standard base64: make one with: jeton keygen")
	case len(key) != keySize:
		r.add(path, "has %d bytes, not %d: make one with: jeton keygen", len(key), keySize)
	case !random(key):
		r.add(path, "is not random: make one with: jeton keygen")
	}
	c.KeyEncryptionKey = key
}

// random refuses a key that repeats itself or has few different bytes. A random
// one of 32 bytes does so less often than once in 2^100.
func random(key []byte) bool {
	var seen [256]bool
	distinct := 0
	for _, b := range key {
		if !seen[b] {
			seen[b] = true
			distinct++
		}
	}
	for period := 1; period <= len(key)/2; period++ {
		if string(key[period:]) == string(key[:len(key)-period]) {
			return false
		}
	}
	return distinct >= len(key)/4
}

func (r *reader) checkTLS(t *TLS) {
	if len(t.Cert) == 0 {
		r.add("tls.cert", "is required: write file:PATH of a PEM certificate chain")
	}
	if len(t.Key) == 0 {
		r.add("tls.key", "is required: write file:PATH of the certificate's PEM key")
	}
	if !hasPEM(t.Cert, "CERTIFICATE") {
		r.add("tls.cert", "holds no PEM certificate: it begins with -----BEGIN CERTIFICATE-----")
	}
	if !hasPEM(t.Key, "PRIVATE KEY") {
		r.add("tls.key", "holds no PEM private key: it begins with -----BEGIN PRIVATE KEY-----")
	}
	if r.bad["tls.cert"] || r.bad["tls.key"] {
		return
	}
	if _, err := tls.X509KeyPair(t.Cert, t.Key); err != nil {
		r.add("tls.key", "does not fit tls.cert (%s): write the certificate's own key", strings.TrimPrefix(err.Error(), "tls: "))
	}
}

func hasPEM(data []byte, kind string) bool {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, kind) {
			return true
		}
	}
	return false
}
