package endpoints

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jeton-auth/jeton/internal/claims"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/redeem"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

// Metadata is both discovery documents (OpenID Connect Discovery §3, RFC 8414 §2).
// What is not there is not in it.
type Metadata struct {
	Issuer    string
	Directory *directory.Directory
	Redeem    *redeem.Dispatcher
	Methods   []oauth.AuthMethod
	ACRs      []string
	UILocales []string
	Profile   spec.Profile // the whole server's
	// Certificates tells whether clients' certificates can arrive.
	Certificates bool

	shown document
}

type metadata struct {
	Issuer            string               `json:"issuer"`
	Authorization     string               `json:"authorization_endpoint"`
	Token             string               `json:"token_endpoint"`
	PAR               string               `json:"pushed_authorization_request_endpoint"`
	Device            string               `json:"device_authorization_endpoint,omitempty"` // RFC 8628 §4
	JWKS              string               `json:"jwks_uri"`
	UserInfo          string               `json:"userinfo_endpoint"`
	Revocation        string               `json:"revocation_endpoint"`
	Introspection     string               `json:"introspection_endpoint"`
	Feed              string               `json:"revocation_feed_endpoint"`
	EndSession        string               `json:"end_session_endpoint"`
	Scopes            []string             `json:"scopes_supported"`
	Claims            []string             `json:"claims_supported"`
	ResponseTypes     []oauth.ResponseType `json:"response_types_supported"`
	ResponseModes     []oauth.ResponseMode `json:"response_modes_supported"`
	GrantTypes        []oauth.GrantType    `json:"grant_types_supported"`
	SubjectTypes      []oauth.SubjectType  `json:"subject_types_supported"`
	IDTokenAlgs       []oauth.Alg          `json:"id_token_signing_alg_values_supported"`
	IntrospectionAlgs []oauth.Alg          `json:"introspection_signing_alg_values_supported"`
	ChallengeMethods  []string             `json:"code_challenge_methods_supported"`
	ClaimTypes        []string             `json:"claim_types_supported"`
	Prompts           []string             `json:"prompt_values_supported"`
	ACRs              []string             `json:"acr_values_supported"`
	UILocales         []string             `json:"ui_locales_supported,omitempty"`
	IssParameter      bool                 `json:"authorization_response_iss_parameter_supported"`
	ClaimsParameter   bool                 `json:"claims_parameter_supported"`
	DPoPAlgs          []oauth.Alg          `json:"dpop_signing_alg_values_supported"` // RFC 9449 §5.1
	clientMetadata
	requestMetadata
	responseMetadata
	logoutMetadata
}

// describe lists what is there now; scopes change with the resources.
func (m *Metadata) describe() metadata {
	scopes := slices.Clone(oauth.IdentityScopes)
	for _, r := range m.Directory.Resources() {
		for _, s := range r.Scopes {
			if !slices.Contains(scopes, s) {
				scopes = append(scopes, s)
			}
		}
	}
	doc := metadata{
		Issuer:            m.Issuer,
		Authorization:     m.Issuer + "/authorize",
		Token:             m.Issuer + "/token",
		PAR:               m.Issuer + "/par",
		JWKS:              m.Issuer + "/jwks",
		UserInfo:          m.Issuer + "/userinfo",
		Revocation:        m.Issuer + "/revoke",
		Introspection:     m.Issuer + "/introspect",
		Feed:              oauth.FeedResource(m.Issuer),
		EndSession:        m.Issuer + "/logout",
		Scopes:            scopes,
		Claims:            claims.Supported(),
		ResponseTypes:     m.responseTypes(),
		ResponseModes:     spec.ResponseModes,
		GrantTypes:        slices.Clone(m.Redeem.Names()),
		SubjectTypes:      m.subjectTypes(),
		IDTokenAlgs:       m.idAlgs(),
		IntrospectionAlgs: m.answerAlgs(),
		ChallengeMethods:  []string{oauth.CodeChallengeS256},
		ClaimTypes:        []string{"normal"},
		Prompts:           []string{oauth.PromptNone, oauth.PromptLogin, oauth.PromptConsent, oauth.PromptSelectAccount},
		ACRs:              m.ACRs,
		UILocales:         m.UILocales,
		IssParameter:      true,
		ClaimsParameter:   true,
		DPoPAlgs:          dpop.Algs(),
		clientMetadata:    m.clients(),
		requestMetadata:   m.requests(),
		responseMetadata:  m.responses(),
		logoutMetadata:    m.logouts(),
	}
	m.devices(&doc)
	m.narrow(&doc)
	if slices.ContainsFunc(doc.ResponseTypes, func(t oauth.ResponseType) bool { return t != oauth.ResponseCode }) {
		doc.GrantTypes = append(doc.GrantTypes, oauth.Implicit)
	}
	doc.IntrospectionMethods = introspectionMethods(doc.Methods)
	return doc
}

// introspectionMethods are those of confidential clients, and those of resources.
func introspectionMethods(clients []oauth.AuthMethod) (methods []string) {
	for _, a := range slices.Concat(secretMethods, clients) {
		if a.Confidential() && !slices.Contains(methods, string(a)) {
			methods = append(methods, string(a))
		}
	}
	return methods
}

// idAlgs are the algorithms by which ID tokens are signed: the two that every client may
// have, and those that clients registered.
func (m *Metadata) idAlgs() []oauth.Alg {
	algs := []oauth.Alg{oauth.RS256, oauth.ES256}
	for _, c := range m.Directory.Clients() {
		if c.IDTokenAlg != "" && !slices.Contains(algs, c.IDTokenAlg) {
			algs = append(algs, c.IDTokenAlg)
		}
	}
	return algs
}

// answerAlgs are the algorithms by which introspection answers are signed: those of
// clients, and those of the resources' access tokens.
func (m *Metadata) answerAlgs() []oauth.Alg {
	algs := []oauth.Alg{clientAnswerAlg}
	for _, c := range m.Directory.Clients() {
		if a := answerAlg(c); !slices.Contains(algs, a) {
			algs = append(algs, a)
		}
	}
	for _, r := range m.Directory.Resources() {
		if len(r.SecretHash) > 0 && !slices.Contains(algs, r.AccessToken.Alg) {
			algs = append(algs, r.AccessToken.Alg)
		}
	}
	return algs
}

func (m *Metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.shown.serve(w, r, m.Directory.Version(), func() ([]byte, error) { return json.Marshal(m.describe()) })
}

// JWKS is GET /jwks: the public keys (RFC 7517 §5).
type JWKS struct {
	Ring  *keys.Ring
	shown document
}

func (j *JWKS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.shown.serve(w, r, j.Ring.Generation(), func() ([]byte, error) { return j.Ring.JWKS(), nil })
}

// cacheFor is how long clients may keep metadata and keys.
var cacheFor = fmt.Sprintf("public, max-age=%d", keys.CacheLifetime/time.Second)

// document is a public JSON document, rendered once for each version of what it
// shows.
type document struct{ now atomic.Pointer[rendered] }

type rendered struct {
	version      uint64
	body         []byte
	etag, length []string
}

func (d *document) serve(w http.ResponseWriter, r *http.Request, version uint64, render func() ([]byte, error)) {
	doc := d.now.Load()
	if doc == nil || doc.version != version {
		body, err := render()
		if err != nil {
			http.Error(w, "the document could not be written", http.StatusInternalServerError)
			return
		}
		sum := sha256.Sum256(body)
		doc = &rendered{
			version: version, body: body,
			etag:   []string{`"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`},
			length: []string{strconv.Itoa(len(body))},
		}
		d.now.Store(doc)
	}
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["Etag"] = documentType, documentCache, doc.etag
	if r.Header.Get("If-None-Match") == doc.etag[0] {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h["Content-Length"] = doc.length
	_, _ = w.Write(doc.body)
}

var (
	documentType  = []string{"application/json"}
	documentCache = []string{cacheFor}
)
