package directory

import (
	"context"
	"fmt"

	"github.com/jeton-auth/jeton/internal/store"
)

// Reload reads clients and resources again, which other nodes may have changed.
func (d *Directory) Reload(ctx context.Context, st *store.Store) error {
	// A change whose commit falls between the reading and its end waits for its turn.
	d.mu.Lock()
	defer d.mu.Unlock()
	next, err := read(ctx, st)
	if err != nil {
		return err
	}
	old := d.snap.Load()
	for id, r := range old.resources {
		if r.Source == store.SourceBuiltin {
			next.resources[id] = r
		}
	}
	next.version = old.version + 1
	d.snap.Store(next)
	return nil
}

// read makes a snapshot of what stands in the database.
func read(ctx context.Context, st *store.Store) (*snapshot, error) {
	clients, err := st.Read(ctx).Clients()
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	resources, err := st.Read(ctx).Resources()
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	snap := &snapshot{1, make(map[string]*store.Client, len(clients)), make(map[string]*store.Resource, len(resources))}
	for _, c := range clients {
		snap.clients[c.ID] = &c
	}
	for _, r := range resources {
		snap.resources[r.ID] = &r
	}
	return snap, nil
}
