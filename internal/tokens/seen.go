package tokens

import (
	"strings"
	"sync"
)

// seenBytes bounds the memory of the tokens that were read before.
const seenBytes = 12 << 20

// seen remembers tokens that were read, so that a second sight costs a look-up.
// It keeps two halves: what is used moves to the young one, and when that is full
// the old one is dropped. Keys are whole tokens under the map's own seeded hash,
// compared in full: nobody can make two tokens meet.
type seen struct {
	mu         sync.RWMutex
	young, old map[string]entry
	bytes      int // of the young half
	limit      int // of one half
}

type entry struct {
	generation uint64 // of the key ring when the token was read
	token      *Token
}

// entryOverhead is what an entry takes besides its strings, counted generously.
const entryOverhead = 512

func newSeen(limit int) *seen {
	return &seen{young: map[string]entry{}, old: map[string]entry{}, limit: limit / 2}
}

// get finds a token that was read with the key ring as it is now.
func (s *seen) get(token string, generation uint64) (*Token, bool) {
	s.mu.RLock()
	e, ok := s.young[token]
	aged := false
	if !ok {
		e, aged = s.old[token]
	}
	s.mu.RUnlock()
	if !ok && !aged || e.generation != generation {
		return nil, false
	}
	if aged {
		s.put(token, generation, e.token)
	}
	return e.token, true
}

// put remembers a token. The key is a copy: the caller's string may be a part of a
// whole request.
func (s *seen) put(token string, generation uint64, t *Token) {
	size := len(token) + 2*len(t.introspection) + entryOverhead
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, had := s.young[token]; !had {
		if s.bytes+size > s.limit {
			s.old, s.young, s.bytes = s.young, map[string]entry{}, 0
		}
		s.bytes += size
	}
	s.young[strings.Clone(token)] = entry{generation, t}
}
