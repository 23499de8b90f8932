package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/jeton-auth/jeton/internal/adminapi"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/oauth"
)

type keyCommands struct {
	List       keyList       `cmd:"" help:"List the keys of the ring."`
	Rotate     keyRotate     `cmd:"" help:"Make the next signing keys active."`
	Compromise keyCompromise `cmd:"" aliases:"remove" help:"Take a compromised key out of the ring and revoke all that it signed, at once and for good. The next key, which verifiers hold already, signs in its place."`
}

func (in *instance) showKeys(std *streams, ring []keys.Info) error {
	return in.show(std, ring, func(w io.Writer) {
		fmt.Fprintln(w, "ID\tPURPOSE\tALG\tSTATE\tCREATED")
		for _, k := range ring {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.ID, k.Purpose, k.Alg, k.State, k.CreatedAt.UTC().Format(time.RFC3339))
		}
	})
}

type keyList struct{ instance }

func (c *keyList) Run(ctx context.Context, std *streams) error {
	ring, err := c.ring(ctx, std)
	if err != nil {
		return err
	}
	return c.showKeys(std, ring)
}

type keyRotate struct {
	instance
	Alg   oauth.Alg `help:"Only the key of this algorithm."`
	Force bool      `help:"Even where the next key has not been published long enough for every cache to have it."`
}

func (c *keyRotate) Run(ctx context.Context, std *streams) error {
	var ring []keys.Info
	if err := c.call(ctx, std, http.MethodPost, "/keys/rotate", adminapi.Rotation{Alg: c.Alg, Force: c.Force}, &ring); err != nil {
		return err
	}
	return c.showKeys(std, ring)
}

type keyCompromise struct {
	instance
	ID     string `arg:"" help:"Key id; after -- where it begins with a hyphen."`
	Reason string `placeholder:"TEXT" help:"Why, for the log and the audit trail."`
}

// compromised is what the command answers with: what was revoked, the key that signs in
// its place, if it was one that signed, and the one that will be next.
type compromised struct {
	Revoked manage.Revoked `json:"revoked"`
	Active  *keys.Info     `json:"active,omitempty"`
	Next    *keys.Info     `json:"next,omitempty"`
}

func (c *keyCompromise) Run(ctx context.Context, std *streams) error {
	before, err := c.ring(ctx, std)
	if err != nil {
		return err
	}
	var out compromised
	n := adminapi.Revocation{Target: manage.Target{Key: c.ID}, Reason: c.Reason}
	if err := c.call(ctx, std, http.MethodPost, "/revocations", n, &out.Revoked); err != nil {
		return err
	}
	after, err := c.ring(ctx, std)
	if err != nil {
		return err
	}
	if was := member(before, func(k keys.Info) bool { return k.ID == c.ID }); was != nil && was.State != keys.Retired {
		in := func(state keys.State) func(keys.Info) bool {
			return func(k keys.Info) bool { return k.Purpose == was.Purpose && k.Alg == was.Alg && k.State == state }
		}
		out.Active, out.Next = member(after, in(keys.Active)), member(after, in(keys.Next))
	}
	return c.show(std, out, func(w io.Writer) {
		fmt.Fprintf(w, "revoked %s %s (entry %d)\n", out.Revoked.Kind, out.Revoked.Name, out.Revoked.Entry)
		if k := out.Active; k != nil {
			fmt.Fprintf(w, "%s signs now, published since %s\n", k.ID, k.CreatedAt.UTC().Format(time.RFC3339))
		}
		if k := out.Next; k != nil {
			fmt.Fprintf(w, "%s is next, published since %s\n", k.ID, k.CreatedAt.UTC().Format(time.RFC3339))
		}
	})
}

func (in *instance) ring(ctx context.Context, std *streams) (ring []keys.Info, err error) {
	return ring, in.call(ctx, std, http.MethodGet, "/keys", nil, &ring)
}

func member(ring []keys.Info, is func(keys.Info) bool) *keys.Info {
	if i := slices.IndexFunc(ring, is); i >= 0 {
		return &ring[i]
	}
	return nil
}
