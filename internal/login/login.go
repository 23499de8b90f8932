// Package login finds out who a person is: one file for each way of proving it.
// Failures are counted against the peer, and against account and peer together, so
// that guessing is slow and nobody can lock the owner of an account out.
package login

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/limit"
	"github.com/jeton-auth/jeton/internal/store"
)

// ACRPassword is the authentication context class of a password alone (OpenID
// Connect Core §2).
const ACRPassword = "urn:jeton:acr:password"

// ACRs lists the context classes that can be reached.
func ACRs() []string { return []string{ACRPassword} }

// amrPassword is the method reference of a password (RFC 8176 §2).
const amrPassword = "pwd"

// ErrWrong is the one answer to credentials that do not open an account: it is
// unknown, disabled or cut off, has no password, or has another.
var ErrWrong = errors.New("login: wrong credentials")

// LimitedError says that there were too many failures.
type LimitedError struct{ RetryAfter time.Duration }

func (e *LimitedError) Error() string {
	return fmt.Sprintf("login: too many failures; try again in %s", e.RetryAfter)
}

// Attempt is one try to log in.
type Attempt struct {
	Login    string
	Password string
	Peer     netip.Addr
	Origin   audit.Origin
}

// Proof says who a person is and how that is known.
type Proof struct {
	User   store.User
	ACR    string
	AMR    []string
	accept func(*store.Tx) (store.User, error)
}

// Accept makes the proof count, in the transaction that begins the session, and
// returns the person as they are there. It fails with a *LimitedError when the right guess was one of too many that were
// judged side by side.
func (p Proof) Accept(tx *store.Tx) (store.User, error) { return p.accept(tx) }

// Rules of the limits: how many failures at once, and one more each how long. An
// office shares one address, so a peer may fail more often than a person does.
var (
	accountRule = limit.Rule{Burst: 10, Every: time.Minute}
	peerRule    = limit.Rule{Burst: 300, Every: 2 * time.Second}
)

func (a *Attempt) account() limit.Key {
	return limit.Key{Name: "login:" + limit.Peer(a.Peer) + ":" + store.Login(a.Login), Rule: accountRule}
}

func (a *Attempt) peer() limit.Key {
	return limit.Key{Name: "login-peer:" + limit.Peer(a.Peer), Rule: peerRule}
}
