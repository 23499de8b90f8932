package keys

import (
	"slices"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// Sealing keys are nobody's but the issuer's: they rotate on their own schedule,
// and are there ahead of use only for other nodes to read them.
const (
	sealRotate = 24 * time.Hour
	sealAhead  = time.Hour
)

// feedAlg is the algorithm of the feed's own key.
const feedAlg = oauth.ES256

// CacheLifetime is how long others may keep the key set without looking again.
const CacheLifetime = 5 * time.Minute

// settled is how long a next key is published before it may sign by command.
const settled = 2 * CacheLifetime

// line is a succession of keys, one of which is active.
type line struct {
	purpose Purpose
	alg     oauth.Alg     // of signing keys
	wanted  bool          // an unwanted one ends when its active key is due
	standby bool          // while it is wanted there is always a next key
	rotate  time.Duration // an active key's time; 0: until told
	ahead   time.Duration // how long a key is known before it is active
	keep    time.Duration // how long a retired key is still known; 0: for ever
}

func (l line) kind() kind { return kind{l.purpose, l.alg} }

func (l line) holds(k store.Key) bool {
	return k.Purpose == string(l.purpose) && k.Alg == string(l.alg)
}

// lines are those that the policy wants for algs, and those that keys belong to.
func (p Policy) lines(algs []oauth.Alg, keys []store.Key) []line {
	sign := line{purpose: Sign, standby: true, rotate: p.Rotate, ahead: p.PublishBefore, keep: p.RetireAfter}
	all := []line{
		{purpose: Pepper, wanted: true},
		{purpose: Seal, wanted: true, rotate: sealRotate, ahead: sealAhead, keep: p.RetireAfter},
		{purpose: Feed, alg: feedAlg, wanted: true, standby: true, rotate: p.Rotate, ahead: p.PublishBefore, keep: p.RetireAfter},
	}
	for _, alg := range algs {
		sign.alg, sign.wanted = alg, true
		all = append(all, sign)
	}
	for _, k := range keys {
		if !slices.ContainsFunc(all, func(l line) bool { return l.holds(k) }) {
			sign.alg, sign.wanted = oauth.Alg(k.Alg), false
			all = append(all, sign)
		}
	}
	return all
}

// step changes one key. A created one has no id yet.
type step struct {
	event  audit.Type // KeyCreated, KeyActivated, KeyRetired or KeyDeleted
	line   line
	key    store.Key
	active bool // of a created key: at once
}

// members are a line's active key, its next one, and those that are past. Where
// two nodes made an active one at the same moment, the newer counts.
func (l line) members(keys []store.Key) (active, next *store.Key, past []store.Key) {
	for _, k := range keys {
		switch {
		case !l.holds(k):
		case k.State == string(Next):
			next = &k
		case k.State != string(Active):
			past = append(past, k)
		case active == nil:
			active = &k
		default:
			past = append(past, *active)
			active = &k
		}
	}
	return active, next, past
}

// due are the steps that the schedule demands at a time.
func due(lines []line, keys []store.Key, now time.Time) (steps []step) {
	for _, l := range lines {
		add := func(event audit.Type, k store.Key) { steps = append(steps, step{event: event, line: l, key: k}) }
		active, next, past := l.members(keys)
		overdue := active != nil && l.rotate > 0 && !now.Before(active.ActiveAt.Add(l.rotate))
		switch {
		case active == nil && l.wanted:
			steps = append(steps, l.successor(next)...)
		case active == nil && next != nil:
			add(audit.KeyDeleted, *next)
		case active == nil:
		case overdue && !l.wanted:
			add(audit.KeyRetired, *active)
			if next != nil {
				add(audit.KeyDeleted, *next)
			}
		case overdue && next != nil && !now.Before(l.usable(next)):
			add(audit.KeyRetired, *active)
			steps = append(steps, l.successor(next)...)
		case next == nil && l.wanted && (l.standby || l.rotate > 0 && !now.Before(active.ActiveAt.Add(l.rotate-l.ahead))):
			add(audit.KeyCreated, store.Key{})
		}
		for _, k := range past {
			switch {
			case k.State != string(Retired):
				add(audit.KeyRetired, k)
			case l.keep > 0 && !now.Before(k.RetiredAt.Add(l.keep)):
				add(audit.KeyDeleted, k)
			}
		}
	}
	return steps
}

// usable is when the schedule may let a next key follow.
func (l line) usable(next *store.Key) time.Time { return next.CreatedAt.Add(l.ahead) }

// rotatable is when a command may: once no cache of the key set is without the key.
// One that is as old as the ring, and so as the first pepper, which is never
// removed, was in every key set.
func rotatable(next *store.Key, keys []store.Key) time.Time {
	if slices.ContainsFunc(keys, func(k store.Key) bool {
		return k.Purpose == string(Pepper) && k.Number == 1 && k.CreatedAt.Equal(next.CreatedAt)
	}) {
		return next.CreatedAt
	}
	return next.CreatedAt.Add(settled)
}

// succession are the steps that make the next key active now, or as far as they
// can be taken, with the time from which it may be.
func (l line) succession(keys []store.Key, now time.Time, force bool) (steps []step, from time.Time) {
	active, next, _ := l.members(keys)
	switch {
	case !l.standby || force:
	case next == nil:
		return []step{{event: audit.KeyCreated, line: l}}, now.Add(settled)
	case now.Before(rotatable(next, keys)):
		return nil, rotatable(next, keys)
	}
	if active != nil {
		steps = append(steps, step{event: audit.KeyRetired, line: l, key: *active})
	}
	return append(steps, l.successor(next)...), time.Time{}
}

// successor makes the next key active, or a new one where there is none, and
// another one next.
func (l line) successor(next *store.Key) []step {
	first := step{event: audit.KeyCreated, line: l, active: true}
	if next != nil {
		first = step{event: audit.KeyActivated, line: l, key: *next}
	}
	if !l.standby {
		return []step{first}
	}
	return []step{first, {event: audit.KeyCreated, line: l}}
}

// removal are the steps that take a key out at once.
func (l line) removal(k store.Key, keys []store.Key) []step {
	steps := []step{{event: audit.KeyDeleted, line: l, key: k}}
	switch {
	case !l.wanted:
	case k.State == string(Active):
		_, next, _ := l.members(keys)
		steps = append(steps, l.successor(next)...)
	case k.State == string(Next) && l.standby:
		steps = append(steps, step{event: audit.KeyCreated, line: l})
	}
	return steps
}
