package store

// Waiting is how many bodies wait to be run with others.
func (s *Store) Waiting() int {
	h := &s.shared.head
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiting)
}
