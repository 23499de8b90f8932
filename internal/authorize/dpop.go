package authorize

import (
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

// dpopKey takes the key that the code is bound to: by dpop_jkt, or by the proof that came
// with a push. Where both are there they must agree (RFC 9449 §10 and §10.1).
func (s *parsing) dpopKey() *oauth.Error {
	named := s.params.Get("dpop_jkt")
	switch {
	case named != "" && !dpop.ValidJKT(named):
		return oauth.Refuse(oauth.InvalidRequest, "dpop_jkt is not the SHA-256 thumbprint of a key in base64url, 43 characters without padding")
	case named != "" && s.via.jkt != "" && named != s.via.jkt:
		return oauth.Refuse(oauth.InvalidRequest, "dpop_jkt is not the thumbprint of the key of the DPoP proof: send one of them, or both for the same key")
	case named == "":
		named = s.via.jkt
	}
	s.Request.JKT = named
	return nil
}
