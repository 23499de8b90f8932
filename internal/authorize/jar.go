package authorize

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/clientkeys"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/verify"
)

// Clocks of clients may be ahead by so much; and the times that FAPI 2.0 Message Signing
// §5.3.1 sets for request objects.
const (
	ahead     = 30 * time.Second
	oldest    = time.Hour // since nbf
	longestIn = time.Hour // from nbf to exp
)

// unpack is the parameters of a request that came in a request object (RFC 9101 §5),
// whose signature is that of the client which the parameters outside name. Of those
// nothing else counts, but what OpenID Connect Core §6.1 wants to be the same.
func (f *Flows) unpack(ctx context.Context, params web.Params, v via) (web.Params, *oauth.Error) {
	s := &parsing{Parser: f.Parser, params: params}
	if refusal := s.client(); refusal != nil {
		return web.Params{}, refusal
	}
	o := object{client: s.Client, outside: params, via: v, issuer: f.Issuer, now: f.Store.Now(), unusable: oauth.RequestNotSupported}
	text := params.Get("request")
	uri := params.Get("request_uri")
	if uri != "" {
		o.unusable = oauth.RequestURINotSupported
	}
	switch {
	case s.Client.Disabled:
		return web.Params{}, oauth.Refuse(oauth.UnauthorizedClient, "this client is switched off")
	case s.Client.JWKS == "" && s.Client.JWKSURI == "":
		return web.Params{}, oauth.Refuse(o.unusable, "this client registered no keys to check a request object by: register jwks or jwks_uri, or send the parameters themselves")
	case uri != "" && len(s.Client.RequestURIs) == 0:
		return web.Params{}, oauth.Refuse(o.unusable, "this client registered no request_uris: register them, or send the object in request")
	}
	if uri != "" {
		var refusal *oauth.Error
		if text, refusal = f.fetch(ctx, s.Client, uri); refusal != nil {
			return web.Params{}, refusal
		}
	}
	signed, err := f.Signed.Verify(ctx, s.Client, text, s.Client.Profile.SigningAlgs())
	if err != nil {
		return web.Params{}, o.unverified(text, err)
	}
	return o.read(signed)
}

// fetch gets a request object from where its client registered that it may stand. The
// fragment is a version and does not tell places apart (OpenID Connect Core §6.2).
func (f *Flows) fetch(ctx context.Context, c *store.Client, uri string) (string, *oauth.Error) {
	place, _, _ := strings.Cut(uri, "#")
	known := slices.ContainsFunc(c.RequestURIs, func(registered string) bool {
		r, _, _ := strings.Cut(registered, "#")
		return r == place
	})
	if !known {
		return "", oauth.Refuse(oauth.InvalidRequestURI, "request_uri is not one that this client registered: it is compared as an exact string")
	}
	answer, err := f.Out.Get(ctx, place, "application/"+oauth.TypRequestObject+", application/jwt")
	if err != nil {
		return "", &oauth.Error{Code: oauth.InvalidRequestURI, Description: "nothing could be fetched from request_uri", Cause: err}
	}
	return strings.TrimSpace(string(answer.Body)), nil
}

// object is a request object on its way through the checks.
type object struct {
	client   *store.Client
	outside  web.Params
	via      via
	issuer   string
	now      time.Time
	unusable oauth.ErrorCode // where objects of its kind are not taken at all
}

func badObject(format string, args ...any) *oauth.Error {
	return oauth.Refuse(oauth.InvalidRequestObject, "the request object "+format, args...)
}

// unverified says why an object was not believed. That an unsigned one is not supported
// is an answer of its own in OpenID Connect Core §3.1.2.6; where all requests are to be
// signed, it is a bad one.
func (o *object) unverified(text string, err error) *oauth.Error {
	if strings.Count(text, ".") == 4 {
		return badObject("is encrypted: sign it alone, encrypted ones are not supported")
	}
	if errors.Is(err, clientkeys.ErrForm) && unsigned(text) && !o.client.Profile.FAPI() && !o.client.RequireSignedRequest {
		return oauth.Refuse(o.unusable, "unsigned request objects are not supported: sign it by %s", list(o.client.Profile.SigningAlgs()))
	}
	for _, known := range []error{clientkeys.ErrForm, clientkeys.ErrNoKey, clientkeys.ErrSignature, clientkeys.ErrFetch} {
		if errors.Is(err, known) {
			refusal := badObject("%s", known)
			if known == clientkeys.ErrForm {
				refusal.Description += ": " + list(o.client.Profile.SigningAlgs())
			}
			return refusal
		}
	}
	return oauth.AsError(err)
}

// unsigned tells whether a JWS says of itself that it has no signature.
func unsigned(text string) bool {
	if len(text) > clientkeys.MaxJWS {
		return false
	}
	head, _, _ := strings.Cut(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	var header struct {
		Alg string `json:"alg"`
	}
	return err == nil && json.Unmarshal(raw, &header) == nil && strings.EqualFold(header.Alg, "none")
}

func list(algs []oauth.Alg) string {
	names := make([]string, len(algs))
	for i, a := range algs {
		names[i] = string(a)
	}
	return strings.Join(names, ", ")
}

// read judges what the client signed and takes the parameters out of it.
func (o *object) read(signed clientkeys.Signed) (web.Params, *oauth.Error) {
	if !isRequest(signed.Typ) {
		return web.Params{}, badObject("has the typ of another kind of token: write %s", oauth.TypRequestObject)
	}
	claims, err := verify.DecodeClaims(signed.Payload)
	if err != nil {
		return web.Params{}, badObject("is not a claims set that can be read in one way only: its members stand once, nest little, and have the types of their standards")
	}
	for _, check := range []func(*verify.Claims) *oauth.Error{o.parties, o.times} {
		if refusal := check(claims); refusal != nil {
			return web.Params{}, refusal
		}
	}
	params, refusal := members(signed.Payload)
	if refusal != nil {
		return web.Params{}, refusal
	}
	// Core §6.1: what OAuth requires stands outside too, and must be the same.
	kind := o.outside.Get("response_type")
	if !o.via.pushed && !o.client.Profile.FAPI() && kind != "" && params.Has("response_type") && kind != params.Get("response_type") {
		return web.Params{}, oauth.Refuse(oauth.InvalidRequest, "response_type outside the request object is not the one inside")
	}
	return params.With("client_id", o.client.ID), nil
}

// isRequest tells whether a typ header may stand in a request object. Objects from before
// RFC 9101 have JWT, or none.
func isRequest(typ string) bool {
	kind, _, err := mime.ParseMediaType("application/" + strings.TrimPrefix(strings.ToLower(typ), "application/"))
	return typ == "" || err == nil && (kind == "application/"+oauth.TypRequestObject || kind == "application/jwt")
}

// parties checks who made the object, and for whom (RFC 9101 §4, §10.8).
func (o *object) parties(c *verify.Claims) *oauth.Error {
	strict := o.client.Profile.MessageSigning()
	switch {
	case c.ClientID != "" && c.ClientID != o.client.ID:
		return badObject("has another client_id than the request")
	case c.Issuer != "" && c.Issuer != o.client.ID:
		return badObject("has an iss that is not the client_id")
	case c.Issuer == "" && strict:
		return badObject("has no iss: write the client_id")
	case c.Subject == o.client.ID:
		return badObject("has the client_id as sub, as an assertion that authenticates the client has: leave sub out")
	case len(c.Audience) == 0 && strict:
		return badObject("has no aud: write %s", o.issuer)
	case len(c.Audience) > 0 && !slices.Contains(c.Audience, o.issuer):
		return badObject("has an aud without this issuer: write %s", o.issuer)
	}
	return nil
}

// times checks from when to when the object is good. FAPI 2.0 Message Signing §5.3.1
// demands both ends, an hour apart at most.
func (o *object) times(c *verify.Claims) *oauth.Error {
	strict := o.client.Profile.MessageSigning()
	begins, ends := time.Unix(c.NotBefore, 0), time.Unix(c.Expiry, 0)
	latest := o.now.Add(ahead)
	switch {
	case strict && c.Expiry == 0:
		return badObject("has no exp")
	case strict && c.NotBefore == 0:
		return badObject("has no nbf")
	case c.Expiry != 0 && !o.now.Before(ends):
		return badObject("has expired")
	case begins.After(latest), time.Unix(c.IssuedAt, 0).After(latest):
		return badObject("is from the future, by its nbf or iat: set the clock of the client")
	case strict && o.now.Sub(begins) > oldest:
		return badObject("has an nbf that is more than %d minutes past", int(oldest.Minutes()))
	case strict && ends.Sub(begins) > longestIn:
		return badObject("has an exp that is more than %d minutes after nbf", int(longestIn.Minutes()))
	}
	return nil
}
