package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// ErrUnknownKey says that the ring has no key with this id.
var ErrUnknownKey = errors.New("keys: there is no key with this id; jeton key list shows them")

// ErrPepper says that a pepper was to be removed.
var ErrPepper = errors.New("keys: a pepper can't be removed, because refresh tokens need it; end their grants instead")

// NotYet is what Rotate returns where the next key is published, but not for long
// enough.
type NotYet struct {
	Alg  oauth.Alg
	From time.Time // when it may sign
}

func (e *NotYet) Error() string {
	return fmt.Sprintf("keys: the next %s key is published and may sign from %s on, when everyone has fetched it; rotate again then, or force it now", e.Alg, e.From.UTC().Format(time.RFC3339))
}

// Tick does what the schedule demands now: it makes and publishes next keys, lets
// them sign, retires and deletes. It also takes over what another node changed.
func (r *Ring) Tick(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tick(ctx, r.algs)
}

// SetAlgs changes the algorithms that the ring keeps an active key for, and makes
// what is missing, active at once. The key of an algorithm that is no longer
// wanted signs until it is due, and has no successor then.
func (r *Ring) SetAlgs(ctx context.Context, algs []oauth.Alg) error {
	if err := checkAlgs(algs); err != nil {
		return err
	}
	algs = slices.Clone(algs)
	slices.Sort(algs)
	algs = slices.Compact(algs)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.tick(ctx, algs); err != nil {
		return err
	}
	r.algs = algs
	return nil
}

func (r *Ring) tick(ctx context.Context, algs []oauth.Alg) error {
	return r.change(ctx, func(keys []store.Key, now time.Time) ([]step, error) {
		return due(r.policy.lines(algs, keys), keys, now), nil
	})
}

// Rotate makes the next key of an algorithm active, and publishes one where there
// is none. One that has not been published long enough is left, with a *NotYet,
// unless it is forced: then verifiers refuse its tokens until they fetch it.
//
// also runs in the same transaction, for what the caller has to record.
func (r *Ring) Rotate(ctx context.Context, alg oauth.Alg, force bool, also ...func(*store.Tx) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.algs, alg) {
		return fmt.Errorf("keys: the ring keeps no key for %q; it does for %v", alg, r.algs)
	}
	var from time.Time
	err := r.change(ctx, func(keys []store.Key, now time.Time) (steps []step, err error) {
		i := slices.IndexFunc(r.lines(keys), func(l line) bool { return l.purpose == Sign && l.alg == alg })
		steps, from = r.lines(keys)[i].succession(keys, now, force)
		return steps, nil
	}, also...)
	if err == nil && !from.IsZero() {
		return &NotYet{Alg: alg, From: from}
	}
	return err
}

// RotatePepper makes a new pepper for the grants to come. Older ones stay: grants
// name them.
func (r *Ring) RotatePepper(ctx context.Context, also ...func(*store.Tx) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.change(ctx, func(keys []store.Key, now time.Time) ([]step, error) {
		steps, _ := line{purpose: Pepper, wanted: true}.succession(keys, now, true)
		return steps, nil
	}, also...)
}

// Remove takes a key out of the ring at once and for good, because it is
// compromised. If it was active, the next becomes active, or a new one.
//
// also runs in the same transaction; the caller revokes the key in it.
func (r *Ring) Remove(ctx context.Context, kid string, also ...func(*store.Tx) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.change(ctx, func(keys []store.Key, _ time.Time) ([]step, error) {
		i := slices.IndexFunc(keys, func(k store.Key) bool { return k.ID == kid })
		if i < 0 {
			return nil, ErrUnknownKey
		}
		lines := r.lines(keys)
		l := lines[slices.IndexFunc(lines, func(l line) bool { return l.holds(keys[i]) })]
		if l.purpose == Pepper {
			return nil, ErrPepper
		}
		return l.removal(keys[i], keys), nil
	}, also...)
}

// Reload reads the ring again from the store, where another node may have changed
// it.
func (r *Ring) Reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.change(ctx, func([]store.Key, time.Time) ([]step, error) { return nil, nil })
}

func (r *Ring) lines(keys []store.Key) []line { return r.policy.lines(r.algs, keys) }

// change takes the steps that decide finds, in one transaction, and lets memory
// follow. Making a signing key takes long, so it is not done in a transaction that
// others wait for: one that finds a key lacking changes nothing, and is run again
// when there is one. The caller holds r.mu.
func (r *Ring) change(ctx context.Context, decide func([]store.Key, time.Time) ([]step, error), also ...func(*store.Tx) error) error {
	made := map[oauth.Alg]store.Key{}
	for {
		var lacking oauth.Alg
		err := r.log.Write(ctx, func(tx *store.Tx) (last audit.Event, err error) {
			lacking = ""
			keys, err := tx.Keys()
			if err != nil {
				return last, err
			}
			steps, err := decide(keys, tx.Now())
			if err != nil {
				return last, err
			}
			for _, s := range steps {
				if _, ok := made[s.line.alg]; s.event == audit.KeyCreated && s.line.purpose == Sign && !ok {
					lacking = s.line.alg
					return last, nil
				}
			}
			for i, s := range steps {
				if i > 0 {
					if err := audit.Append(tx, last); err != nil {
						return last, err
					}
				}
				if last, err = r.take(tx, s, keys, made); err != nil {
					return last, err
				}
			}
			if len(steps) > 0 {
				for _, f := range also {
					if err := f(tx); err != nil {
						return last, err
					}
				}
				if keys, err = tx.Keys(); err != nil {
					return last, err
				}
			}
			return last, r.follow(tx, keys)
		})
		if err != nil || lacking == "" {
			return err
		}
		if made[lacking], err = r.vault.newKey(lacking); err != nil {
			return err
		}
	}
}

// follow has memory hold keys once the transaction is durable. What can't be
// unsealed fails the transaction.
func (r *Ring) follow(tx *store.Tx, keys []store.Key) error {
	s, err := r.snapshot(keys)
	if err != nil {
		return err
	}
	tx.AfterCommit(func() {
		if had := r.now.Load(); !had.same(s) {
			s.generation = had.generation + 1
			r.now.Store(s)
		}
	})
	return nil
}

// take does one step. keys are those from before the first.
func (r *Ring) take(tx *store.Tx, s step, keys []store.Key, made map[oauth.Alg]store.Key) (audit.Event, error) {
	k, now := s.key, tx.Now()
	var err error
	switch s.event {
	case audit.KeyCreated:
		if s.line.purpose == Sign {
			k = made[s.line.alg]
		} else {
			number := int64(1)
			for _, had := range keys {
				if s.line.holds(had) {
					number = max(number, had.Number+1)
				}
			}
			k = r.vault.newRoot(s.line.purpose, number)
		}
		k.State = string(Next)
		if s.active {
			k.State, k.ActiveAt = string(Active), now
		}
		err = tx.CreateKey(k)
	case audit.KeyActivated:
		k.State = string(Active)
		err = tx.MoveKey(k.ID, k.State, now, time.Time{})
	case audit.KeyRetired:
		k.State = string(Retired)
		err = tx.MoveKey(k.ID, k.State, k.ActiveAt, now)
	case audit.KeyDeleted:
		err = tx.DeleteKey(k.ID)
	}
	if err != nil {
		return audit.Event{}, fmt.Errorf("keys: %w", err)
	}
	data := map[string]string{"key": k.ID, "purpose": k.Purpose, "state": k.State}
	if k.Alg != "" {
		data["alg"] = k.Alg
	}
	return audit.Event{Type: s.event, Origin: audit.Origin{Actor: "key ring"}, Data: data}, nil
}
