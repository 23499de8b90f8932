package verify

import (
	"container/heap"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// DefaultCacheBytes bounds the cache of verified tokens where nobody says otherwise:
// room for about ten thousand tokens.
const DefaultCacheBytes = 32 << 20

// sighting is a token that was verified, with all that the next sight of it needs:
// first what each sight reads.
type sighting struct {
	token string
	keys  uint64      // generation of the keys by which it was verified
	gone  uint64      // removals of keys that were known when the issuer was asked
	used  atomic.Bool // since it was put into the cache or spared
	names feed.Names  // if a feed is followed

	principal Principal
	by        *Verifier
	watch     atomic.Pointer[watch] // by Done

	// Of the cache.
	hash       uint64
	size, slot int
	share      *share
	prev, next *sighting // in its share, the oldest first
}

// cache holds verified tokens, bounded in octets. Looking takes no lock. When it is
// full, the client that fills most of it gives way: nobody pushes out who uses less.
type cache struct {
	seed  maphash.Seed
	limit int
	slots []slot // in buckets of ways

	mu     sync.Mutex
	bytes  int
	count  int
	shares map[string]*share
	bySize shares
}

// slot is empty while its sighting is nil.
type slot struct {
	hash atomic.Uint64
	at   atomic.Pointer[sighting]
}

const (
	ways         = 8
	sightingCost = 1 << 10 // octets beside the token and its claims
	minCached    = 64 << 10
)

// newCache makes a cache, or none for a limit of 0.
func newCache(limit int) *cache {
	if limit <= 0 {
		return nil
	}
	limit = max(limit, minCached)
	buckets := max(1, limit/(2*sightingCost)/ways*2)
	return &cache{seed: maphash.MakeSeed(), limit: limit, slots: make([]slot, buckets*ways), shares: map[string]*share{}}
}

// get is what was put in for a token, or nil.
func (c *cache) get(token string) *sighting {
	if c == nil {
		return nil
	}
	h := maphash.String(c.seed, token)
	bucket := c.bucket(h)
	for i := range bucket {
		if bucket[i].hash.Load() != h {
			continue
		}
		if s := bucket[i].at.Load(); s != nil && s.token == token {
			if !s.used.Load() {
				s.used.Store(true)
			}
			return s
		}
	}
	return nil
}

func (c *cache) bucket(h uint64) []slot {
	i := c.first(h)
	return c.slots[i : i+ways]
}

func (c *cache) first(h uint64) int { return int(h%uint64(len(c.slots)/ways)) * ways }

// put takes a token that was wholly verified. It replaces an earlier sighting of it.
func (c *cache) put(token string, s *sighting) {
	if c == nil {
		return
	}
	size := sightingCost + len(token) + len(s.principal.payload)
	if size > c.limit/16 {
		return
	}
	h := maphash.String(c.seed, token)
	c.mu.Lock()
	defer c.mu.Unlock()
	// The header that the token came in may be much larger than it.
	s.token, s.hash, s.size = strings.Clone(token), h, size
	at := c.place(h, token)
	s.slot = at
	client := s.principal.ClientID
	if s.share = c.shares[client]; s.share == nil {
		s.share = &share{client: strings.Clone(client), index: -1}
		c.shares[s.share.client] = s.share
		heap.Push(&c.bySize, s.share)
	}
	s.share.append(s)
	c.resize(s.share, size)
	c.slots[at].hash.Store(h)
	c.slots[at].at.Store(s)
	for c.bytes > c.limit {
		c.drop(c.bySize[0].victim())
	}
}

// place frees a slot for a hash: that of the same token, an empty one, or that of who
// fills most.
func (c *cache) place(h uint64, token string) int {
	first := c.first(h)
	empty, most := -1, -1
	for i := first; i < first+ways; i++ {
		s := c.slots[i].at.Load()
		switch {
		case s == nil:
			empty = i
		case s.hash == h && s.token == token:
			c.drop(s)
			return i
		case most < 0 || s.share.bytes > c.slots[most].at.Load().share.bytes:
			most = i
		}
	}
	if empty >= 0 {
		return empty
	}
	c.drop(c.slots[most].at.Load())
	return most
}

func (c *cache) drop(s *sighting) {
	c.slots[s.slot].at.Store(nil)
	c.slots[s.slot].hash.Store(0)
	s.share.remove(s)
	c.resize(s.share, -s.size)
	if s.share.oldest == nil {
		heap.Remove(&c.bySize, s.share.index)
		delete(c.shares, s.share.client)
	}
}

func (c *cache) resize(of *share, by int) {
	c.bytes += by
	of.bytes += by
	if by > 0 {
		c.count++
	} else {
		c.count--
	}
	heap.Fix(&c.bySize, of.index)
}

// holds is how many tokens there are, and the octets that they take.
func (c *cache) holds() (count, bytes int) {
	if c == nil {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count, c.bytes
}

// share is what one client has in the cache.
type share struct {
	client         string
	bytes, index   int
	oldest, newest *sighting
}

func (sh *share) append(s *sighting) {
	if s.prev = sh.newest; s.prev != nil {
		s.prev.next = s
	} else {
		sh.oldest = s
	}
	s.next, sh.newest = nil, s
}

func (sh *share) remove(s *sighting) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		sh.oldest = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		sh.newest = s.prev
	}
}

// victim is the oldest that nobody used lately, or nearly so.
func (sh *share) victim() *sighting {
	for range 8 {
		s := sh.oldest
		if !s.used.Load() {
			break
		}
		s.used.Store(false)
		sh.remove(s)
		sh.append(s)
	}
	return sh.oldest
}

// shares is a heap with the largest on top.
type shares []*share

func (s shares) Len() int           { return len(s) }
func (s shares) Less(i, j int) bool { return s[i].bytes > s[j].bytes }

func (s shares) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

func (s *shares) Push(x any) {
	sh := x.(*share)
	sh.index = len(*s)
	*s = append(*s, sh)
}

func (s *shares) Pop() any {
	last := len(*s) - 1
	sh := (*s)[last]
	(*s)[last], *s = nil, (*s)[:last]
	sh.index = -1
	return sh
}
