// Package endpoints holds the HTTP doors of the issuer: each parses a request,
// hands it to a flow and writes the answer. Errors go out through one door, in the
// standard's terms; their causes go to the log alone.
package endpoints

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clientauth"
	"github.com/jeton-auth/jeton/internal/proof"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
	"github.com/jeton-auth/jeton/oauth/mtls"
)

// Door is what every endpoint has.
type Door struct {
	Log   *slog.Logger
	Peers web.Peers
	// Base is the issuer's identifier, under which each door has its address.
	Base string
	// Shown says where clients' certificates come from.
	Shown mtls.Source
	// Proofs takes DPoP proofs.
	Proofs *proof.Proofs
}

// address is that of the door which a request came through: never by its Host.
func (d *Door) address(r *http.Request) string {
	scheme, rest, _ := strings.Cut(d.Base, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host + r.URL.Path
}

// certificates are those that the client of a request showed, its own first. A header
// that can't be read shows none.
func (d *Door) certificates(r *http.Request) []*x509.Certificate {
	shown, err := d.Shown.Certificates(r)
	if err != nil {
		d.Log.WarnContext(r.Context(), "a client's certificate could not be read: check what the proxy sends", slog.Any("error", err))
	}
	return shown
}

// credentials are what a request shows of its client.
func (d *Door) credentials(r *http.Request, params web.Params) clientauth.Request {
	return clientauth.Request{Header: r.Header, Params: params, Endpoint: d.address(r), Certificates: d.certificates(r)}
}

func (d *Door) origin(w http.ResponseWriter, r *http.Request) audit.Origin {
	o := audit.Origin{Request: web.RequestID(w)}
	if a := d.Peers.Addr(r); a.IsValid() {
		o.Address = a.String()
	}
	return o
}

// fail writes an error as JSON (RFC 6749 §5.2). A failure of ours is logged with its
// cause under the request's id.
func (d *Door) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, store.ErrUnavailable) {
		err = &oauth.Error{Code: oauth.TemporarilyUnavailable, Description: "The server's database does not answer at the moment. Try again.", Cause: err}
	}
	e := oauth.AsError(err)
	status := e.Code.Status()
	if e.Cause != nil {
		d.Log.ErrorContext(r.Context(), "a request failed", slog.String("path", r.URL.Path),
			slog.String("request", web.RequestID(w)), slog.Any("error", e.Cause))
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	web.JSON(w, status, errorBody{e.Code, e.Safe()})
}

type errorBody struct {
	Code        oauth.ErrorCode `json:"error,omitempty"`
	Description string          `json:"error_description,omitempty"`
}

// failClient is fail for endpoints that authenticate clients: a refused client that
// used, or may use, the Authorization header is told so (RFC 6749 §5.2).
func (d *Door) failClient(w http.ResponseWriter, r *http.Request, err error) {
	var e *oauth.Error
	if errors.As(err, &e) && e.Code == oauth.InvalidClient {
		w.Header().Set("WWW-Authenticate", `Basic realm="jeton", charset="UTF-8"`)
	}
	d.fail(w, r, err)
}

// challenge answers as RFC 6750 §3 and RFC 9449 §7.1 say: of the two schemes the one that
// was used comes first, with the error. scope is what a token needs here.
func (d *Door) challenge(w http.ResponseWriter, r *http.Request, e *oauth.Error, scope string) {
	if e.Cause != nil {
		d.fail(w, r, e)
		return
	}
	said, status := "", http.StatusUnauthorized
	if e.Code != "" {
		said = `, error="` + string(e.Code) + `", error_description="` + e.Safe() + `"`
	}
	switch e.Code {
	case "", oauth.InvalidDPoPProof, oauth.UseDPoPNonce:
	case oauth.InsufficientScope:
		said += `, scope="` + scope + `"`
		fallthrough
	default:
		status = e.Code.Status()
	}
	used, other := `Bearer realm="jeton"`, `DPoP algs="`+dpop.List(dpop.Algs())+`"`
	if p, _ := authorization(r.Header.Get("Authorization")); p.dpop {
		used, other = other, used
	}
	w.Header()["Www-Authenticate"] = []string{used + said, other}
	web.JSON(w, status, errorBody{e.Code, e.Safe()})
}

// openToAll answers from any origin (CORS): these endpoints take no cookie, so that
// another origin's page gets no more than any program could.
func openToAll(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Access-Control-Allow-Origin"], h["Access-Control-Expose-Headers"] = anyOrigin, exposed
		next(w, r)
	}
}

var (
	anyOrigin = []string{"*"}
	exposed   = []string{"WWW-Authenticate, DPoP-Nonce, X-Request-Id, Retry-After"}
)

// preflight answers a CORS preflight request.
func preflight(methods string) http.HandlerFunc {
	return openToAll(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	})
}
