package server

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

// TestDiscovery calls every feature that the metadata of an issuer advertises, under each
// profile, and asks for a check of every member that there is. What a profile does not
// allow is not in the metadata, and is refused.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	for _, profile := range spec.Profiles {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			p := discover(t, profile)
			for member := range maps.Keys(p.doc) {
				if checks[member] == nil {
					t.Errorf("the metadata has %s, which no test calls: add a check to checks", member)
				}
			}
			for _, member := range slices.Sorted(maps.Keys(checks)) {
				value, there := p.doc[member]
				if !there {
					if always[member] {
						t.Errorf("the metadata lacks %s", member)
					}
					continue
				}
				t.Run(member, func(t *testing.T) {
					of := *p
					of.t, of.issuer = t, &issuer{Server: p.Server, t: t, clock: p.clock, dir: p.dir, kek: p.kek}
					checks[member](&of, value)
				})
			}
		})
	}
}

// discover starts an issuer under a profile, with a client for each authentication method
// that the profile knows and one for each algorithm.
func discover(t *testing.T, profile spec.Profile) *probe {
	t.Helper()
	p := &probe{
		issuer: &issuer{
			t: t, dir: t.TempDir(), kek: keys.NewKEK(),
			clock: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
		},
		t: t, clients: map[string]party{},
	}
	var b strings.Builder
	b.WriteString(discoveryConfig)
	fmt.Fprintf(&b, "profile: %s\nclients:\n", profile)
	site := p.listen()
	for _, m := range profile.AuthMethods() {
		more := ""
		if m == oauth.PrivateKeyJWT && !profile.FAPI() { // which has other forms alone
			more = "    request_uris: [" + site + "/request]\n"
		}
		b.WriteString(discoveryClient(string(m), m, profile, more))
	}
	for _, a := range profile.SigningAlgs() {
		b.WriteString(discoveryClient("alg-"+string(a), oauth.PrivateKeyJWT, profile,
			fmt.Sprintf("    id_token_alg: %[1]s\n    userinfo_alg: %[1]s\n    authorization_signed_response_alg: %[1]s\n", a)))
	}
	b.WriteString(discoveryClient(thirdParty, oauth.PrivateKeyJWT, profile,
		"    subject_type: pairwise\n    frontchannel_logout_uri: https://"+thirdParty+".example.com/frontchannel\n    backchannel_logout_uri: "+site+"/backchannel\n"))
	p.open(b.String())
	t.Cleanup(func() {
		if err := p.Server.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range p.manager.Directory.Clients() {
		p.clients[c.ID] = party{c.Client, shopSecret, profile.SigningAlgs()[0]}
	}
	r := p.get("/.well-known/openid-configuration", nil)
	if r.status != http.StatusOK {
		t.Fatalf("no metadata: %d %s", r.status, r.body)
	}
	p.doc = r.json(t)
	return p
}

// listen is the site of the clients: it hears of logouts, and serves a request object.
func (p *probe) listen() string {
	p.logouts = make(chan string, 100)
	p.hosted = &atomic.Value{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /backchannel", func(_ http.ResponseWriter, r *http.Request) { p.logouts <- r.FormValue("logout_token") })
	mux.HandleFunc("GET /request", func(w http.ResponseWriter, _ *http.Request) {
		object, _ := p.hosted.Load().(string)
		w.Header().Set("Content-Type", "application/oauth-authz-req+jwt")
		_, _ = io.WriteString(w, object)
	})
	site := httptest.NewServer(mux)
	p.t.Cleanup(site.Close)
	return site.URL
}

const discoveryConfig = `
issuer: ` + discoveryIssuer + `
behind_proxy: {trusted: [192.0.2.0/24], client_cert_header: ` + certHeader + `}
outbound: {allow: [127.0.0.0/8]}
store: sqlite:jeton.db
key_encryption_key: env:KEK
resources:
  - {id: https://api.example.com, scopes: [orders:read], introspection_secret: env:API, access_token: {alg: ES256}}
users:
  - email: ada@example.com
    email_verified: true
    username: ada
    name: Ada Lovelace
    password: env:ADA
    roles: [admin]
    groups: [engineering]
    claims:
      given_name: Ada
      family_name: Lovelace
      middle_name: Augusta
      nickname: ada
      profile: https://ada.example.com
      picture: https://ada.example.com/me.jpg
      website: https://ada.example.com
      gender: female
      birthdate: 1815-12-10
      zoneinfo: Europe/London
      locale: en-GB
      phone_number: "+442071234567"
      phone_number_verified: true
      address: {locality: London, country: GB}
`

// thirdParty is the client to which people have to consent.
const thirdParty = "pairwise"

// discoveryClient declares a client that may do all that its method and profile allow.
func discoveryClient(id string, m oauth.AuthMethod, profile spec.Profile, more string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "    "+format+"\n", args...) }
	fmt.Fprintf(&b, "  - id: %s\n", id)
	line("auth_method: %s", m)
	line("redirect_uris: [https://%s.example.com/callback]", strings.ReplaceAll(id, "_", "-"))
	line("post_logout_redirect_uris: [https://%s.example.com/bye]", strings.ReplaceAll(id, "_", "-"))
	grants := "authorization_code, refresh_token, " + string(oauth.DeviceCode)
	if m.Confidential() {
		grants += ", client_credentials"
	}
	line("grant_types: [%s]", grants)
	line("scopes: [openid, profile, email, address, phone, roles, groups, offline_access, orders:read, jeton:feed]")
	line("first_party: %t", id != thirdParty)
	line("authorization_details_types: [payment_initiation]")
	var types []string
	for _, t := range profile.ResponseTypes() {
		if !strings.HasSuffix(string(t), " token") || m.HasSecret() { // which nothing binds
			types = append(types, string(t))
		}
	}
	line("response_types: [%s]", strings.Join(types, ", "))
	switch m {
	case oauth.ClientSecretBasic, oauth.ClientSecretPost:
		line("secret: env:SHOP")
	case oauth.TLSClientAuth:
		line("tls_client_auth_subject_dn: CN=client")
		line("mtls_bound: true")
		if profile.MessageSigning() {
			line("jwks: %s", clientJWKS())
		}
	case oauth.PrivateKeyJWT:
		line("jwks: %s", clientJWKS())
		line("dpop_bound: true")
	case oauth.SelfSignedTLS:
		line("jwks: %s", clientJWKS())
		line("mtls_bound: true")
	}
	return b.String() + more
}

// always are the members without which discovery is none (OpenID Connect Discovery §3).
var always = map[string]bool{
	"issuer": true, "authorization_endpoint": true, "token_endpoint": true, "jwks_uri": true, "response_types_supported": true,
	"subject_types_supported": true, "id_token_signing_alg_values_supported": true, "code_challenge_methods_supported": true,
	"authorization_response_iss_parameter_supported": true, "pushed_authorization_request_endpoint": true,
}

// words are a member that is a list of text.
func words(p *probe, v any) []string {
	p.t.Helper()
	text, err := json.Marshal(v)
	var list []string
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil || len(list) == 0 {
		p.t.Fatalf("%s is no list of text that is not empty", text)
	}
	return list
}

// same fails unless a list holds exactly what it should.
func same[T ~string](p *probe, what string, got []string, want []T) {
	p.t.Helper()
	var texts []string
	for _, w := range want {
		texts = append(texts, string(w))
	}
	slices.Sort(texts)
	if sorted := slices.Sorted(slices.Values(got)); !slices.Equal(sorted, texts) {
		p.t.Errorf("%s are %q, want %q", what, sorted, texts)
	}
}

func (p *probe) profile() spec.Profile { return p.manager.Profile }

// unbound is a client that may have every response type of the profile.
func (p *probe) unbound() party {
	if c, ok := p.clients[string(oauth.ClientSecretBasic)]; ok {
		return c
	}
	return p.anyOf()
}

// anyOf is a confidential client that proves a key, as every profile has one.
func (p *probe) anyOf() party { return p.clients[string(oauth.PrivateKeyJWT)] }
