package feed

import (
	"math/bits"
	"sync/atomic"
)

// table is the set of what absolute entries name, behind a small filter that holds
// the cutoffs' subjects too. One at a time writes, anybody reads. Entries are never
// taken out: a new table is built instead.
//
// A slot is 24 octets and the filter adds two for each; a table is between half and
// three quarters full, so that an entry takes 35 to 52 octets.
type table struct {
	slots  []slot
	filter []atomic.Uint64
	used   int // slots
	marked int // in the filter
}

// slot is empty while its first word is 0; that word is written last.
type slot struct{ a, b, until atomic.Uint64 }

const (
	minSlots   = 64
	filterBits = 16 // for each slot
)

func newTable(slots int) *table {
	slots = max(slots, minSlots)
	return &table{slots: make([]slot, slots), filter: make([]atomic.Uint64, (slots*filterBits+63)/64)}
}

// tableBytes is what a table with so many slots takes.
func tableBytes(slots int) int { return slots * (24 + filterBits/8) }

// room is how many slots may be used, marks how many names the filter may hold.
func (t *table) room() int  { return len(t.slots) * 3 / 4 }
func (t *table) marks() int { return len(t.slots) }

// place scales a word to a number below n. IDs are parts of SHA-256, so that all of
// their bits are as good as random.
func place(word uint64, n int) int {
	hi, _ := bits.Mul64(word, uint64(n))
	return int(hi)
}

// sieve is a filter's word and the five of its bits that an ID sets.
func (t *table) sieve(id ID) (word int, mask uint64) {
	w := id[1]
	return place(w, len(t.filter)), 1<<(w&63) | 1<<(w>>6&63) | 1<<(w>>12&63) | 1<<(w>>18&63) | 1<<(w>>24&63)
}

// may is false for what is certainly not in the table. One cache line is read.
func (t *table) may(id ID) bool {
	word, mask := t.sieve(id)
	return t.filter[word].Load()&mask == mask
}

// mark makes may true for id.
func (t *table) mark(id ID) {
	word, mask := t.sieve(id)
	w := &t.filter[word]
	w.Store(w.Load() | mask) // there is one writer
	t.marked++
}

// first is an ID's first word as a slot holds it: not 0.
func first(id ID) uint64 {
	if id[0] == 0 {
		return 1
	}
	return id[0]
}

func (t *table) has(id ID) bool {
	a := first(id)
	for i := place(a, len(t.slots)); ; {
		s := &t.slots[i]
		switch s.a.Load() {
		case 0:
			return false
		case a:
			if s.b.Load() == id[1] {
				return true
			}
		}
		if i++; i == len(t.slots) {
			i = 0
		}
	}
}

// put adds an entry, or sees that it ends no sooner than until; was is when it ended
// before.
func (t *table) put(id ID, until int64) (was int64, added bool) {
	a := first(id)
	for i := place(a, len(t.slots)); ; {
		s := &t.slots[i]
		switch s.a.Load() {
		case 0:
			s.b.Store(id[1])
			s.until.Store(uint64(until))
			s.a.Store(a)
			t.used++
			t.mark(id)
			return 0, true
		case a:
			if s.b.Load() != id[1] {
				break
			}
			was = int64(s.until.Load())
			s.until.Store(uint64(max(was, until)))
			return was, false
		}
		if i++; i == len(t.slots) {
			i = 0
		}
	}
}

// all yields what is in the table.
func (t *table) all(yield func(id ID, until int64) bool) {
	for i := range t.slots {
		s := &t.slots[i]
		if a := s.a.Load(); a != 0 && !yield(ID{a, s.b.Load()}, int64(s.until.Load())) {
			return
		}
	}
}
