package redeem

import (
	"context"
	"errors"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// slower is by how much a device that polls too soon has to wait longer from then on (RFC
// 8628 §3.5).
const slower = 5 * time.Second

// Device redeems device codes (RFC 8628 §3.4).
type Device struct {
	*Issuer
	// Key is how a device code stands in the database.
	Key func(code string) []byte
}

// Name is the grant type's wire word.
func (Device) Name() oauth.GrantType { return oauth.DeviceCode }

// Redeem tells a device how its request stands and, once a person allowed it, gives the
// grant's first tokens: of parallel polls to one. A device code that is presented again
// gives nothing and ends nothing: devices poll.
func (i Device) Redeem(ctx context.Context, r Request) (Issued, error) {
	code := r.Params.Get("device_code")
	if code == "" {
		return Issued{}, oauth.Refuse(oauth.InvalidRequest, "device_code is missing")
	}
	key := i.Key(code)
	d, err := i.Store.Read(ctx).Device(key)
	if errors.Is(err, store.ErrNotFound) || err == nil && d.Request.Client != r.Client.ID {
		return Issued{}, notOurs("device_code")
	}
	if err == nil && d.State == store.DeviceWaits && i.Store.Now().Before(d.ExpiresAt) {
		if err = i.polled(ctx, r, key); err == nil { // it was answered meanwhile
			d, err = i.Store.Read(ctx).Device(key)
		}
	}
	switch {
	case err != nil:
		return Issued{}, err
	case d.State == store.DeviceDenied:
		return Issued{}, oauth.Refuse(oauth.AccessDenied, "the person did not allow it")
	case d.State == store.DeviceWaits:
		return Issued{}, oauth.Refuse(oauth.ExpiredToken, "the device_code is over: begin again with a new one")
	}
	for range tries {
		out, again, err := i.approved(ctx, r, &d)
		if !again {
			return out, err
		}
	}
	return Issued{}, oauth.Refuse(oauth.TemporarilyUnavailable, "the person's account changes too often: try again")
}

// polled says that a request still waits. nil: it does not.
func (i Device) polled(ctx context.Context, r Request, key []byte) error {
	var waits, early bool
	err := i.Audit.Write(ctx, func(tx *store.Tx) (e audit.Event, err error) {
		waits, early, err = tx.PollDevice(key, slower)
		return audit.Event{Type: audit.DevicePolled, Client: r.Client.ID, Origin: r.Origin}, err
	})
	switch {
	case err != nil:
		return err
	case early:
		return oauth.Refuse(oauth.SlowDown, "poll less often: wait %d seconds longer between requests from now on", int(slower.Seconds()))
	case waits:
		return oauth.Refuse(oauth.AuthorizationPending, "the person has not answered yet: ask again later")
	}
	return nil
}

// approved reads, judges, signs and spends. again is as with Code.once.
func (i Device) approved(ctx context.Context, r Request, d *store.Device) (_ Issued, again bool, _ error) {
	g, err := i.Store.Read(ctx).Grant(d.Grant)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Issued{}, false, notOurs("device_code")
	case err != nil:
		return Issued{}, false, err
	case g.Number == 0 && !i.Store.Now().Before(d.ExpiresAt):
		return Issued{}, false, oauth.Refuse(oauth.ExpiredToken, "the device_code is over: begin again with a new one")
	case g.Number > 0 || g.Code == nil || !g.Live():
		return Issued{}, false, notOurs("device_code")
	}
	return i.first(ctx, r, &g)
}
