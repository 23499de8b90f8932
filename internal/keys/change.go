package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// ErrUnknownKey says that the ring has no key with this id.
var ErrUnknownKey = errors.New("keys: there is no key with this id; jeton key list shows them")

// ErrPepper says that a pepper was to be removed.
var ErrPepper = errors.New("keys: a pepper can't be removed, because refresh tokens need it; end their grants instead")

// ErrUnknownAlg says that the ring keeps no signing key for this algorithm.
var ErrUnknownAlg = errors.New("keys: there is no signing key for this algorithm")

// NotYet is what Rotate returns where no next key has been published for long
// enough.
type NotYet struct {
	Alg  oauth.Alg
	From time.Time // when its next key may sign: of several, the first that may
}

func (e *NotYet) Error() string {
	return fmt.Sprintf("keys: the next %s key is published and may sign from %s on, when every cache has it; rotate again then, or now with --force", e.Alg, e.From.UTC().Format(time.RFC3339))
}

// Tick does what the schedule demands now: it lets next keys sign and publishes new
// ones, retires and deletes. It also takes over what another node changed. also runs in
// the same transaction.
func (r *Ring) Tick(ctx context.Context, also ...func(*store.Tx) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tick(ctx, r.algs, also...)
}

// SetAlgs changes the algorithms that the ring keeps an active key for, and makes
// what is missing, active at once, with a next one beside it. The key of an algorithm that is no longer
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

func (r *Ring) tick(ctx context.Context, algs []oauth.Alg, also ...func(*store.Tx) error) error {
	return r.change(ctx, func(keys []store.Key, now time.Time) ([]step, error) {
		return due(r.policy.lines(algs, keys), keys, now), nil
	}, also...)
}

// Rotate makes the next key of an algorithm active, or those of all algorithms where
// alg is empty, and publishes new next ones. A key signs once it has been published
// for ten minutes, or if it was in every key set that the ring ever published;
// others are left, unless they are forced: then verifiers refuse its tokens until
// they fetch it. Where every key is left, the error is a *NotYet.
//
// also runs in the same transaction, for what the caller has to record.
func (r *Ring) Rotate(ctx context.Context, alg oauth.Alg, force bool, also ...func(*store.Tx) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if alg != "" && !slices.Contains(r.algs, alg) {
		return fmt.Errorf("%w: %q is none of %v", ErrUnknownAlg, alg, r.algs)
	}
	var early *NotYet
	err := r.change(ctx, func(keys []store.Key, now time.Time) (steps []step, err error) {
		early = nil
		rotated := false
		for _, l := range r.lines(keys) {
			if l.purpose != Sign || !l.wanted || alg != "" && l.alg != alg {
				continue
			}
			more, from := l.succession(keys, now, force)
			steps = append(steps, more...)
			switch {
			case from.IsZero():
				rotated = true
			case early == nil || from.Before(early.From):
				early = &NotYet{Alg: l.alg, From: from}
			}
		}
		if rotated {
			early = nil
		}
		return steps, nil
	}, also...)
	if err == nil && early != nil {
		return early
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
// compromised. If it was active, the next becomes active, or a new one; if it was
// next, another one is published.
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
// others wait for: one that finds keys lacking changes nothing, and is run again
// when they are made. The caller holds r.mu.
func (r *Ring) change(ctx context.Context, decide func([]store.Key, time.Time) ([]step, error), also ...func(*store.Tx) error) error {
	made := stock{}
	for {
		var lacking []kind
		err := r.log.Write(ctx, func(tx *store.Tx) (last audit.Event, err error) {
			lacking = nil
			if err := tx.LockChange(store.ChangedKeys); err != nil {
				return last, err
			}
			keys, err := tx.Keys()
			if err != nil {
				return last, err
			}
			steps, err := decide(keys, tx.Now())
			if err != nil {
				return last, err
			}
			if lacking = made.lacking(steps); len(lacking) > 0 {
				return last, nil
			}
			left := maps.Clone(made)
			for i, s := range steps {
				if i > 0 {
					if err := audit.Append(tx, last); err != nil {
						return last, err
					}
				}
				if last, err = r.take(tx, s, keys, left); err != nil {
					return last, err
				}
			}
			if len(steps) > 0 {
				if err := tx.NoteChange(store.ChangedKeys); err != nil {
					return last, err
				}
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
		if err != nil || len(lacking) == 0 {
			return err
		}
		if err := made.add(r.vault, lacking); err != nil {
			return err
		}
	}
}

// kind is what a key pair is made for.
type kind struct {
	purpose Purpose
	alg     oauth.Alg
}

// stock holds key pairs that have been made and are in no ring yet.
type stock map[kind][]store.Key

// lacking are the kinds of the key pairs that steps need and the stock has not.
func (s stock) lacking(steps []step) (kinds []kind) {
	need := map[kind]int{}
	for _, st := range steps {
		if st.event != audit.KeyCreated || !st.line.purpose.signs() {
			continue
		}
		k := st.line.kind()
		if need[k]++; need[k] > len(s[k]) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// add makes a key pair of each kind, all at the same time: one for RSA takes long.
func (s stock) add(v vault, kinds []kind) error {
	made, failed := make([]store.Key, len(kinds)), make([]error, len(kinds))
	var wg sync.WaitGroup
	for i, k := range kinds {
		wg.Go(func() { made[i], failed[i] = v.newKey(k.purpose, k.alg) })
	}
	wg.Wait()
	for i, k := range kinds {
		s[k] = append(s[k], made[i])
	}
	return errors.Join(failed...)
}

// pop takes a key pair out.
func (s stock) pop(k kind) store.Key {
	first := s[k][0]
	s[k] = s[k][1:]
	return first
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
func (r *Ring) take(tx *store.Tx, s step, keys []store.Key, made stock) (audit.Event, error) {
	k, now := s.key, tx.Now()
	var err error
	switch s.event {
	case audit.KeyCreated:
		if s.line.purpose.signs() {
			k = made.pop(s.line.kind())
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
