package endpoints

import (
	"cmp"
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/clientauth"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/subject"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// Introspect is POST /introspect (RFC 7662). A protected API, authenticated by its
// identifier and introspection secret, sees access tokens whose audience it is; a
// client sees its own tokens. To everybody else a token is inactive. Who accepts a
// signed answer gets one (RFC 9701).
type Introspect struct {
	Door
	Clients *clientauth.Clients
	Store   *store.Store
	Grants  *grant.Grants
	Reader  *tokens.Reader
	Minter  *tokens.Minter
	Names   *subject.Names
}

// readBound is how long a question may wait for the database, as those do that it must
// confirm.
const readBound = 500 * time.Millisecond

var inactive = []byte(`{"active":false}`)

func (i *Introspect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	params, refusal := web.Form(w, r)
	if refusal != nil {
		i.fail(w, r, refusal)
		return
	}
	req := i.credentials(r, params)
	res, ok := i.Clients.Resource(req)
	var client *store.Client
	if !ok {
		var err error
		if client, err = i.Clients.Client(r.Context(), req); err == nil && !client.Confidential() {
			err = oauth.Refuse(oauth.InvalidClient, "introspection is for APIs and for clients that hold a credential")
		}
		if err != nil {
			i.failClient(w, r, err)
			return
		}
	}
	token := params.Get("token")
	if token == "" {
		i.fail(w, r, oauth.Refuse(oauth.InvalidRequest, "token is missing"))
		return
	}
	answer, err := i.answer(r, res, client, token)
	if err != nil {
		i.fail(w, r, err)
		return
	}
	if !accepts(r.Header, signedAnswer) {
		web.RawJSON(w, http.StatusOK, answer)
		return
	}
	var caller string
	var alg oauth.Alg
	if res != nil {
		caller, alg = res.ID, res.AccessToken.Alg
	} else {
		caller, alg = client.ID, answerAlg(client)
	}
	signed, err := i.Minter.Introspection(i.Store.Now(), caller, alg, answer)
	if err != nil {
		i.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", signedAnswer)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(signed))
}

// answerAlg is what signs answers for a client. FAPI 2.0 Security Profile 5.4.1 has no
// RS256.
func answerAlg(c *store.Client) oauth.Alg {
	if c.Profile.FAPI() {
		return c.IDTokenAlg
	}
	return clientAnswerAlg
}

// signedAnswer is the media type of a signed answer, and clientAnswerAlg what signs
// those for clients, who registered no algorithm for them (RFC 9701 §5 and §6).
const (
	signedAnswer    = "application/" + oauth.TypIntrospection
	clientAnswerAlg = oauth.RS256
)

// accepts tells whether a request names a media type among those that it accepts.
func accepts(h http.Header, kind string) bool {
	for _, value := range h.Values("Accept") {
		for part := range strings.SplitSeq(value, ",") {
			if len(part) < len(kind) {
				continue // what most ask for need not be parsed
			}
			named, params, err := mime.ParseMediaType(part)
			if err != nil || named != kind {
				continue
			}
			if q, err := strconv.ParseFloat(cmp.Or(params["q"], "1"), 64); err == nil && q > 0 {
				return true
			}
		}
	}
	return false
}

// answer describes a token to an API, or to a client where res is nil.
func (i *Introspect) answer(r *http.Request, res *store.Resource, client *store.Client, token string) ([]byte, error) {
	if grant.Looks(token) {
		if client == nil {
			return inactive, nil
		}
		return i.refresh(r, client, token)
	}
	t, err := i.Reader.Confirmed(r.Context(), token, i.Store.Now())
	switch {
	case errors.Is(err, tokens.ErrInvalid):
		return inactive, nil
	case err != nil:
		return nil, err
	case res != nil && t.For(res.ID), client != nil && t.ClientID == client.ID:
		return t.Introspection(), nil
	}
	return inactive, nil
}

// refresh describes a refresh token, from its row, to its own client alone.
func (i *Introspect) refresh(r *http.Request, client *store.Client, token string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.Context(), readBound)
	defer cancel()
	c, g, err := i.Grants.Find(ctx, token)
	if errors.Is(err, grant.ErrForged) {
		return inactive, nil
	}
	if err != nil {
		return nil, err
	}
	now := i.Store.Now()
	if c.Kind != grant.Refresh || g.Client != client.ID || !g.Live() || c.Number != g.Number || !now.Before(g.IdleAt) || !now.Before(g.AbsoluteAt) {
		return inactive, nil
	}
	return tokens.DescribeRefresh(&g, i.Names.For(client, g.Subject), earlier(g.IdleAt, g.AbsoluteAt)), nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
