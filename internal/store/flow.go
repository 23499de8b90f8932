package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"time"

	"github.com/jeton-auth/jeton/oauth"
)

// FlowID names a flow: 128 random bits. Alone it opens nothing.
type FlowID [16]byte

// Flow is an authorization request under way in one browser.
type Flow struct {
	ID        FlowID
	Browser   []byte // hash of the browser's secret; empty until a browser claimed it
	Request   AuthorizationRequest
	Session   []byte // the session in which the person proved who they are for this very flow
	CreatedAt time.Time
	ExpiresAt time.Time
}

// AuthorizationRequest is a checked authorization request: its client, redirect
// URI and scopes have been verified.
type AuthorizationRequest struct {
	Client          string `json:"client"`
	RedirectURI     string `json:"redirect_uri"`
	RedirectURISent bool   `json:"redirect_uri_sent,omitempty"`
	// ResponseType is code where it is empty, and ResponseMode the default of the type.
	ResponseType  oauth.ResponseType `json:"response_type,omitempty"`
	ResponseMode  oauth.ResponseMode `json:"response_mode,omitempty"`
	State         string             `json:"state,omitempty"`
	Nonce         string             `json:"nonce,omitempty"`
	Challenge     string             `json:"challenge,omitempty"`
	JKT           string             `json:"dpop_jkt,omitempty"` // thumbprint of the DPoP key of the code
	Scopes        []string           `json:"scopes,omitempty"`
	Resources     []GrantedResource  `json:"resources,omitempty"`
	ResourceAsked bool               `json:"resource_asked,omitempty"`
	Prompt        []string           `json:"prompt,omitempty"`
	MaxAge        *int64             `json:"max_age,omitempty"` // seconds
	LoginHint     string             `json:"login_hint,omitempty"`
	IDTokenHint   string             `json:"hinted_subject,omitempty"` // the subject of a verified hint
	ACRValues     []string           `json:"acr_values,omitempty"`
	Claims        ClaimsRequest      `json:"claims,omitzero"`
	UILocales     string             `json:"ui_locales,omitempty"`
	// Details are the authorization details that are asked for (RFC 9396).
	Details []oauth.AuthorizationDetail `json:"authorization_details,omitempty"`
	// Pushed is the key of the pushed request that this is; empty: it was not pushed.
	Pushed []byte `json:"pushed,omitempty"`
	// Signed tells that it came in a request object.
	Signed bool `json:"signed,omitempty"`
	// Device is the key of the device authorization request that this is, and UserCode what
	// the person typed for it; empty: the browser came from an app.
	Device   []byte `json:"device,omitempty"`
	UserCode string `json:"user_code,omitempty"`
}

// Type is the response type that is asked for.
func (r *AuthorizationRequest) Type() oauth.ResponseType {
	return cmp.Or(r.ResponseType, oauth.ResponseCode)
}

const flowColumns = `SELECT id, browser, request, session, created_at, expires_at FROM flows`

func scanFlow(row scanner) (f Flow, err error) {
	var id []byte
	var request string
	var created, expires int64
	if err := row.Scan(&id, &f.Browser, &request, &f.Session, &created, &expires); err != nil {
		return f, err
	}
	copy(f.ID[:], id)
	f.CreatedAt, f.ExpiresAt = fromMillis(created), fromMillis(expires)
	return f, json.Unmarshal([]byte(request), &f.Request)
}

// Flow reads a flow that has not expired.
func (r Reader) Flow(id FlowID, now time.Time) (Flow, error) {
	return get(r, scanFlow, flowColumns+` WHERE id = ? AND expires_at > ?`, id[:], millis(now))
}

// CreateFlow adds a flow.
func (tx *Tx) CreateFlow(f Flow) error {
	request, err := json.Marshal(f.Request)
	if err != nil {
		return err
	}
	_, err = tx.change(`INSERT INTO flows (id, browser, client, request, session, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		f.ID[:], notNil(f.Browser), f.Request.Client, string(request), notNil(f.Session), millis(tx.now), millis(f.ExpiresAt))
	return err
}

// ClaimFlow binds an unclaimed flow to a browser, until a time. won is false when another
// browser was first.
func (tx *Tx) ClaimFlow(id FlowID, browser []byte, until time.Time) (won bool, err error) {
	if len(browser) == 0 {
		return false, errors.New("store: a flow is claimed by a browser")
	}
	n, err := tx.change(`UPDATE flows SET browser = ?, expires_at = ? WHERE id = ? AND length(browser) = 0`, browser, millis(until), id[:])
	return n == 1, err
}

// ProveFlow notes the session in which the person proved who they are for this
// flow.
func (tx *Tx) ProveFlow(id FlowID, session []byte) error {
	return tx.one(`UPDATE flows SET session = ? WHERE id = ?`, session, id[:])
}

// ConsumeFlow removes a flow; ErrNotFound when another answer consumed it.
func (tx *Tx) ConsumeFlow(id FlowID) error {
	return tx.one(`DELETE FROM flows WHERE id = ?`, id[:])
}

// PurgeFlows removes up to limit expired flows.
func (tx *Tx) PurgeFlows(limit int) (int64, error) {
	return tx.change(`DELETE FROM flows WHERE id IN (SELECT id FROM flows WHERE expires_at < ? LIMIT ?)`, millis(tx.now), limit)
}

// Consent is what a subject allowed a client: resource id ("" is the issuer) to
// scopes.
type Consent struct {
	Subject   string
	Client    string
	Scopes    map[string][]string
	UpdatedAt time.Time
}

// Consent reads a subject's consent to a client.
func (r Reader) Consent(subject, client string) (Consent, error) {
	return get(r, func(row scanner) (c Consent, err error) {
		var scopes string
		var updated int64
		if err := row.Scan(&c.Subject, &c.Client, &scopes, &updated); err != nil {
			return c, err
		}
		c.UpdatedAt = fromMillis(updated)
		return c, decodeAll(scopes, &c.Scopes)
	}, `SELECT subject, client, scopes, updated_at FROM consents WHERE subject = ? AND client = ?`, subject, client)
}

// PutConsent writes a consent over the one before.
func (tx *Tx) PutConsent(c Consent) error {
	scopes, err := encode(c.Scopes, false)
	if err != nil {
		return err
	}
	_, err = tx.change(`INSERT INTO consents (subject, client, scopes, updated_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (subject, client) DO UPDATE SET scopes = excluded.scopes, updated_at = excluded.updated_at`,
		c.Subject, c.Client, scopes, millis(tx.now))
	return err
}

// DeleteConsentsTo removes what anybody allowed a client: its id may come back as
// somebody else's.
func (tx *Tx) DeleteConsentsTo(client string) error {
	_, err := tx.change(`DELETE FROM consents WHERE client = ?`, client)
	return err
}

// DeleteConsents removes all consents of a subject, or with a client that one.
func (tx *Tx) DeleteConsents(subject, client string) error {
	_, err := tx.change(`DELETE FROM consents WHERE subject = ? AND (? = '' OR client = ?)`, subject, client, client)
	return err
}
