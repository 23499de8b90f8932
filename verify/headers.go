package verify

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// headers remembers the header segments of verified tokens, of which an issuer
// uses very few: one for each key. Nothing enters but with a right signature, so
// strangers can't fill it.
type headers struct {
	mu  sync.Mutex
	all atomic.Pointer[map[string]header]
}

const maxHeaders = 32

func (hs *headers) known(segment string) (header, bool) {
	if all := hs.all.Load(); all != nil {
		h, ok := (*all)[segment]
		return h, ok
	}
	return header{}, false
}

func (hs *headers) keep(segment string, h header) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	next := map[string]header{}
	if all := hs.all.Load(); all != nil && len(*all) < maxHeaders {
		next = maps.Clone(*all)
	}
	next[strings.Clone(segment)] = h
	hs.all.Store(&next)
}
