package tokens

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/secret"
)

// An opaque access token is the same claims, sealed: whoever holds it can do
// nothing with it but present it. Version, key id and nonce stand in front; they,
// the issuer and the type are authenticated.
const (
	opaquePrefix  = "jta_"
	opaqueVersion = 1
	opaqueHead    = 1 + 4
	maxOpaque     = 4 << 10
)

func (m *Minter) seal(payload []byte) (string, error) {
	root := m.ring.Seal()
	aead, err := chacha20poly1305.NewX(root.Secret)
	if err != nil {
		return "", fmt.Errorf("tokens: %w", err)
	}
	sealed := make([]byte, opaqueHead, opaqueHead+aead.NonceSize()+len(payload)+aead.Overhead())
	sealed[0] = opaqueVersion
	binary.BigEndian.PutUint32(sealed[1:], uint32(root.ID))
	nonce := secret.Bytes(aead.NonceSize())
	sealed = append(sealed, nonce...)
	sealed = aead.Seal(sealed, nonce, payload, additional(sealed[:opaqueHead], m.issuer))
	token := opaquePrefix + base64.RawURLEncoding.EncodeToString(sealed)
	if len(token) > maxOpaque {
		return "", fmt.Errorf("tokens: an opaque token of %d bytes is over the limit of %d: grant fewer roles or groups", len(token), maxOpaque)
	}
	return token, nil
}

// unseal gives the claims of an opaque token.
func unseal(ring *keys.Ring, issuer, token string) ([]byte, error) {
	if len(token) > maxOpaque || !LooksOpaque(token) {
		return nil, ErrInvalid
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token[len(opaquePrefix):])
	if err != nil || len(sealed) < opaqueHead+chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead || sealed[0] != opaqueVersion {
		return nil, ErrInvalid
	}
	root, ok := ring.SealByID(int64(binary.BigEndian.Uint32(sealed[1:])))
	if !ok {
		return nil, ErrInvalid
	}
	aead, err := chacha20poly1305.NewX(root.Secret)
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	nonce, text := sealed[opaqueHead:opaqueHead+aead.NonceSize()], sealed[opaqueHead+aead.NonceSize():]
	payload, err := aead.Open(nil, nonce, text, additional(sealed[:opaqueHead], issuer))
	if err != nil {
		return nil, errors.Join(ErrInvalid, err)
	}
	return payload, nil
}

func additional(head []byte, issuer string) []byte {
	return append(append(append([]byte{}, head...), issuer...), "\x00access token"...)
}
