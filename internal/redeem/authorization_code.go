package redeem

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// Code redeems authorization codes (RFC 6749 §4.1.3, RFC 7636 §4.5).
type Code struct{ *Issuer }

// Name is the grant type's wire word.
func (Code) Name() oauth.GrantType { return oauth.AuthorizationCode }

// Redeem spends a code. Of parallel redemptions one wins; a second use by the code's
// owner ends the grant with all that it issued.
func (i Code) Redeem(ctx context.Context, r Request) (Issued, error) {
	presented := r.Params.Get("code")
	if presented == "" {
		return Issued{}, oauth.Refuse(oauth.InvalidRequest, "code is missing")
	}
	for try := range tries {
		out, again, err := i.once(ctx, r, presented, try == 0)
		if !again {
			return out, err
		}
	}
	return Issued{}, oauth.Refuse(oauth.TemporarilyUnavailable, "the person's account changes too often: try again")
}

// once reads, judges, signs and spends. again is true when memory did not suffice, or
// the grant or its subject changed in between.
func (i Code) once(ctx context.Context, r Request, presented string, recall bool) (out Issued, again bool, err error) {
	g, recalled := store.Grant{}, false
	if recall {
		_, g, recalled = i.recall(r, presented, grant.Code)
	}
	if !recalled {
		if _, g, err = i.find(ctx, r, presented, grant.Code, "code"); err != nil {
			return out, false, err
		}
	}
	if refusal := owned(&g, r, i.Store.Now()); refusal != nil {
		return out, false, refusal
	}
	if g.Number > 0 {
		return out, false, i.replayed(ctx, r, &g)
	}
	if !g.Live() {
		return out, false, notOurs("code")
	}
	return i.first(ctx, r, &g)
}

// first signs the first tokens of a live grant and spends its code. again is true when the
// code was spent meanwhile, or the grant or its subject changed.
func (i *Issuer) first(ctx context.Context, r Request, g *store.Grant) (_ Issued, again bool, _ error) {
	if !r.Client.Confidential() {
		g.Details.Confirmation = r.Confirmation
	}
	out, expires, err := i.answer(r, g, g.Code.Nonce)
	if err != nil {
		return Issued{}, false, err
	}
	idle := g.RotatedAt // without refresh tokens nothing is left to use
	if r.Client.MayUse(oauth.RefreshToken) {
		if out.RefreshToken, err = i.Grants.Refresh(g, 1); err != nil {
			return Issued{}, false, err
		}
		idle = idleEnd(r.Client, g, i.Store.Now())
	}
	won := false
	err = i.Audit.Write(ctx, func(tx *store.Tx) (e audit.Event, err error) {
		won, err = i.Grants.Spend(tx, g, idle, noted(r.Client, expires))
		return i.event(r, g, audit.CodeRedeemed), err
	})
	if err != nil || !won {
		i.Grants.Forget(g.ID)
		return Issued{}, err == nil, err
	}
	if g.Details.Confirmation != (oauth.Confirmation{}) {
		i.Grants.Forget(g.ID) // memory does not know the key yet
	} else {
		i.Grants.Moved(g.ID, 1, i.Store.Now(), idle, expires)
	}
	return out, false, nil
}

// owned checks that whoever presents the code is whom it was made for. None of these
// checks spends it.
func owned(g *store.Grant, r Request, now time.Time) *oauth.Error {
	code := g.Code
	if code == nil || !now.Before(code.ExpiresAt) {
		return oauth.Refuse(oauth.InvalidGrant, "the code is over: it lives %d seconds", int(grant.CodeLifetime.Seconds()))
	}
	if code.JKT != "" && code.JKT != r.Confirmation.JKT {
		return oauth.Refuse(oauth.InvalidGrant, "the code is bound to another DPoP key: send a proof by the key of the authorization request")
	}
	sent := r.Params.Get("redirect_uri")
	if (sent != "" || code.RedirectURISent) && sent != code.RedirectURI {
		return oauth.Refuse(oauth.InvalidGrant, "redirect_uri is not exactly the one of the authorization request")
	}
	verifier := r.Params.Get("code_verifier")
	switch {
	case code.Challenge == "" && verifier != "":
		return oauth.Refuse(oauth.InvalidGrant, "code_verifier was sent, but the authorization request had no code_challenge")
	case code.Challenge != "" && verifier == "":
		return oauth.Refuse(oauth.InvalidGrant, "code_verifier is missing: the authorization request had a code_challenge")
	case code.Challenge != "" && !proves(verifier, code.Challenge):
		return oauth.Refuse(oauth.InvalidGrant, "code_verifier does not fit the code_challenge of the authorization request")
	}
	return nil
}

// proves checks a PKCE verifier by S256 (RFC 7636 §4.6).
func proves(verifier, challenge string) bool {
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

func (i Code) replayed(ctx context.Context, r Request, g *store.Grant) error {
	if g.EndedAt.IsZero() {
		if err := i.end(ctx, r, g, audit.GrantReplayed, grant.CauseReplayed); err != nil {
			return err
		}
	}
	return oauth.Refuse(oauth.InvalidGrant, "the code was used before: all that it gave is revoked")
}
