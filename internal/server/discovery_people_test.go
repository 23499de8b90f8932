package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/oauth"
)

func (p *probe) checkScopes(v any) {
	list := words(p, v)
	c := p.anyOf()
	same(p, "scopes", list, c.Scopes)
	// The feed is an API of its own.
	mine := slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == oauth.ScopeFeed })
	got := strings.Fields(p.tokens(c, "scope", strings.Join(mine, " ")).str(p.t, "scope"))
	same(p, "granted scopes", got, mine)
	feed := p.send(c, "/token", "grant_type", "client_credentials", "scope", oauth.ScopeFeed).want(p.t, http.StatusOK, "")
	same(p, "granted scopes", strings.Fields(feed.str(p.t, "scope")), []string{oauth.ScopeFeed})
}

// every is a scope of each kind of claim.
const every = "openid profile email address phone roles groups"

func (p *probe) checkClaims(v any) {
	c := p.anyOf()
	r := p.tokens(c, "scope", every)
	got := p.use(c, "/userinfo", r.str(p.t, "access_token")).json(p.t)
	_, id := p.verified(r.str(p.t, "id_token"))
	for _, name := range words(p, v) {
		if got[name] == nil && id[name] == nil {
			p.t.Errorf("%s stands neither in userinfo nor in the ID token", name)
		}
	}
}

func (p *probe) checkClaimsParameter(v any) {
	if v != true {
		p.t.Errorf("it is %v", v)
	}
	c := p.anyOf()
	r := p.tokens(c, "scope", "openid", "claims", `{"userinfo":{"nickname":null},"id_token":{"email":{"essential":true}}}`)
	if got := p.use(c, "/userinfo", r.str(p.t, "access_token")).json(p.t); got["nickname"] != "ada" || got["email"] != nil {
		p.t.Errorf("userinfo is %v", got)
	}
	if _, id := p.verified(r.str(p.t, "id_token")); id["email"] != "ada@example.com" || id["nickname"] != nil {
		p.t.Errorf("the ID token is %v", id)
	}
}

func (p *probe) checkSubjects(v any) {
	same(p, "subject types", words(p, v), []oauth.SubjectType{oauth.SubjectPublic, oauth.SubjectPairwise})
	subject := func(c party) string {
		r := p.tokens(c, "scope", "openid")
		_, id := p.verified(r.str(p.t, "id_token"))
		info := p.use(c, "/userinfo", r.str(p.t, "access_token")).json(p.t)
		if id["sub"] != info["sub"] {
			p.t.Errorf("%s: the ID token is about %v, userinfo about %v", c.ID, id["sub"], info["sub"])
		}
		s, _ := id["sub"].(string)
		return s
	}
	public, own := subject(p.anyOf()), subject(p.clients[thirdParty])
	if public != p.ada().ID || own == public || own == "" {
		p.t.Errorf("the subjects are %s and %s", public, own)
	}
}

func (p *probe) checkACRs(v any) {
	for _, acr := range words(p, v) {
		_, id := p.verified(p.tokens(p.anyOf(), "acr_values", acr).str(p.t, "id_token"))
		if id["acr"] != acr {
			p.t.Errorf("asked for %s, got %v", acr, id["acr"])
		}
	}
}

func (p *probe) checkIDTokenAlgs(v any) {
	var got []string
	for _, c := range p.clients {
		alg, _ := p.verified(p.tokens(c).str(p.t, "id_token"))
		if alg != c.IDTokenAlg {
			p.t.Errorf("%s: the ID token is signed by %s", c.ID, alg)
		}
		if !slices.Contains(got, string(alg)) {
			got = append(got, string(alg))
		}
	}
	same(p, "algorithms", got, words(p, v))
}

func (p *probe) checkUserInfoAlgs(v any) {
	var got []string
	for _, c := range p.clients {
		if c.UserinfoAlg == "" {
			continue
		}
		r := p.use(c, "/userinfo", p.tokens(c, "scope", "openid").str(p.t, "access_token"))
		alg, claims := p.verified(string(r.body))
		if claims["iss"] != discoveryIssuer || claims["aud"] != c.ID || !strings.HasPrefix(r.header.Get("Content-Type"), "application/jwt") {
			p.t.Errorf("%s: userinfo is %v", c.ID, claims)
		}
		if !slices.Contains(got, string(alg)) {
			got = append(got, string(alg))
		}
	}
	same(p, "algorithms", got, words(p, v))
}
