package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"

	"github.com/jeton-auth/jeton/oauth"
)

// Signer is a private key and the one algorithm that it signs by. It is safe for
// concurrent use.
type Signer struct {
	ID      string // kid
	Alg     oauth.Alg
	private crypto.Signer
	headers sync.Map // typ → encoded JOSE header
}

// String keeps the private key out of what is printed.
func (s *Signer) String() string { return fmt.Sprintf("%s key %s", s.Alg, s.ID) }

// GoString keeps the private key out of what is printed.
func (s *Signer) GoString() string { return s.String() }

// JWS makes a compact JWS (RFC 7515 §7.1) of a payload, with kid and typ in its
// header.
func (s *Signer) JWS(typ string, payload []byte) (string, error) {
	header := s.header(typ)
	enc := base64.RawURLEncoding
	buf := make([]byte, 0, len(header)+2+enc.EncodedLen(len(payload))+enc.EncodedLen(512))
	buf = append(buf, header...)
	buf = append(buf, '.')
	buf = enc.AppendEncode(buf, payload)
	sig, err := s.Sign(buf)
	if err != nil {
		return "", err
	}
	buf = append(buf, '.')
	buf = enc.AppendEncode(buf, sig)
	return string(buf), nil
}

// header is the encoded JOSE header, the same for all that the key signs of a type.
func (s *Signer) header(typ string) string {
	if h, ok := s.headers.Load(typ); ok {
		return h.(string)
	}
	h := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":%q,"kid":%q,"typ":%q}`, s.Alg, s.ID, typ))
	s.headers.Store(typ, h)
	return h
}

// Sign is the JWS signature over signed: for ECDSA r ‖ s at full length (RFC 7518
// §3.4), for PS256 with a salt as long as the hash (§3.5).
func (s *Signer) Sign(signed []byte) ([]byte, error) {
	switch private := s.private.(type) {
	case *ecdsa.PrivateKey:
		if s.Alg == oauth.ES384 {
			sum := sha512.Sum384(signed)
			return signECDSA(private, sum[:], 48)
		}
		sum := sha256.Sum256(signed)
		return signECDSA(private, sum[:], 32)
	case *rsa.PrivateKey:
		sum := sha256.Sum256(signed)
		if s.Alg == oauth.PS256 {
			return rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(nil, private, crypto.SHA256, sum[:])
	case ed25519.PrivateKey:
		return ed25519.Sign(private, signed), nil
	}
	return nil, fmt.Errorf("keys: a %T does not sign", s.private)
}

// signECDSA takes the DER that crypto/ecdsa gives apart by hand: its form with big
// integers costs several allocations more.
func signECDSA(private *ecdsa.PrivateKey, sum []byte, size int) ([]byte, error) {
	der, err := ecdsa.SignASN1(rand.Reader, private, sum)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 2*size)
	if !rawSignature(der, raw) {
		return nil, errors.New("keys: an ECDSA signature of unknown form")
	}
	return raw, nil
}

// rawSignature writes SEQUENCE { INTEGER r, INTEGER s } into raw, each half one of
// them. All lengths are one octet: the whole has less than 128.
func rawSignature(der, raw []byte) bool {
	if len(der) < 2 || der[0] != 0x30 || der[1] >= 0x80 || int(der[1]) != len(der)-2 {
		return false
	}
	rest, ok := rawInteger(der[2:], raw[:len(raw)/2])
	if !ok {
		return false
	}
	rest, ok = rawInteger(rest, raw[len(raw)/2:])
	return ok && len(rest) == 0
}

// rawInteger writes the INTEGER at the front of der right-aligned into raw, which
// is zero, and gives what follows.
func rawInteger(der, raw []byte) (rest []byte, ok bool) {
	if len(der) < 2 || der[0] != 2 || int(der[1]) > len(der)-2 {
		return nil, false
	}
	n, rest := der[2:2+der[1]], der[2+der[1]:]
	for len(n) > 0 && n[0] == 0 {
		n = n[1:]
	}
	if len(n) > len(raw) {
		return nil, false
	}
	copy(raw[len(raw)-len(n):], n)
	return rest, true
}
