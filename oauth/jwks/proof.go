package jwks

import (
	"errors"

	"github.com/jeton-auth/jeton/oauth"
)

// ParseProofKey reads one public key that came with what it signed by alg, such as the
// jwk of a DPoP proof (RFC 9449 §4.2). It needs no kid and no alg of its own; its ID is
// its thumbprint. A private or symmetric member is refused, as is a key that Parse would
// skip. The error completes a sentence that begins with the key.
func ParseProofKey(doc []byte, alg oauth.Alg) (Key, error) {
	named := oauth.Alg("")
	k, err := parseKey(doc, func(m members) bool { named = m.Alg; return true })
	switch {
	case err != nil:
		return Key{}, err
	case k.Public == nil || k.Feed || named != "" && named != alg:
		return Key{}, errors.New("is not one for signatures by the alg of the header")
	}
	if err := check(alg, k.Public); err != nil {
		return Key{}, err
	}
	k.Alg = alg
	k.ID = k.Thumbprint()
	return k, nil
}
