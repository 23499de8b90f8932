package endpoints

import (
	"errors"
	"net/http"

	"github.com/jeton-auth/jeton/internal/authorize"
	"github.com/jeton-auth/jeton/internal/pages"
	"github.com/jeton-auth/jeton/internal/web"
)

const (
	devicePath        = "/device"
	userCodeParameter = "user_code"
	maxTyped          = 64 // bytes of a typed code that are shown again
)

// device is GET /device: the form for a device's code. A code in the link fills it in, and
// no more: the person sends it, so that no link can begin anything (RFC 8628 §3.3.1, §5.4).
func (b *Browser) device(w http.ResponseWriter, r *http.Request) {
	params, refusal := web.Query(r)
	if refusal != nil {
		b.failPage(w, r, refusal, "")
		return
	}
	code, _ := authorize.UserCode(params.Get(userCodeParameter))
	b.Pages.Write(w, r, http.StatusOK, pages.Device{Action: b.prefix + devicePath, UserCode: code})
}

// devicePost is POST /device: the device's request becomes a flow in this browser.
func (b *Browser) devicePost(w http.ResponseWriter, r *http.Request, params web.Params) {
	typed := params.Get(userCodeParameter)
	v, fresh := b.visitor(w, r)
	out, err := b.Flows.Typed(r.Context(), typed, b.Peers.Addr(r), v)
	page := pages.Device{Action: b.prefix + devicePath}
	if len(typed) <= maxTyped {
		page.UserCode = shown(typed)
	}
	var guessed *authorize.GuessedError
	switch {
	case errors.Is(err, authorize.ErrNoDevice):
		page.Error = pages.WrongCode
		b.Pages.Write(w, r, http.StatusBadRequest, page)
	case errors.As(err, &guessed):
		retryAfter(w, guessed.RetryAfter)
		page.Error = pages.TooManyCodes
		b.Pages.Write(w, r, http.StatusTooManyRequests, page)
	case err != nil:
		b.failPage(w, r, err, "")
	default:
		if fresh != nil {
			fresh.Set(w)
		}
		b.follow(w, r, out)
	}
}
