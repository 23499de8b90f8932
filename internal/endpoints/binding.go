package endpoints

import (
	"net/http"
	"strings"

	"github.com/jeton-auth/jeton/internal/proof"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
	"github.com/jeton-auth/jeton/oauth/mtls"
)

// bind finds the key that a client's new tokens are bound to: that of the DPoP proof, if
// one came, and that of the certificate, if the client registered so.
func (d *Door) bind(w http.ResponseWriter, r *http.Request, client *store.Client) (oauth.Confirmation, error) {
	var cnf oauth.Confirmation
	if client.MTLSBound {
		if cnf = mtls.Confirm(d.certificates(r)); cnf.X5TS256 == "" {
			return cnf, oauth.Refuse(oauth.InvalidRequest, "this client's tokens are bound to its certificate: connect with one")
		}
	}
	made, err := d.prove(w, r, proof.Request{Algs: client.Profile.SigningAlgs()})
	if err != nil {
		return cnf, err
	}
	if cnf.JKT = made.JKT; cnf.JKT == "" && client.DPoPBound {
		w.Header().Set(dpop.NonceHeader, d.Proofs.Nonce())
		return cnf, oauth.Refuse(oauth.InvalidDPoPProof, "this client's tokens are bound to a DPoP key: send a proof in the DPoP header")
	}
	return cnf, nil
}

// prove takes the proof of a request; the zero Proof: there is none. The answer to who
// sends proofs has a nonce for the next one.
func (d *Door) prove(w http.ResponseWriter, r *http.Request, p proof.Request) (dpop.Proof, error) {
	if len(r.Header[dpopHeader]) == 0 {
		return dpop.Proof{}, nil
	}
	w.Header().Set(dpop.NonceHeader, d.Proofs.Nonce())
	p.Header, p.Method, p.URL = r.Header, r.Method, d.address(r)
	return d.Proofs.Take(r.Context(), p)
}

// dpopHeader is the header's name as net/http spells it.
const dpopHeader = "Dpop"

// presented is an access token, and whether it came under the scheme DPoP.
type presented struct {
	token  string
	dpop   bool
	inForm bool // RFC 6750 §2.2
}

// authorization reads an Authorization header that bears an access token; ok is false
// where its scheme is another one.
func authorization(value string) (p presented, ok bool) {
	scheme, token, _ := strings.Cut(value, " ")
	p = presented{token: strings.TrimSpace(token), dpop: strings.EqualFold(scheme, oauth.TokenTypeDPoP)}
	return p, p.dpop || strings.EqualFold(scheme, oauth.TokenTypeBearer)
}

// holds refuses a token that is bound to a key which the request does not show (RFC 8705
// §3, RFC 9449 §7). client is whom the token was made for.
func (d *Door) holds(w http.ResponseWriter, r *http.Request, p presented, bound *oauth.Confirmation, client *store.Client) error {
	if bound == nil && !p.dpop {
		return nil
	}
	var cnf oauth.Confirmation
	if bound != nil {
		cnf = *bound
	}
	switch {
	case p.dpop && cnf.JKT == "":
		return oauth.Refuse(oauth.InvalidToken, "the access token is not bound to a DPoP key, so it can't be used with the scheme DPoP")
	case cnf.JKT == "" && cnf.X5TS256 == "":
		return oauth.Refuse(oauth.InvalidToken, "the access token is bound to a key in a way that is not known here")
	case !p.dpop && cnf.JKT != "":
		return oauth.Refuse(oauth.InvalidToken, "the access token is bound to a DPoP key, so it can't be used as a bearer token: send it with the scheme DPoP and a proof")
	case cnf.X5TS256 != "" && mtls.Confirm(d.certificates(r)).X5TS256 != cnf.X5TS256:
		return oauth.Refuse(oauth.InvalidToken, "the access token is bound to a certificate, and the request came without it")
	case cnf.JKT == "":
		return nil
	}
	made, err := d.prove(w, r, proof.Request{Algs: client.Profile.SigningAlgs(), Token: p.token, JKT: cnf.JKT})
	if err == nil && made.JKT == "" {
		w.Header().Set(dpop.NonceHeader, d.Proofs.Nonce())
		err = oauth.Refuse(oauth.InvalidDPoPProof, "the request has no DPoP proof: send one in the DPoP header, by the key that the access token is bound to")
	}
	return err
}
