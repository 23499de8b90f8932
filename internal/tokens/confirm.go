package tokens

import (
	"context"
	"time"
)

// Confirmed is Access for who asks the issuer rather than believes a token: nothing
// that any node revoked and acknowledged before the call is found valid. Where that
// can't be confirmed the error is revoke.ErrUnconfirmed.
func (r *Reader) Confirmed(ctx context.Context, token string, now time.Time) (*Token, error) {
	t, err := r.Access(token, now)
	if err != nil {
		return nil, err
	}
	if err := r.log.Confirm(ctx); err != nil {
		return nil, err
	}
	if r.log.Revoked(t.names) {
		return nil, ErrInvalid
	}
	return t, nil
}
