package authorize

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/subject"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// Bounds of an authorization request, in bytes. What is kept of it lies in the
// database until the person has answered.
const (
	maxText   = 2048 // state, nonce, login_hint
	maxList   = 1024 // acr_values, ui_locales
	maxScope  = 8 << 10
	maxHint   = 16 << 10 // id_token_hint
	maxClaims = 4 << 10
	maxURIs   = 20 // resource
	maxDigits = 10 // of max_age, in seconds
)

// Hints reads ID tokens of ours that come back.
type Hints interface {
	// Subject verifies an ID token, expired or not.
	Subject(idToken string) (sub, sid, clientID string, err error)
}

// Parser turns parameters into a checked request.
type Parser struct {
	Issuer    string
	Directory *directory.Directory
	Hints     Hints
	Front     Front
	Names     *subject.Names
}

// Parsed is a checked request, with its client and where its answer goes.
type Parsed struct {
	Request store.AuthorizationRequest
	Client  *store.Client
	To      *ReturnAddress // nil: a refusal is a page
}

// parsing is a request on its way through the checks.
type parsing struct {
	Parser
	Parsed
	params web.Params
	via    via
}

// checks are all the checks of an authorization request, in their order. Up to
// returnAddress a refusal is a page of ours; from there on it goes to the client.
var checks = []func(*parsing) *oauth.Error{
	(*parsing).client,
	(*parsing).returnAddress,
	(*parsing).state,
	(*parsing).notSupported,
	(*parsing).came,
	(*parsing).responseType,
	(*parsing).codeChallenge,
	(*parsing).dpopKey,
	(*parsing).nonce,
	(*parsing).resource,
	(*parsing).details,
	(*parsing).scope,
	(*parsing).answerTokens,
	(*parsing).prompt,
	(*parsing).maxAge,
	(*parsing).loginHint,
	(*parsing).idTokenHint,
	(*parsing).claims,
	(*parsing).acrValues,
	(*parsing).uiLocales,
}

// Parse checks a request. With a refusal, what the request had shown by then is
// returned as well: To, if the client is to hear of it.
func (p Parser) Parse(params web.Params) (Parsed, *oauth.Error) { return p.parse(params, via{}) }

func (p Parser) parse(params web.Params, v via) (Parsed, *oauth.Error) {
	s := &parsing{Parser: p, params: params, via: v}
	for _, check := range checks {
		if refusal := check(s); refusal != nil {
			return s.Parsed, refusal
		}
	}
	return s.Parsed, nil
}

func (s *parsing) client() *oauth.Error {
	id := s.params.Get("client_id")
	if id == "" {
		return oauth.Refuse(oauth.InvalidRequest, "client_id is missing")
	}
	client, ok := s.Directory.Client(id)
	if !ok {
		return oauth.Refuse(oauth.InvalidClient, "no client with this client_id is registered here")
	}
	s.Client, s.Request.Client = client, client.ID
	return nil
}

// returnAddress verifies where answers go. redirect_uri may be absent where there is
// one alone, but not with openid (OpenID Connect Core §3.1.2.1), nor under FAPI 2.0 (Security
// Profile §5.3.2.2).
func (s *parsing) returnAddress() (refusal *oauth.Error) {
	uri := s.params.Get("redirect_uri")
	s.Request.RedirectURISent = uri != ""
	if uri == "" {
		scopes, _ := oauth.ParseScope(s.params.Get("scope"))
		if len(s.Client.RedirectURIs) != 1 || slices.Contains(scopes, oauth.ScopeOpenID) || s.Client.Profile.FAPI() {
			return oauth.Refuse(oauth.InvalidRequest, "redirect_uri is missing")
		}
		uri = s.Client.RedirectURIs[0]
	}
	s.Request.RedirectURI = uri
	t, mode := oauth.ParseResponseType(s.params.Get("response_type")), oauth.ResponseMode(s.params.Get("response_mode"))
	s.To, refusal = returnAddress(s.Issuer, s.Client, uri, t, mode, "")
	return refusal
}

func (s *parsing) state() (refusal *oauth.Error) {
	if s.Request.State, refusal = s.text("state", maxText); refusal == nil {
		s.To.state = s.Request.State
	}
	return refusal
}

// notSupported refuses what would change the meaning of the rest.
func (s *parsing) notSupported() *oauth.Error {
	switch {
	case s.params.Has("request"):
		return oauth.Refuse(oauth.RequestNotSupported, "request objects are not supported: send the parameters themselves")
	case s.params.Has("request_uri"):
		return oauth.Refuse(oauth.RequestURINotSupported, "request_uri is not supported: send the parameters themselves")
	case s.params.Has("registration"):
		return oauth.Refuse(oauth.RegistrationNotSupp, "registration is not supported: register the client first")
	}
	return nil
}

// codeChallenge takes PKCE by S256 alone (RFC 7636 §4.3). An absent method means
// plain there, which shows the verifier to whoever sees the request.
func (s *parsing) codeChallenge() *oauth.Error {
	challenge, method := s.params.Get("code_challenge"), s.params.Get("code_challenge_method")
	switch {
	case challenge == "" && method != "":
		return oauth.Refuse(oauth.InvalidRequest, "code_challenge is missing, though code_challenge_method is there")
	case challenge == "":
		return s.challenged()
	case method == "":
		return oauth.Refuse(oauth.InvalidRequest, "code_challenge_method is missing, which means plain: write S256")
	case method != oauth.CodeChallengeS256:
		return oauth.Refuse(oauth.InvalidRequest, "code_challenge_method is not supported: write S256")
	}
	if sum, err := base64.RawURLEncoding.Strict().DecodeString(challenge); err != nil || len(sum) != 32 || len(challenge) != 43 {
		return oauth.Refuse(oauth.InvalidRequest, "code_challenge is not the SHA-256 of a verifier in base64url, 43 characters without padding")
	}
	s.Request.Challenge = challenge
	return nil
}

// challenged refuses a request for a code without PKCE where the client must use it.
func (s *parsing) challenged() *oauth.Error {
	if s.Request.Challenge == "" && s.Client.PKCERequired() && gives(s.Request.Type(), wordCode) {
		return oauth.Refuse(oauth.InvalidRequest, "code_challenge is missing: this client must use PKCE")
	}
	return nil
}

func (s *parsing) nonce() (refusal *oauth.Error) {
	s.Request.Nonce, refusal = s.text("nonce", maxText)
	return refusal
}

var prompts = []string{oauth.PromptNone, oauth.PromptLogin, oauth.PromptConsent, oauth.PromptSelectAccount}

func (s *parsing) prompt() *oauth.Error {
	for _, p := range strings.Fields(s.params.Get("prompt")) {
		if !slices.Contains(prompts, p) {
			return oauth.Refuse(oauth.InvalidRequest, "prompt has a value that is not supported: write none, login, consent or select_account")
		}
		if !slices.Contains(s.Request.Prompt, p) {
			s.Request.Prompt = append(s.Request.Prompt, p)
		}
	}
	if slices.Contains(s.Request.Prompt, oauth.PromptNone) && len(s.Request.Prompt) > 1 {
		return oauth.Refuse(oauth.InvalidRequest, "prompt has none beside another value: write none alone, or leave it out")
	}
	return nil
}

func (s *parsing) maxAge() *oauth.Error {
	text := s.params.Get("max_age")
	if text == "" {
		return nil
	}
	age, err := strconv.ParseUint(text, 10, 63)
	if err != nil || len(text) > maxDigits {
		return oauth.Refuse(oauth.InvalidRequest, "max_age is not a number of seconds")
	}
	s.Request.MaxAge = new(int64(age))
	return nil
}

func (s *parsing) loginHint() (refusal *oauth.Error) {
	s.Request.LoginHint, refusal = s.text("login_hint", maxText)
	return refusal
}

func (s *parsing) idTokenHint() *oauth.Error {
	hint, refusal := s.text("id_token_hint", maxHint)
	if refusal != nil || hint == "" {
		return refusal
	}
	sub, _, id, err := s.Hints.Subject(hint)
	if err != nil {
		return oauth.Refuse(oauth.InvalidRequest, "id_token_hint is not an ID token of this issuer")
	}
	if id != s.Client.ID {
		if other, ok := s.Directory.Client(id); s.Client.Pairwise() || !ok || other.Pairwise() {
			return oauth.Refuse(oauth.InvalidRequest, "id_token_hint was issued to another client, which has another name for the person")
		}
	}
	s.Request.IDTokenHint = sub
	return nil
}

func (s *parsing) acrValues() *oauth.Error {
	text, refusal := s.text("acr_values", maxList)
	s.Request.ACRValues = strings.Fields(text)
	return refusal
}

func (s *parsing) uiLocales() (refusal *oauth.Error) {
	s.Request.UILocales, refusal = s.text("ui_locales", maxList)
	return refusal
}

// text is a parameter that is kept. The database keeps text, so bytes that are none
// would not come back as they went in.
func (s *parsing) text(name string, limit int) (string, *oauth.Error) {
	v := s.params.Get(name)
	switch {
	case len(v) > limit:
		return "", oauth.Refuse(oauth.InvalidRequest, "%s is longer than %d bytes", name, limit)
	case !utf8.ValidString(v):
		return "", oauth.Refuse(oauth.InvalidRequest, "%s is not UTF-8", name)
	}
	return v, nil
}
