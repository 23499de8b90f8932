package authorize

import (
	"context"
	"errors"
	"strings"

	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// via says how a request came.
type via struct {
	pushed bool   // by its client, to the endpoint for that (RFC 9126)
	signed bool   // in a request object (RFC 9101)
	jkt    string // with a proof by this DPoP key (RFC 9449 §10.1)
}

// take reads and checks a request in whichever form it came to the authorization
// endpoint: as parameters, in a request object, or as a reference to one that was pushed.
// With a refusal, an *oauth.Error, it returns what the request had shown by then.
func (f *Flows) take(ctx context.Context, params web.Params) (Parsed, error) {
	uri := params.Get("request_uri")
	if uri != "" && params.Has("request") {
		return f.withoutObject(params, oauth.Refuse(oauth.InvalidRequest, "request and request_uri are both there: send one of them"))
	}
	if strings.HasPrefix(uri, oauth.RequestURIPrefix) {
		return f.pushed(ctx, params, uri[len(oauth.RequestURIPrefix):])
	}
	return f.read(ctx, params, via{})
}

// read checks a request whose parameters stand there, or in a request object.
func (f *Flows) read(ctx context.Context, params web.Params, v via) (Parsed, error) {
	if params.Has("request") || params.Has("request_uri") {
		inner, refusal := f.unpack(ctx, params, v)
		if refusal != nil {
			return f.withoutObject(params, refusal)
		}
		params, v.signed = inner, true
	}
	parsed, refusal := f.parse(params, v)
	parsed.Request.Signed = v.signed
	if refusal == nil {
		refusal = f.sector(ctx, parsed.Client)
	}
	if refusal != nil {
		return parsed, refusal
	}
	return parsed, nil
}

// withoutObject is a refusal of a request whose object can't be believed. The client
// hears of it where the parameters outside name an address that it registered, or name
// none and it registered one alone. What the object says does not count.
func (f *Flows) withoutObject(params web.Params, refusal *oauth.Error) (Parsed, error) {
	s := &parsing{Parser: f.Parser, params: params}
	if s.client() != nil {
		return s.Parsed, refusal
	}
	if !params.Has("redirect_uri") && len(s.Client.RedirectURIs) == 1 {
		s.params = params.With("redirect_uri", s.Client.RedirectURIs[0])
	}
	if s.returnAddress() != nil {
		s.To = nil
		return s.Parsed, refusal
	}
	s.state() // one that is refused is not sent back
	return s.Parsed, refusal
}

// came refuses a request that did not come as its client registered.
func (s *parsing) came() *oauth.Error {
	switch {
	case s.Client.RequirePAR && !s.via.pushed:
		return oauth.Refuse(oauth.InvalidRequest, "this client must push its authorization requests, and send the request_uri that it gets (RFC 9126)")
	case s.Client.RequireSignedRequest && !s.via.signed:
		return oauth.Refuse(oauth.InvalidRequest, "this client must send its authorization requests in a signed request object (RFC 9101)")
	}
	return nil
}

// refused answers a refusal: to the client if it may hear of it. Any other error stays.
func refused(p Parsed, err error) (Outcome, error) {
	var refusal *oauth.Error
	if p.To == nil || !errors.As(err, &refusal) {
		return Outcome{}, err
	}
	return Outcome{Step: Step{Do: Refuse, Refusal: refusal}, Answer: p.To.refuse(refusal)}, nil
}
