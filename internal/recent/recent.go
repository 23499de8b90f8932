// Package recent keeps what was used lately, within a bound. It serves for what can
// be had again at a price: whoever asks must do well without an answer.
package recent

import "sync"

// Cache keeps values in two halves: what is used moves to the young one, and when
// that is full the old one is dropped. It is safe for concurrent use. Go's maps hash
// with a seed of the process and compare keys in full, so nobody outside can make
// two keys meet. A nil Cache keeps nothing.
type Cache[K comparable, V any] struct {
	mu         sync.RWMutex
	young, old map[K]entry[K, V]
	cost       int // of the young half
	limit      int // of one half
}

type entry[K comparable, V any] struct {
	key   K
	value V
	cost  int
}

// New makes a cache whose values cost at most limit together.
func New[K comparable, V any](limit int) *Cache[K, V] {
	return &Cache[K, V]{young: map[K]entry[K, V]{}, old: map[K]entry[K, V]{}, limit: limit / 2}
}

// Get finds the value of a key.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	if c == nil {
		return value, false
	}
	c.mu.RLock()
	e, ok := c.young[key]
	aged := false
	if !ok {
		e, aged = c.old[key]
	}
	c.mu.RUnlock()
	if aged {
		c.mu.Lock()
		defer c.mu.Unlock()
		// It may have been dropped, or replaced, in between.
		if now, ok := c.young[key]; ok {
			return now.value, true
		}
		if _, ok := c.old[key]; !ok {
			return e.value, false
		}
		delete(c.old, key)
		c.add(e)
	}
	return e.value, ok || aged
}

// Put keeps a value at a cost, in the place of the one before. The cache keeps the
// key as it is: one that is a part of something larger is better cloned.
func (c *Cache[K, V]) Put(key K, value V, cost int) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(key)
	c.add(entry[K, V]{key, value, cost})
}

// Drop forgets the value of a key.
func (c *Cache[K, V]) Drop(key K) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(key)
}

func (c *Cache[K, V]) add(e entry[K, V]) {
	if e.cost > c.limit {
		return
	}
	if c.cost+e.cost > c.limit {
		c.old, c.young, c.cost = c.young, map[K]entry[K, V]{}, 0
	}
	c.young[e.key] = e
	c.cost += e.cost
}

func (c *Cache[K, V]) drop(key K) {
	if e, ok := c.young[key]; ok {
		c.cost -= e.cost
		delete(c.young, key)
	}
	delete(c.old, key)
}
