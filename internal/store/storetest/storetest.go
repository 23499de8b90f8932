// Package storetest is the one suite that every engine of the store passes: all
// records with all that is done to them, odd values, the races of the protocol, and
// what a transaction promises. An engine's tests call Run; what is one engine's alone
// stands beside that engine.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// Begin is when the suite's clocks start.
var Begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// parallel is how many goroutines want the same thing in a race.
const parallel = 100

// Open opens a store on an empty database of its own, with the clock given, until the
// test ends.
type Open func(t testing.TB, c clock.Clock) *store.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *fixture)
	}{
		{"Issuer", testIssuer},
		{"Users", testUsers},
		{"Clients", testClients},
		{"Resources", testResources},
		{"Sessions", testSessions},
		{"Flows", testFlows},
		{"Consents", testConsents},
		{"Grants", testGrants},
		{"FrontGrants", testFrontGrants},
		{"FrontGrantsApart", testFrontGrantsApart},
		{"Keys", testKeys},
		{"Attempts", testAttempts},
		{"Replays", testReplays},
		{"Logouts", testLogouts},
		{"Pushed", testPushed},
		{"Devices", testDevices},
		{"Leases", testLeases},
		{"Audit", testAudit},
		{"Outages", testOutages},
		{"Revocations", testRevocations},
		{"Pulse", testPulse},
		{"Recalled", testRecalled},
		{"Locks", testLocks},
		{"HeldLease", testHeldLease},
		{"StillAlive", testStillAlive},
		{"Holds", testHolds},
		{"Renew", testRenew},
		{"Whole", testWhole},

		{"Values", testValues},
		{"NoNUL", testNoNUL},
		{"Order", testOrder},

		{"OnlyLiveGrantsRotate", testOnlyLive},
		{"RotationLeavesOneRow", testRotationLeavesOneRow},
		{"PurgeGrants", testPurgeGrants},
		{"PurgeInBatches", testPurgeInBatches},
		{"PurgeRevocations", testPurgeRevocations},

		{"OneWins", testOneWins},
		{"Lost", testLost},
		{"RevocationsInOrder", testRevocationsInOrder},
		{"RevocationsTogether", testRevocationsTogether},
		{"CutoffAgainstRotate", testCutoffAgainstRotate},
		{"EndAgainstRotate", testEndAgainstRotate},
		{"EndIdlestTogether", testEndIdlestTogether},
		{"CountedTogether", testCountedTogether},

		{"FailedBodyAlone", testFailedBodyAlone},
		{"AfterCommit", testAfterCommit},
		{"Conflict", testConflict},
		{"OwnWrites", testOwnWrites},
		{"Isolated", testIsolated},
		{"EndedContext", testEndedContext},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &fixture{TB: t, clock: clock.NewManual(Begin)}
			f.s = open(t, f.clock)
			f.write(func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) })
			c.test(t, f)
		})
	}
}

// BenchmarkRotate rotates sixteen grants at once, each by one client after the other.
func BenchmarkRotate(b *testing.B, open Open) {
	f := &fixture{TB: b, clock: clock.NewManual(Begin)}
	f.s = open(b, f.clock)
	f.write(func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) })
	f.people()
	grants := make([]store.Grant, 16)
	for i := range grants {
		grants[i] = f.redeemed()
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, g := range grants {
		wg.Go(func() {
			for n := range int64(b.N / len(grants)) {
				err := f.s.Write(context.Background(), func(tx *store.Tx) error {
					won, err := tx.Rotate(g.ID, n+1, g.IdleAt, Begin)
					if err == nil && !won {
						err = fmt.Errorf("lost at %d", n+1)
					}
					return err
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// fixture is a test's store, with its clock.
type fixture struct {
	testing.TB
	s     *store.Store
	clock *clock.Manual
}

// same lets empty lists equal ones that are absent: the store does not tell them apart.
var same = cmp.Options{cmpopts.EquateEmpty()}

// equal compares what was read with what is to be there.
func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("%s differs from what is wanted (-want +got):\n%s", what, diff)
	}
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// write runs a body that succeeds.
func (f *fixture) write(body func(*store.Tx) error) {
	f.Helper()
	f.must(f.s.Write(f.Context(), body))
}

// refused runs a body that fails as it is to.
func (f *fixture) refused(want error, body func(*store.Tx) error) {
	f.Helper()
	if err := f.s.Write(f.Context(), body); !errors.Is(err, want) {
		f.Errorf("the body was answered with %v, want %v", err, want)
	}
}

func (f *fixture) read() store.Reader { return f.s.Read(f.Context()) }

// gone checks that a reading finds nothing.
func gone[T any](t testing.TB, what string, v T, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%s was read as %v: %v", what, v, err)
	}
}

// is gives what was read, and ends the test where it was not.
func is[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// race runs body in parallel transactions, all at once, and tells how many of them won.
func (f *fixture) race(n int, body func(tx *store.Tx, i int) (won bool, err error)) int {
	f.Helper()
	wins := make([]bool, n)
	errs := make([]error, n)
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-begin
			errs[i] = f.s.Write(context.Background(), func(tx *store.Tx) (err error) {
				wins[i], err = body(tx, i)
				return err
			})
		})
	}
	close(begin)
	wg.Wait()
	won := 0
	for i := range n {
		if errs[i] != nil {
			f.Errorf("transaction %d of %d: %v", i, n, errs[i])
		} else if wins[i] {
			won++
		}
	}
	return won
}

// The records of most tests.
const (
	shop = "shop"
	ada  = "u_ada"
)

// people adds a client and a user.
func (f *fixture) people() {
	f.Helper()
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.PutClient(client(shop)), tx.CreateUser(store.User{ID: ada, Email: "ada@example.com"}))
	})
}

func client(id string) store.Client {
	return store.Client{Client: spec.Client{ID: id, AuthMethod: oauth.NoAuth}, Source: store.SourceAPI}
}

// coded is a grant of ada's to the shop whose code has not been used.
func coded() store.Grant {
	g := store.Grant{
		Secret: secret.Bytes(32), Pepper: 1, Client: shop, Subject: ada,
		AbsoluteAt: Begin.Add(100 * time.Hour), IdleAt: Begin.Add(10 * time.Hour),
		Code:    &store.CodeDetails{RedirectURI: "https://shop.example/cb", Nonce: "n", ExpiresAt: Begin.Add(time.Minute)},
		User:    store.User{ID: ada, UpdatedAt: Begin}, // as people adds it at the beginning
		Details: store.GrantDetails{Scopes: []string{"openid"}, AuthTime: Begin},
	}
	copy(g.ID[:], secret.Bytes(16))
	return g
}

// create adds a grant, and gives it with its subject.
func (f *fixture) create(g store.Grant) store.Grant {
	f.Helper()
	f.write(func(tx *store.Tx) error { return tx.CreateGrant(g) })
	made, err := f.read().Grant(g.ID)
	f.must(err)
	g.User = made.User
	return g
}

// redeemed adds a grant and spends its code.
func (f *fixture) redeemed() store.Grant {
	f.Helper()
	g := f.create(coded())
	f.write(func(tx *store.Tx) error {
		won, err := tx.SpendCode(&g, g.IdleAt, Begin.Add(time.Minute))
		if err == nil && !won {
			err = errors.New("the code could not be spent")
		}
		return err
	})
	return g
}

// first is an id that begins with a number, and so comes in its order.
func first(i int) (id [16]byte) {
	copy(id[:], fmt.Sprintf("%016d", i))
	return id
}
