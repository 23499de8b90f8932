package endpoints

import (
	"context"
	"net/http"
	"time"

	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// All are the doors of an issuer.
type All struct {
	Metadata    *Metadata
	JWKS        *JWKS
	Token       *Token
	PAR         *PAR
	Device      *DeviceAuthorization
	Revoke      *Revoke
	Introspect  *Introspect
	Revocations *Revocations
	UserInfo    *UserInfo
	Browser     *Browser
	// Ready tells whether the store answers.
	Ready func(context.Context) error
}

// Routes puts the doors under the path that the issuer's identifier has.
func Routes(prefix string, a All) (*http.ServeMux, error) {
	mux := http.NewServeMux()
	get := func(path string, h http.Handler) {
		mux.HandleFunc("GET "+path, openToAll(h.ServeHTTP))
		mux.HandleFunc("OPTIONS "+path, preflight("GET"))
		mux.HandleFunc(path, otherMethod("GET, HEAD, OPTIONS"))
	}
	post := func(path string, h http.Handler) {
		mux.HandleFunc("POST "+prefix+path, openToAll(h.ServeHTTP))
		mux.HandleFunc("OPTIONS "+prefix+path, preflight("POST"))
		mux.HandleFunc(prefix+path, otherMethod("POST, OPTIONS"))
	}
	// OpenID Connect puts the issuer's path before the well-known part, RFC 8414 after.
	get(prefix+"/.well-known/openid-configuration", a.Metadata)
	get("/.well-known/oauth-authorization-server"+prefix, a.Metadata)
	get(prefix+"/jwks", a.JWKS)
	get(prefix+"/revocations", a.Revocations)
	get(prefix+"/revocations/head", http.HandlerFunc(a.Revocations.Head))
	get(prefix+"/revocations/segments/{k}", http.HandlerFunc(a.Revocations.Segment))
	post("/token", a.Token)
	post("/par", a.PAR)
	post("/device_authorization", a.Device)
	post("/revoke", a.Revoke)
	post("/introspect", a.Introspect)
	mux.HandleFunc("GET "+prefix+"/userinfo", openToAll(a.UserInfo.ServeHTTP))
	mux.HandleFunc("POST "+prefix+"/userinfo", openToAll(a.UserInfo.ServeHTTP))
	mux.HandleFunc("OPTIONS "+prefix+"/userinfo", preflight("GET, POST"))
	mux.HandleFunc(prefix+"/userinfo", otherMethod("GET, HEAD, POST, OPTIONS"))

	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		answer(w, a.Ready(ctx))
	})
	return mux, a.Browser.Register(mux, prefix)
}

// otherMethod answers what an endpoint does not take.
func otherMethod(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", allow)
		web.JSON(w, http.StatusMethodNotAllowed, errorBody{oauth.InvalidRequest, "this endpoint takes " + allow})
	}
}

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("the store does not answer\n"))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}
