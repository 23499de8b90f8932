package authorize

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// A list that was good is not fetched again while the client stays as it is; one that was
// not, or did not come, is let alone for a while.
const (
	listRetry = 10 * time.Second
	listsKept = 1024
)

// Listed is what the list of a sector was found to be.
type Listed struct {
	refusal *oauth.Error // nil: it holds all redirect URIs
	at      time.Time
}

// sector makes sure that all redirect URIs of a pairwise client belong to the sector that it
// named (OpenID Connect Core §8.1): else one client could learn the names of another's
// sector. It is looked at when the client first comes, so that a host that is down stops
// that client alone, and no server from starting.
func (f *Flows) sector(ctx context.Context, c *store.Client) *oauth.Error {
	if !c.Pairwise() || c.SectorIdentifierURI == "" {
		return nil
	}
	key := c.SectorIdentifierURI + " " + strings.Join(c.RedirectURIs, " ")
	now := f.Store.Now()
	if l, ok := f.Sectors.Get(key); ok && (l.refusal == nil || now.Before(l.at.Add(listRetry))) {
		return l.refusal
	}
	refusal := f.list(ctx, c)
	if ctx.Err() == nil {
		f.Sectors.Put(key, Listed{refusal, now}, 1)
	}
	return refusal
}

// list fetches the list of a sector and looks for the client's redirect URIs in it.
func (f *Flows) list(ctx context.Context, c *store.Client) *oauth.Error {
	answer, err := f.Out.Get(ctx, c.SectorIdentifierURI, "application/json")
	if err != nil {
		f.Log.WarnContext(ctx, "a client is refused until its sector_identifier_uri can be read", "client", c.ID, "error", err)
		return oauth.Refuse(oauth.TemporarilyUnavailable, "sector_identifier_uri could not be read: see that it answers, and try again")
	}
	var listed []string
	if err := json.Unmarshal(answer.Body, &listed); err != nil {
		return oauth.Refuse(oauth.UnauthorizedClient, "what stands at sector_identifier_uri is not a JSON array of redirect URIs")
	}
	for _, uri := range c.RedirectURIs {
		if !slices.Contains(listed, uri) {
			return oauth.Refuse(oauth.UnauthorizedClient, "a redirect URI of this client is not in the list at sector_identifier_uri: add it there")
		}
	}
	return nil
}
