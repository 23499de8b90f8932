package keys

import (
	"bytes"
	"crypto"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// KEKSize is the length of a key-encryption key in bytes.
const KEKSize = chacha20poly1305.KeySize

// NewKEK is a new key-encryption key, 32 random bytes in standard base64.
func NewKEK() string { return base64.StdEncoding.EncodeToString(secret.Bytes(KEKSize)) }

// algorithms are the signature algorithms that a ring can hold keys for.
var algorithms = []oauth.Alg{oauth.RS256, oauth.PS256, oauth.ES256, oauth.ES384, oauth.EdDSA}

const (
	rsaBits    = 2048
	rootLength = 32
)

// vault seals what is secret of a key under the key-encryption key, which does
// nothing else.
type vault struct{ aead cipher.AEAD }

func newVault(kek []byte) (vault, error) {
	if len(kek) != KEKSize {
		return vault{}, fmt.Errorf("keys: the key-encryption key has %d bytes, not %d; make one with jeton keygen", len(kek), KEKSize)
	}
	aead, err := chacha20poly1305.NewX(kek)
	return vault{aead}, err
}

// seal encrypts plain for its row alone, and wipes it.
func (v vault) seal(k *store.Key, plain []byte) {
	nonce := secret.Bytes(v.aead.NonceSize())
	k.Sealed = v.aead.Seal(nonce, nonce, plain, bound(k))
	clear(plain)
}

var errSealed = errors.New("keys: not sealed under this key-encryption key, or not for this row")

func (v vault) open(k *store.Key) ([]byte, error) {
	n := v.aead.NonceSize()
	if len(k.Sealed) < n {
		return nil, errSealed
	}
	plain, err := v.aead.Open(nil, k.Sealed[:n], k.Sealed[n:], bound(k))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

// bound is the additional data that ties a sealed secret to its row: moved to
// another row, or used for another purpose, it does not open.
func bound(k *store.Key) []byte {
	b := []byte("jeton key 1")
	for _, field := range []string{k.ID, k.Purpose, k.Alg} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	return binary.BigEndian.AppendUint64(b, uint64(k.Number))
}

// newKey makes a key pair, sealed, that has no state yet. Its id is its thumbprint
// (RFC 7638), which does not begin with a dash: a command would take it for a flag.
func (v vault) newKey(p Purpose, alg oauth.Alg) (store.Key, error) {
	private, err := generate(alg)
	if err != nil {
		return store.Key{}, fmt.Errorf("keys: make a key for %s: %w", alg, err)
	}
	public, err := jwks.New("new", alg, private.Public())
	if err != nil {
		return store.Key{}, err
	}
	if strings.HasPrefix(public.Thumbprint(), "-") {
		return v.newKey(p, alg)
	}
	k := store.Key{ID: public.Thumbprint(), Purpose: string(p), Alg: string(alg)}
	if k.Public, err = x509.MarshalPKIXPublicKey(public.Public); err != nil {
		return store.Key{}, fmt.Errorf("keys: %w", err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return store.Key{}, fmt.Errorf("keys: %w", err)
	}
	v.seal(&k, plain)
	return k, nil
}

func generate(alg oauth.Alg) (crypto.Signer, error) {
	switch alg {
	case oauth.RS256, oauth.PS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case oauth.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case oauth.ES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case oauth.EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, errors.New("there is no such algorithm here")
}

// newRoot makes a random root, sealed, that has no state yet.
func (v vault) newRoot(p Purpose, number int64) store.Key {
	k := store.Key{ID: fmt.Sprintf("%s-%d", p, number), Number: number, Purpose: string(p)}
	v.seal(&k, secret.Bytes(rootLength))
	return k
}

// entry is a row with what it unseals to.
type entry struct {
	row    store.Key
	signer *Signer  // of a key pair
	public jwks.Key // of a key pair
	root   Root     // of a pepper or a sealing key
}

// read unseals a row. The public key is the private one's, so that nobody who can
// write to the database alone gets a key of theirs published.
func (v vault) read(row store.Key) (*entry, error) {
	plain, err := v.open(&row)
	if err != nil {
		return nil, err
	}
	e := &entry{row: row}
	switch Purpose(row.Purpose) {
	case Pepper, Seal:
		if len(plain) != rootLength {
			return nil, fmt.Errorf("keys: %s has %d bytes", row.ID, len(plain))
		}
		e.root = Root{ID: row.Number, Secret: plain}
		return e, nil
	case Sign, Feed:
	default:
		return nil, fmt.Errorf("keys: key %s has the purpose %q, which this release does not know; run the newer one that made it", row.ID, row.Purpose)
	}
	defer clear(plain)
	private, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("keys: key %s: %w", row.ID, err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("keys: key %s is a %T, which can't sign", row.ID, private)
	}
	if e.public, err = jwks.New(row.ID, oauth.Alg(row.Alg), signer.Public()); err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(e.public.Public)
	if err != nil || !bytes.Equal(public, row.Public) {
		return nil, errors.Join(fmt.Errorf("keys: key %s stands beside another key's public half; restore the database from a backup", row.ID), err)
	}
	e.public.Feed = Purpose(row.Purpose) == Feed
	e.signer = &Signer{ID: row.ID, Alg: e.public.Alg, private: signer}
	return e, nil
}
