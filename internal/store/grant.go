package store

import (
	"encoding/json"
	"time"

	"github.com/jeton-auth/jeton/oauth"
)

// GrantID names a grant: 128 random bits.
type GrantID [16]byte

// Grant is one authorization, with every credential under it a number: the code
// is 0, refresh tokens are 1, 2, 3 …
type Grant struct {
	ID         GrantID
	Secret     []byte // 256 random bits, a part of the key of every tag
	Pepper     int64  // id of the pepper in the key ring
	Client     string
	Subject    string
	Session    []byte // empty: outlives its session
	Rev        int64  // head when it was made
	CreatedAt  time.Time
	AbsoluteAt time.Time
	Code       *CodeDetails // nil once it can no longer be presented
	Details    GrantDetails
	Number     int64
	RotatedAt  time.Time // of the last rotation; the creation before the first
	IdleAt     time.Time
	// TokensUntil is no earlier than the expiry of any access token issued under it.
	TokensUntil time.Time
	EndedAt     time.Time
	EndedBy     string
	// Cutoff is the highest cutoff that stands on the grant's subject, client or
	// issuer, and Dead tells that one of them is disabled or gone.
	Cutoff int64
	Dead   bool
	// User is the subject as it is now.
	User User
}

// Live tells whether the grant, in itself, may still give tokens.
func (g *Grant) Live() bool { return g.EndedAt.IsZero() && !g.Dead && g.Rev >= g.Cutoff }

// CodeDetails are what only the code needs.
type CodeDetails struct {
	RedirectURI string `json:"redirect_uri"`
	// RedirectURISent tells whether the authorization request named it, so that
	// the token request must (RFC 6749 §4.1.3).
	RedirectURISent bool      `json:"redirect_uri_sent,omitempty"`
	Challenge       string    `json:"challenge,omitempty"` // S256; empty: the request had none
	JKT             string    `json:"dpop_jkt,omitempty"`  // thumbprint of the DPoP key that must come with it; empty: any
	Nonce           string    `json:"nonce,omitempty"`     // erased when the code is redeemed
	ExpiresAt       time.Time `json:"expires_at"`
}

// GrantDetails are set when the grant is made and never change.
type GrantDetails struct {
	// Scopes are the issuer's own scopes that were granted.
	Scopes []string `json:"scopes,omitempty"`
	// Resources are the granted resources with the scopes of each.
	Resources []GrantedResource `json:"resources,omitempty"`
	// ResourceAsked tells that the authorization request named its resources, so
	// that the issuer is not an audience besides them.
	ResourceAsked bool          `json:"resource_asked,omitempty"`
	Claims        ClaimsRequest `json:"claims,omitzero"`
	AuthTime      time.Time     `json:"auth_time"`
	ACR           string        `json:"acr,omitempty"`
	AMR           []string      `json:"amr,omitempty"`
	SID           string        `json:"sid,omitempty"`
	// AuthorizationDetails are what was granted beside scopes (RFC 9396).
	AuthorizationDetails []oauth.AuthorizationDetail `json:"authorization_details,omitempty"`
	// Confirmation is the key to which a public client's refresh tokens are bound (RFC
	// 9449 §5, RFC 8705 §4).
	Confirmation oauth.Confirmation `json:"cnf,omitzero"`
}

// GrantedResource is a resource with the scopes granted for it.
type GrantedResource struct {
	ID     string   `json:"id"`
	Scopes []string `json:"scopes,omitempty"`
}

// ClaimsRequest is the claims parameter (OpenID Connect Core §5.5).
type ClaimsRequest struct {
	UserInfo map[string]*ClaimRequest `json:"userinfo,omitempty"`
	IDToken  map[string]*ClaimRequest `json:"id_token,omitempty"`
}

// ClaimRequest asks for one claim; nil in the map asks for it as voluntary.
type ClaimRequest struct {
	Essential bool  `json:"essential,omitempty"`
	Value     any   `json:"value,omitempty"`
	Values    []any `json:"values,omitempty"`
}

const grantColumns = `SELECT g.id, g.secret, g.pepper, g.client, g.subject, g.session, g.rev, g.created_at, g.absolute_at,
	g.code, g.details, g.number, g.rotated_at, g.idle_at, g.tokens_until, g.ended_at, g.ended_by,
	i.cutoff, coalesce(c.cutoff, 0), coalesce(u.cutoff, 0),
	coalesce(c.disabled, 1) <> 0 OR coalesce(u.disabled, 1) <> 0,
	coalesce(u.email, ''), coalesce(u.email_verified, 0), coalesce(u.name, ''), coalesce(u.claims, ''), coalesce(u.roles, ''), coalesce(u.groups, ''), coalesce(u.updated_at, 0)
	FROM grants g CROSS JOIN issuer i LEFT JOIN clients c ON c.id = g.client LEFT JOIN users u ON u.id = g.subject`

func scanGrant(row scanner) (g Grant, err error) {
	var id []byte
	var code, details, claims, roles, groups string
	var created, absolute, rotated, idle, until, ended, updated, byClient, byUser int64
	err = row.Scan(&id, &g.Secret, &g.Pepper, &g.Client, &g.Subject, &g.Session, &g.Rev, &created, &absolute,
		&code, &details, &g.Number, &rotated, &idle, &until, &ended, &g.EndedBy, &g.Cutoff, &byClient, &byUser, &g.Dead,
		&g.User.Email, &g.User.EmailVerified, &g.User.Name, &claims, &roles, &groups, &updated)
	if err != nil {
		return g, err
	}
	g.Cutoff = max(g.Cutoff, byClient, byUser)
	copy(g.ID[:], id)
	g.User.ID, g.User.UpdatedAt = g.Subject, fromMillis(updated)
	g.CreatedAt, g.AbsoluteAt, g.RotatedAt = fromMillis(created), fromMillis(absolute), fromMillis(rotated)
	g.IdleAt, g.TokensUntil, g.EndedAt = fromMillis(idle), fromMillis(until), fromMillis(ended)
	return g, decodeAll(code, &g.Code, details, &g.Details, claims, &g.User.Claims, roles, &g.User.Roles, groups, &g.User.Groups)
}

// Grant reads one grant, with its subject as it is now.
func (r Reader) Grant(id GrantID) (Grant, error) {
	return get(r, scanGrant, grantColumns+` WHERE g.id = ?`, id[:])
}

// CreateGrant adds a grant whose code dies at g.Code.ExpiresAt. One without a code, all
// of whose tokens went out with the authorization response, stands where a redeemed code
// leaves a grant, at number 1; like an unredeemed one it goes when its token is over, or
// soon where it has none.
func (tx *Tx) CreateGrant(g Grant) error {
	code, number, until := "", int64(1), millis(g.TokensUntil)
	if g.TokensUntil.IsZero() {
		until = millis(tx.now.Add(codeKept))
	}
	if g.Code != nil {
		text, err := json.Marshal(g.Code)
		if err != nil {
			return err
		}
		code, number, until = string(text), 0, millis(g.Code.ExpiresAt.Add(codeKept))
	}
	details, err := json.Marshal(g.Details)
	if err != nil {
		return err
	}
	_, err = tx.change(`INSERT INTO grants (id, secret, pepper, client, subject, session, rev, created_at, absolute_at, unredeemed_until,
			code, details, number, rotated_at, idle_at, tokens_until, ended_at, ended_by)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '')`,
		g.ID[:], g.Secret, g.Pepper, g.Client, g.Subject, notNil(g.Session), g.Rev, millis(tx.now), millis(g.AbsoluteAt),
		until, code, string(details), number, millis(tx.now), millis(g.IdleAt), millis(g.TokensUntil))
	return err
}

// codeKept is how long the row of an unredeemed code stays after it expired, and how
// long what a second use of a redeemed one is judged by.
const codeKept = time.Minute

// live is the condition under which a grant may give tokens, as one clause: the
// row, its subject, client and issuer. Where one of these is gone its cutoff is NULL, of
// which nothing is true. asRead asks besides that the subject is as it was read.
const (
	alive = ` ended_at = 0 AND rev >= (SELECT cutoff FROM issuer)
	AND rev >= (SELECT cutoff FROM clients WHERE id = client AND disabled = 0)
	AND rev >= (SELECT cutoff FROM users WHERE id = subject AND disabled = 0`
	live   = alive + `)`
	asRead = alive + ` AND updated_at = ?)`
)

// cutOff is the condition under which a grant is dead for good, whatever its row says:
// its rev is under a cutoff, or its subject or client is gone.
const cutOff = ` AND (rev < (SELECT cutoff FROM issuer)
	OR rev < coalesce((SELECT cutoff FROM clients WHERE id = client), 9223372036854775807)
	OR rev < coalesce((SELECT cutoff FROM users WHERE id = subject), 9223372036854775807))`

// SpendCode moves a live grant from its code to number 1. Of what only the code
// needed, that stays by which a second use is judged while the code is young; the
// first rotation after that erases it. won is false when the grant was not live, the code
// was spent, or the subject, whose claims are in the tokens, has changed since g was read.
func (tx *Tx) SpendCode(g *Grant, idleAt, tokensUntil time.Time) (won bool, err error) {
	kept := *g.Code
	kept.Nonce = ""
	code, err := json.Marshal(kept)
	if err != nil {
		return false, err
	}
	details := "" // as they were
	if g.Details.Confirmation != (oauth.Confirmation{}) {
		text, err := json.Marshal(g.Details)
		if err != nil {
			return false, err
		}
		details = string(text)
	}
	n, err := tx.change(`UPDATE grants SET number = 1, code = ?, unredeemed_until = 0, rotated_at = ?, idle_at = ?, tokens_until = CASE WHEN tokens_until > ? THEN tokens_until ELSE ? END,
		details = CASE WHEN ? = '' THEN details ELSE ? END
		WHERE id = ? AND number = 0 AND`+asRead, string(code), millis(tx.now), millis(idleAt), millis(tokensUntil), millis(tokensUntil), details, details, g.ID[:], millis(g.User.UpdatedAt))
	return n == 1, err
}

const rotating = `UPDATE grants SET number = number + 1, code = CASE WHEN created_at > ? THEN code ELSE '' END, rotated_at = ?, idle_at = ?, tokens_until = CASE WHEN tokens_until > ? THEN tokens_until ELSE ? END
	WHERE id = ? AND number = ? AND number > 0 AND`

// Rotate moves a live grant from number n to n + 1. won is false when the grant
// was not live or stands at another number.
func (tx *Tx) Rotate(id GrantID, n int64, idleAt, tokensUntil time.Time) (won bool, err error) {
	young := tx.now.Add(-codeKept)
	changed, err := tx.change(rotating+live, millis(young), millis(tx.now), millis(idleAt), millis(tokensUntil), millis(tokensUntil), id[:], n)
	return changed == 1, err
}

// RotateRecalled is Rotate for a grant that was read some time ago: it is won only if
// its subject has not changed since, whose claims are in the tokens.
func (tx *Tx) RotateRecalled(g *Grant, idleAt, tokensUntil time.Time) (won bool, err error) {
	young := tx.now.Add(-codeKept)
	changed, err := tx.change(rotating+asRead,
		millis(young), millis(tx.now), millis(idleAt), millis(tokensUntil), millis(tokensUntil), g.ID[:], g.Number, millis(g.User.UpdatedAt))
	return changed == 1, err
}

// Touch notes the use of a live grant without changing its number: a lost answer
// is given again, or the client's tokens do not rotate. won is false when the
// grant was not live or stands at another number.
func (tx *Tx) Touch(id GrantID, n int64, idleAt, tokensUntil time.Time) (won bool, err error) {
	changed, err := tx.change(`UPDATE grants SET idle_at = ?, tokens_until = CASE WHEN tokens_until > ? THEN tokens_until ELSE ? END
		WHERE id = ? AND number = ? AND number > 0 AND`+live, millis(idleAt), millis(tokensUntil), millis(tokensUntil), id[:], n)
	return changed == 1, err
}

// Ended is a grant that was just ended: what the revocation log needs of it.
type Ended struct {
	ID          GrantID
	Client      string
	Subject     string
	TokensUntil time.Time
}

func scanEnded(row scanner) (e Ended, err error) {
	var id []byte
	var until int64
	err = row.Scan(&id, &e.Client, &e.Subject, &until)
	copy(e.ID[:], id)
	e.TokensUntil = fromMillis(until)
	return e, err
}

const ending = `UPDATE grants SET ended_at = ?, ended_by = ?, code = '', unredeemed_until = 0 WHERE ended_at = 0 AND `

const endedColumns = ` RETURNING id, client, subject, tokens_until`

// EndGrant ends a grant and returns it; ErrNotFound when it is gone or ended
// already.
func (tx *Tx) EndGrant(id GrantID, cause string) (Ended, error) {
	return get(tx.Reader, scanEnded, ending+`id = ?`+endedColumns, millis(tx.now), cause, id[:])
}

// EndGrantsOfSession ends the grants that live in a session.
func (tx *Tx) EndGrantsOfSession(session []byte, cause string) ([]Ended, error) {
	if len(session) == 0 {
		return nil, nil
	}
	return list(tx.Reader, scanEnded, ending+`session = ? AND length(session) > 0`+endedColumns, millis(tx.now), cause, session)
}

// oldest is among how many of the oldest grants EndIdlest looks for the longest
// unused: each look is a row elsewhere on the disk.
const oldest = 8

// The kinds of grants that are counted apart, so that those without a code, which any site
// can have made, never push out one that is in use.
const (
	redeemed    = `unredeemed_until = 0`
	withoutCode = `unredeemed_until > 0 AND number = 1`
)

// EndIdlest ends redeemed grants of a subject at one client, so that at most keep stay
// live: of the oldest ones the longest unused.
func (tx *Tx) EndIdlest(subject, client string, keep int, cause string) ([]Ended, error) {
	return tx.endIdlest(redeemed, subject, client, keep, cause)
}

// EndOldestWithoutCode does the same with grants without a code.
func (tx *Tx) EndOldestWithoutCode(subject, client string, keep int, cause string) ([]Ended, error) {
	return tx.endIdlest(withoutCode, subject, client, keep, cause)
}

func (tx *Tx) endIdlest(kind, subject, client string, keep int, cause string) ([]Ended, error) {
	n, err := get(tx.Reader, scanOne[int], `SELECT count(*) FROM (SELECT 1 FROM grants WHERE subject = ? AND client = ? AND `+kind+` AND ended_at = 0 LIMIT ?) AS live`, subject, client, keep+64)
	if err != nil || n <= keep {
		return nil, err
	}
	// They are counted again by the very statement that ends them: another transaction may
	// have ended some since, and two that each end what is too many would leave too few.
	return list(tx.Reader, scanEnded, ending+`id IN (SELECT id FROM grants WHERE id IN
		(SELECT id FROM grants WHERE subject = ? AND client = ? AND `+kind+` AND ended_at = 0 ORDER BY created_at LIMIT ?)
		ORDER BY rotated_at, id LIMIT (SELECT CASE WHEN n > ? THEN n - ? ELSE 0 END FROM (SELECT count(*) AS n FROM
			(SELECT 1 FROM grants WHERE subject = ? AND client = ? AND `+kind+` AND ended_at = 0 LIMIT ?) AS live) AS counted))`+endedColumns,
		millis(tx.now), cause, subject, client, max(oldest, n-keep), keep, keep, subject, client, keep+64)
}

// PurgeGrants ends the grants that a cutoff has killed and removes the rows that
// nothing needs any more, looking at limit rows after the one given, in the order of
// their ids. It returns the id to go on from; the zero id when it reached the end.
func (tx *Tx) PurgeGrants(after GrantID, limit int) (next GrantID, err error) {
	ids, err := list(tx.Reader, scanOne[[]byte], `SELECT id FROM grants WHERE id > ? ORDER BY id LIMIT ?`, after[:], limit)
	if err != nil || len(ids) == 0 {
		return GrantID{}, err
	}
	last := ids[len(ids)-1]
	now := millis(tx.now)
	if _, err := tx.change(ending+`id > ? AND id <= ?`+cutOff, now, "cut_off", after[:], last); err != nil {
		return GrantID{}, err
	}
	_, err = tx.change(`DELETE FROM grants WHERE id > ? AND id <= ? AND tokens_until < ?
		AND ((unredeemed_until > 0 AND unredeemed_until < ?) OR (unredeemed_until = 0 AND (ended_at > 0 OR idle_at < ? OR absolute_at < ?)) OR absolute_at < ?)`,
		after[:], last, now, now, now, now, now)
	if err == nil && len(ids) == limit {
		copy(next[:], last)
	}
	return next, err
}

// PurgeUnredeemed removes up to limit grants whose code was never used. One that gave a
// token beside its code is left to PurgeGrants.
func (tx *Tx) PurgeUnredeemed(limit int) (int64, error) {
	return tx.change(`DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE unredeemed_until > 0 AND unredeemed_until < ? AND tokens_until = 0 LIMIT ?)`, millis(tx.now), limit)
}

// CountGrants is the number of rows, live or not.
func (r Reader) CountGrants() (int64, error) {
	return get(r, scanOne[int64], `SELECT count(*) FROM grants`)
}
