package endpoints

import (
	"net/http"

	"github.com/jeton-auth/jeton/internal/web"
)

// authorize is GET /authorize (RFC 6749 §3.1, OpenID Connect Core §3.1.2.1), and the
// way back to a request that was posted there.
func (b *Browser) authorize(w http.ResponseWriter, r *http.Request) {
	params, refusal := web.Query(r)
	if refusal != nil {
		b.failPage(w, r, refusal, "")
		return
	}
	v, fresh := b.visitor(w, r)
	if id := params.Get(flowParameter); id != "" && !params.Has("client_id") {
		p, err := b.Flows.Claim(r.Context(), id, v)
		if err != nil {
			b.failPage(w, r, err, "")
			return
		}
		if fresh != nil {
			fresh.Set(w)
		}
		out, err := p.Look(r.Context())
		if err != nil {
			b.failPage(w, r, err, p.Request.UILocales)
			return
		}
		b.follow(w, r, out)
		return
	}
	out, err := b.Flows.Begin(r.Context(), params, v)
	if err != nil {
		b.failPage(w, r, err, params.Get("ui_locales"))
		return
	}
	if fresh != nil && out.Pending != nil {
		fresh.Set(w)
	}
	b.follow(w, r, out)
}

// authorizePost is POST /authorize. Any site may post there, so no cookie counts: the
// request is stored, and the browser comes back for it by GET, where its Lax cookies
// are sent.
func (b *Browser) authorizePost(w http.ResponseWriter, r *http.Request) {
	params, refusal := web.Form(w, r)
	if refusal != nil {
		b.failPage(w, r, refusal, "")
		return
	}
	out, err := b.Flows.Post(r.Context(), params, b.Door.origin(w, r))
	switch {
	case err != nil:
		b.failPage(w, r, err, params.Get("ui_locales"))
	case out.Pending == nil:
		b.respond(w, r, out.Answer)
	default:
		redirect(w, b.step("/authorize", out.Pending))
	}
}
