// Package backchannel tells clients, server to server, that a session ended in which they
// took part (OpenID Connect Back-Channel Logout 1.0). What is to be told is a row, written
// in the transaction that ends the session; so no crash loses it, and whichever node claims
// the row tells it. A client that does not answer is tried again for a day, and keeps
// nobody else waiting.
package backchannel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/fetch"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/subject"
	"github.com/jeton-auth/jeton/internal/tokens"
)

// How often a client is tried: pauses follow the first attempts one by one, the last of
// them all further ones, until Give.
var pauses = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour}

// Give is how long a client is tried. What could not be told for much longer, since more
// waits than the client takes, is given up without another attempt: so every queue ends.
const (
	Give    = 24 * time.Hour
	tooLate = 2 * Give
)

// Bounds of what goes on at once on this node, and how often it looks for what is due.
const (
	perClient = 4
	inAll     = 64
	lookEvery = 2 * time.Second
	// claimed is how long an attempt belongs to the node that began it: longer than it
	// can take.
	claimed = 3 * fetch.Timeout
)

// Needs is what a Queue works with.
type Needs struct {
	Store     *store.Store
	Audit     *audit.Log
	Directory *directory.Directory
	Names     *subject.Names
	Minter    *tokens.Minter
	Out       *fetch.Client
	Log       *slog.Logger
}

// Queue keeps and tells what clients are to be told.
type Queue struct {
	Needs
	wake  chan struct{}
	room  chan struct{}
	mu    sync.Mutex
	under map[string]int // attempts under way, by client
	last  string         // the client for whom an attempt began last
}

// New makes a Queue.
func New(n Needs) *Queue {
	return &Queue{Needs: n, wake: make(chan struct{}, 1), room: make(chan struct{}, inAll), under: map[string]int{}}
}

// SessionEnded queues, in the transaction that ends a session, what the clients that took
// part in it are to be told.
func (q *Queue) SessionEnded(tx *store.Tx, id []byte) error {
	parts, err := tx.Participations(id)
	if err != nil || len(parts) == 0 {
		return err
	}
	for _, p := range parts {
		client, ok := q.Directory.Client(p.Client)
		if !ok || client.BackchannelLogoutURI == "" {
			continue
		}
		l := store.PendingLogout{Client: p.Client, Subject: p.Subject, Known: p.Known}
		copy(l.ID[:], secret.Bytes(len(l.ID)))
		if err := tx.QueueLogout(l); err != nil {
			return err
		}
	}
	tx.AfterCommit(q.look)
	return tx.EndParticipations(id)
}

// look has Run look for what is due now.
func (q *Queue) look() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Run tells what is due, until ctx ends; attempts under way are then ended, and made
// again by whoever looks next.
func (q *Queue) Run(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		if err := q.due(ctx, &wg); err != nil && ctx.Err() == nil {
			q.Log.Warn("logouts that clients are to be told of could not be read; they wait", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		case <-t.C:
		}
	}
}

// due begins an attempt for each logout that is due, as far as there is room. Clients take
// turns: those that fill the room come last the next time.
func (q *Queue) due(ctx context.Context, wg *sync.WaitGroup) error {
	now := q.Store.Now()
	clients, err := q.Store.Read(ctx).ClientsWithLogoutsDue(now)
	if err != nil {
		return err
	}
	slices.Sort(clients)
	next, found := slices.BinarySearch(clients, q.last)
	if found {
		next++
	}
	for _, client := range slices.Concat(clients[next:], clients[:next]) {
		free := q.free(client)
		if free == 0 {
			continue
		}
		all, err := q.Store.Read(ctx).LogoutsDueTo(client, now, free)
		if err != nil {
			return err
		}
		for _, l := range all {
			select {
			case q.room <- struct{}{}:
			default:
				return nil // whoever ends looks again
			}
			q.last = client
			q.count(client, 1)
			wg.Go(func() {
				defer func() {
					<-q.room
					q.count(client, -1)
					q.look()
				}()
				q.attempt(ctx, l)
			})
		}
	}
	return nil
}

func (q *Queue) free(client string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return perClient - q.under[client]
}

func (q *Queue) count(client string, n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.under[client] += n; q.under[client] == 0 {
		delete(q.under, client)
	}
}

// attempt claims a logout, tells it, and notes how that went.
func (q *Queue) attempt(ctx context.Context, l store.PendingLogout) {
	won := false
	err := q.Audit.Write(ctx, func(tx *store.Tx) (_ audit.Event, err error) {
		won, err = tx.ClaimLogout(l, tx.Now().Add(claimed))
		return audit.Event{Type: audit.Housekeeping}, err
	})
	if err == nil && !won {
		return
	}
	if err == nil {
		l.Attempts++
		told := q.tell(ctx, l)
		if ctx.Err() != nil {
			return // the claim ends by itself
		}
		err = q.note(ctx, l, told)
	}
	if err != nil && ctx.Err() == nil {
		q.Log.Warn("how a logout was told to a client could not be noted; it is told again", slog.String("client", l.Client), slog.Any("error", err))
	}
}

// final is a failure after which there is no use in another attempt.
type final struct{ error }

// tell makes one attempt. The token is made for it: it lives for minutes, and its jti is
// new.
func (q *Queue) tell(ctx context.Context, l store.PendingLogout) error {
	client, ok := q.Directory.Client(l.Client)
	if !ok || client.BackchannelLogoutURI == "" {
		return final{fmt.Errorf("the client is gone, or has no backchannel_logout_uri any more")}
	}
	now := q.Store.Now()
	if !now.Before(l.CreatedAt.Add(tooLate)) {
		return final{errors.New("too many logouts waited for the client: there was no attempt in time")}
	}
	token, err := q.Minter.Logout(now, tokens.Logout{
		Subject: q.Names.For(client, l.Subject), ClientID: client.ID, SID: session.SID(l.Known), Alg: client.IDTokenAlg,
	})
	if err != nil {
		return err
	}
	a, err := q.Out.PostForm(ctx, client.BackchannelLogoutURI, url.Values{"logout_token": {token}})
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusOK || a.Status == http.StatusNoContent:
		return nil
	case a.Status == http.StatusBadRequest:
		// It read the token and refused it, or failed for good (Back-Channel Logout §2.8).
		return final{fmt.Errorf("the client answers %d", a.Status)}
	}
	return fmt.Errorf("the client answers %d", a.Status)
}

// maxError bounds what is kept of a failure, in bytes.
const maxError = 300

func (q *Queue) note(ctx context.Context, l store.PendingLogout, told error) error {
	return q.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		e := audit.Event{Type: audit.LogoutTold, Client: l.Client, Subject: l.Subject, Data: map[string]string{"attempts": fmt.Sprint(l.Attempts)}}
		if told == nil {
			return e, tx.LogoutDelivered(l.ID)
		}
		why := strings.ReplaceAll(told.Error(), "\x00", "")
		why = strings.ToValidUTF8(why[:min(len(why), maxError)], "") // whatever the client's server said
		next := tx.Now().Add(pauses[min(l.Attempts, len(pauses))-1])
		if _, over := told.(final); over || !next.Before(l.CreatedAt.Add(Give)) {
			e.Type, e.Data["error"] = audit.LogoutNotTold, why
			return e, tx.LogoutFailed(l.ID, why, time.Time{})
		}
		return audit.Event{Type: audit.Housekeeping}, tx.LogoutFailed(l.ID, why, next)
	})
}
