// Package directory keeps the declared clients and resources in memory, as they
// stand in the database: every request asks for one, and few change. A change goes
// through the directory, so that memory follows its commit.
package directory

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
)

// Directory is the memory of one database. It is safe for concurrent use; reading
// takes no lock.
type Directory struct {
	mu   sync.Mutex // serialises changes
	snap atomic.Pointer[snapshot]
}

type snapshot struct {
	version   uint64
	clients   map[string]*store.Client
	resources map[string]*store.Resource
}

// Open reads the declared clients and resources. Those that are built in have no row
// and are always there.
func Open(ctx context.Context, st *store.Store, builtin ...spec.Resource) (*Directory, error) {
	snap, err := read(ctx, st)
	if err != nil {
		return nil, err
	}
	for _, r := range builtin {
		snap.resources[r.ID] = &store.Resource{Resource: r, Source: store.SourceBuiltin}
	}
	d := &Directory{}
	d.snap.Store(snap)
	return d, nil
}

// Version rises with every change.
func (d *Directory) Version() uint64 { return d.snap.Load().version }

// Client is the client of that id. The value is shared: it must not be changed.
func (d *Directory) Client(id string) (*store.Client, bool) {
	c, ok := d.snap.Load().clients[id]
	return c, ok
}

// Resource is the resource of that identifier. The value is shared: it must not be
// changed.
func (d *Directory) Resource(id string) (*store.Resource, bool) {
	r, ok := d.snap.Load().resources[id]
	return r, ok
}

// Clients lists the clients by id.
func (d *Directory) Clients() []*store.Client { return sorted(d.snap.Load().clients) }

// Resources lists the resources by identifier.
func (d *Directory) Resources() []*store.Resource { return sorted(d.snap.Load().resources) }

func sorted[T any](m map[string]*T) []*T {
	all := make([]*T, 0, len(m))
	for _, id := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[id])
	}
	return all
}

// PutClient creates or replaces a client in a transaction.
func (d *Directory) PutClient(tx *store.Tx, c store.Client) error {
	if err := tx.PutClient(c); err != nil {
		return err
	}
	return d.refreshClient(tx, c.ID)
}

// DisableClient switches a client off or on in a transaction.
func (d *Directory) DisableClient(tx *store.Tx, id string, disabled bool) error {
	if err := tx.DisableClient(id, disabled); err != nil {
		return err
	}
	return d.refreshClient(tx, id)
}

// RenewClient gives a client's own tokens another handle than that of a generation, in
// a transaction. won is false when they have another already.
func (d *Directory) RenewClient(tx *store.Tx, id string, generation int64) (won bool, err error) {
	if won, err = tx.RenewClient(id, generation); err != nil || !won {
		return won, err
	}
	return won, d.refreshClient(tx, id)
}

func (d *Directory) refreshClient(tx *store.Tx, id string) error {
	now, err := tx.Client(id)
	if err != nil {
		return err
	}
	tx.AfterCommit(func() { d.change(func(s *snapshot) { s.clients[id] = &now }) })
	return tx.NoteChange(store.ChangedDirectory)
}

// DeleteClient removes a client in a transaction.
func (d *Directory) DeleteClient(tx *store.Tx, id string) error {
	if err := tx.DeleteClient(id); err != nil {
		return err
	}
	tx.AfterCommit(func() { d.change(func(s *snapshot) { delete(s.clients, id) }) })
	return tx.NoteChange(store.ChangedDirectory)
}

// PutResource creates or replaces a resource in a transaction.
func (d *Directory) PutResource(tx *store.Tx, r store.Resource) error {
	// Before the issuer's row, which a longer lifetime changes.
	if err := tx.LockChange(store.ChangedDirectory); err != nil {
		return err
	}
	if err := tx.PutResource(r); err != nil {
		return err
	}
	now, err := tx.Resource(r.ID)
	if err != nil {
		return err
	}
	tx.AfterCommit(func() { d.change(func(s *snapshot) { s.resources[r.ID] = &now }) })
	return tx.NoteChange(store.ChangedDirectory)
}

// DeleteResource removes a resource in a transaction.
func (d *Directory) DeleteResource(tx *store.Tx, id string) error {
	if err := tx.DeleteResource(id); err != nil {
		return err
	}
	tx.AfterCommit(func() { d.change(func(s *snapshot) { delete(s.resources, id) }) })
	return tx.NoteChange(store.ChangedDirectory)
}

func (d *Directory) change(f func(*snapshot)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.snap.Load()
	next := &snapshot{old.version + 1, maps.Clone(old.clients), maps.Clone(old.resources)}
	f(next)
	d.snap.Store(next)
}
