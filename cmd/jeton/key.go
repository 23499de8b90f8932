package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/jeton-auth/jeton/internal/adminapi"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/oauth"
)

type keyCommands struct {
	List   keyList   `cmd:"" help:"List the keys of the ring."`
	Rotate keyRotate `cmd:"" help:"Make the next signing keys active."`
	Remove keyRemove `cmd:"" help:"Take a compromised key out of the ring and revoke all that it signed, at once and for good."`
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
	var ring []keys.Info
	if err := c.call(ctx, std, http.MethodGet, "/keys", nil, &ring); err != nil {
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

type keyRemove struct {
	instance
	ID     string `arg:"" help:"Key id; after -- where it begins with a hyphen."`
	Reason string `placeholder:"TEXT" help:"Why, for the log and the audit trail."`
}

func (c *keyRemove) Run(ctx context.Context, std *streams) error {
	return c.revoke(ctx, std, adminapi.Revocation{Target: manage.Target{Key: c.ID}, Reason: c.Reason})
}
