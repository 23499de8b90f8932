package authorize

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/limit"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// DeviceLifetime is how long a person has to type a device's code, and from their answer
// on the device to come for it. DeviceInterval is the least time between two of its polls
// (RFC 8628 §3.2).
const (
	DeviceLifetime = 10 * time.Minute
	DeviceInterval = 5 * time.Second
)

// deviceBytes is the random part of a device code.
const deviceBytes = 32

// A user code is userCodeLength letters without vowels, so that it spells no word: 34.6
// bits, with ten minutes and few attempts to guess it in (RFC 8628 §5.1, §6.1).
const (
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// ErrNoDevice says that no device waits with this user code.
var ErrNoDevice = errors.New("authorize: no device waits with this code")

// GuessedError says that too many codes were wrong, and when to try again.
type GuessedError struct{ RetryAfter time.Duration }

func (*GuessedError) Error() string { return "authorize: too many wrong user codes" }

// DeviceRequest is a device authorization request of a client that is authenticated.
type DeviceRequest struct {
	Client *store.Client
	Params web.Params
	Origin audit.Origin
}

// DeviceCodes are the answer to one.
type DeviceCodes struct {
	Device string
	User   string // as it is shown: BCDF-GHJK
}

// deviceChecks are those checks of an authorization request that a device's has to pass.
var deviceChecks = []func(*parsing) *oauth.Error{
	(*parsing).client,
	(*parsing).deviceClient,
	(*parsing).resource,
	(*parsing).details,
	(*parsing).scope,
}

// deviceClient takes what the client may ask for at all. The answer is like a code's.
func (s *parsing) deviceClient() (refusal *oauth.Error) {
	if !s.Client.MayUse(oauth.DeviceCode) {
		return oauth.Refuse(oauth.UnauthorizedClient, "this client did not register the grant type %s", oauth.DeviceCode)
	}
	s.Request.ResponseType = oauth.ResponseCode
	s.To, refusal = toDevice(s.Client)
	return refusal
}

// toDevice is where the answer of a device's request goes: nowhere with this browser.
func toDevice(client *store.Client) (*ReturnAddress, *oauth.Error) {
	if client.Disabled {
		return nil, oauth.Refuse(oauth.UnauthorizedClient, "this client is switched off")
	}
	return &ReturnAddress{client: client, device: true}, nil
}

// Device checks a device's request and keeps it until a person typed its user code (RFC
// 8628 §3.1). A refusal is an *oauth.Error.
func (f *Flows) Device(ctx context.Context, r DeviceRequest) (codes DeviceCodes, err error) {
	s := &parsing{Parser: f.Parser, params: r.Params.With("client_id", r.Client.ID)}
	for _, check := range deviceChecks {
		if refusal := check(s); refusal != nil {
			return codes, refusal
		}
	}
	if refusal := f.sector(ctx, s.Client); refusal != nil {
		return codes, refusal
	}
	codes.Device = base64.RawURLEncoding.EncodeToString(secret.Bytes(deviceBytes))
	for added := false; !added && err == nil; {
		codes.User = newUserCode()
		err = f.Audit.Write(ctx, func(tx *store.Tx) (e audit.Event, err error) {
			added, err = tx.CreateDevice(store.Device{
				Key: DeviceKey(codes.Device), UserCode: userCodeKey(codes.User), Request: s.Request, Every: DeviceInterval,
				ExpiresAt: tx.Now().Add(DeviceLifetime), KeptUntil: tx.Now().Add(2*DeviceLifetime + Lifetime),
			})
			return audit.Event{Type: audit.DeviceBegun, Client: r.Client.ID, Origin: r.Origin}, err
		})
	}
	return codes, err
}

// DeviceKey is how a device code stands in the database.
func DeviceKey(code string) []byte {
	sum := sha256.Sum256([]byte(code))
	return sum[:]
}

// newUserCode draws letters, each as likely as any other.
func newUserCode() string {
	const fair = 256 / len(userCodeLetters) * len(userCodeLetters)
	var code strings.Builder
	for n := 0; n < userCodeLength; {
		b := int(secret.Bytes(1)[0])
		if b >= fair {
			continue
		}
		if n == userCodeLength/2 {
			code.WriteByte('-')
		}
		code.WriteByte(userCodeLetters[b%len(userCodeLetters)])
		n++
	}
	return code.String()
}

// UserCode is a code as it is shown, of whatever a person typed for it: case and what
// stands between the letters do not count. ok is false for what is no code.
func UserCode(typed string) (code string, ok bool) {
	if len(typed) > 8*userCodeLength {
		return "", false
	}
	var letters []byte
	for _, c := range []byte(strings.ToUpper(typed)) {
		if c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			letters = append(letters, c)
		}
	}
	if len(letters) != userCodeLength {
		return "", false
	}
	for _, c := range letters {
		if strings.IndexByte(userCodeLetters, c) < 0 {
			return "", false
		}
	}
	return string(letters[:userCodeLength/2]) + "-" + string(letters[userCodeLength/2:]), true
}

// userCodeKey is how a user code stands in the database, so that looking for one tells by
// its time nothing about those that are there.
func userCodeKey(code string) []byte {
	sum := sha256.Sum256([]byte("user_code:" + code))
	return sum[:]
}

// guesses counts wrong codes by where they come from alone: nobody can lock others out.
// From one address come 20 + 2 a minute, of 20⁸ codes.
func guesses(peer netip.Addr) limit.Key {
	return limit.Key{Name: "device-peer:" + limit.Peer(peer), Rule: limit.Rule{Burst: 20, Every: 30 * time.Second}}
}

// Typed takes a user code that a person typed: the device's request becomes a flow in this
// browser. The errors are ErrNoDevice, *GuessedError, refusals, and failures of ours.
func (f *Flows) Typed(ctx context.Context, typed string, peer netip.Addr, v Visitor) (Outcome, error) {
	code, ok := UserCode(typed)
	if !ok {
		return Outcome{}, ErrNoDevice // it can't be a guess
	}
	var p *Pending
	var outcome error
	err := f.Audit.Write(ctx, func(tx *store.Tx) (e audit.Event, err error) {
		e = audit.Event{Type: audit.FlowBegun, Origin: v.Origin}
		retry, err := f.Limits.CheckTx(tx, guesses(peer))
		if err != nil {
			return e, err
		}
		if outcome = nil; retry > 0 {
			outcome = &GuessedError{retry}
			return audit.Event{}, nil
		}
		d, err := tx.DeviceToAnswer(userCodeKey(code), tx.Now())
		if errors.Is(err, store.ErrNotFound) {
			outcome = ErrNoDevice
			return f.guessed(tx, peer, v.Origin)
		}
		if err != nil {
			return e, err
		}
		d.Request.Device, d.Request.UserCode = d.Key, code
		flow := newFlow(d.Request, v.Browser, tx.Now())
		if p, err = f.pending(*flow, v); err != nil {
			return e, err
		}
		e.Client = d.Request.Client
		return e, tx.CreateFlow(*flow)
	})
	if err = errors.Join(err, outcome); err != nil {
		return Outcome{}, err
	}
	return p.Look(ctx)
}

// guessed counts a wrong code. Only the one that reaches the limit leaves a record: what is
// turned away afterwards must not be able to fill the log.
func (f *Flows) guessed(tx *store.Tx, peer netip.Addr, origin audit.Origin) (audit.Event, error) {
	e := audit.Event{Type: audit.Housekeeping, Origin: origin}
	if err := f.Limits.FailTx(tx, guesses(peer)); err != nil {
		return e, err
	}
	retry, err := f.Limits.CheckTx(tx, guesses(peer))
	if retry > 0 {
		e.Type = audit.DeviceLimited
	}
	return e, err
}

// deviceOver tells a person that a device's code was answered already, or took too long.
func deviceOver() *oauth.Error {
	return oauth.Refuse(oauth.ExpiredToken, "The code of the device is over. Ask the device for a new one.")
}

// approveDevice hands a grant to the device that asked for it.
func (t *settling) approveDevice(g *store.Grant) error {
	won, err := t.tx.ApproveDevice(t.Request.Device, g.ID, g.Code.ExpiresAt)
	if err == nil && !won {
		return deviceOver()
	}
	return err
}

// denyDevice tells the device no, if a device asked. One that is over needs no answer.
func (p *Pending) denyDevice(tx *store.Tx) error {
	if len(p.Request.Device) == 0 {
		return nil
	}
	_, err := tx.DenyDevice(p.Request.Device)
	return err
}
