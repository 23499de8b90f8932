package feed

import (
	"context"
	"fmt"
	"slices"

	"github.com/jeton-auth/jeton/oauth/feed"
	"github.com/jeton-auth/jeton/verify"
)

// Beyond says how a heartbeat that a reader shows proves that the database went back in
// time since it was signed: it stands at a number that the log has not reached, at
// another log's, or in an incarnation that this one does not come after. Empty: it
// proves nothing of the kind. One that the feed's own keys did not sign is an error.
func (f *Feed) Beyond(ctx context.Context, heartbeat string) (why string, err error) {
	if len(heartbeat) > feed.MaxHeartbeat {
		return "", fmt.Errorf("feed: a heartbeat of %d characters", len(heartbeat))
	}
	payload, _, err := verify.Signed(heartbeat, feed.Typ, f.ring.FeedKey)
	if err != nil {
		return "", err
	}
	h, err := feed.ParseHeartbeat(payload, f.issuer)
	if err != nil {
		return "", err
	}
	// Another node may have signed it a moment ago.
	if _, _, err := f.confirm(ctx); err != nil {
		return "", err
	}
	at, former := f.log.Position()
	switch {
	case h.Incarnation != at.Incarnation && slices.Contains(former, h.Incarnation):
	case h.Incarnation != at.Incarnation:
		return fmt.Sprintf("a reader of the feed has a heartbeat of incarnation %s, which the database (%s) does not come after", h.Incarnation, at.Incarnation), nil
	case h.N > at.N:
		return fmt.Sprintf("a reader of the feed has a heartbeat at revocation %d, and the database stands at %d", h.N, at.N), nil
	case h.N == at.N && h.Hash != at.Hash:
		return fmt.Sprintf("a reader of the feed has a heartbeat of another revocation %d than the database", h.N), nil
	}
	return "", nil
}
