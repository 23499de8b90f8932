package storetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
)

// OpenWith opens a store on a database that stays the same, as a program would whose
// migrations are files. The function that it gives closes the store.
type OpenWith func(ctx context.Context, files fs.FS) (s *store.Store, closing func() error, err error)

// RunMigrations runs what is true of migrations on every engine. files are the engine's,
// and database makes an empty database.
func RunMigrations(t *testing.T, files fs.FS, database func(t testing.TB) OpenWith) {
	for name, test := range map[string]func(*testing.T, fstest.MapFS, OpenWith){
		"Schema": testSchema,
		"Newer":  testNewer,
		"Fails":  testMigrationFails,
		"Wrong":  testWrongMigrations,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, Release(t, files), database(t))
		})
	}
}

// Release is a copy of an engine's migrations, with further ones.
func Release(t testing.TB, files fs.FS, further ...string) fstest.MapFS {
	t.Helper()
	all := fstest.MapFS{}
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("there are no migrations: %v", err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for _, text := range further {
		all[fmt.Sprintf("%03d_next.sql", len(all)+1)] = &fstest.MapFile{Data: []byte(text)}
	}
	return all
}

// Next is a migration as the release after this one might have it: it adds a column and
// a table, and serves the programs that know version n.
func Next(n int) string {
	return fmt.Sprintf("-- serves: %d\nALTER TABLE users ADD COLUMN later TEXT NOT NULL DEFAULT '';\nCREATE TABLE later (id BIGINT PRIMARY KEY);\n", n)
}

// begin opens a store and closes it when the test ends.
func begin(t testing.TB, open OpenWith, files fs.FS) *store.Store {
	t.Helper()
	s, closing, err := open(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closing(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// once opens a store, and closes it after that.
func once(t testing.TB, open OpenWith, files fs.FS, use func(*store.Store)) error {
	t.Helper()
	s, closing, err := open(t.Context(), files)
	if err != nil {
		return err
	}
	if use != nil {
		use(s)
	}
	return closing()
}

// The first to open a database applies all, the next nothing.
func testSchema(t *testing.T, files fstest.MapFS, open OpenWith) {
	n := len(files)
	for _, applied := range []int{n, 0} {
		err := once(t, open, files, func(s *store.Store) {
			schema := s.Schema()
			if schema.Version != n || schema.Known != n || len(schema.Applied) != applied {
				t.Errorf("the schema is %+v; of %d migrations %d were to be applied", schema, n, applied)
			}
			for i, m := range schema.Applied {
				if m.Version != i+1 || m.Serves < 1 || m.Serves > m.Version || !strings.HasPrefix(m.Name, fmt.Sprintf("%03d_", i+1)) {
					t.Errorf("migration %d was applied as %+v", i+1, m)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A program goes on with the schema of a newer release that serves it, and refuses
// another: every step between them counts.
func testNewer(t *testing.T, files fstest.MapFS, open OpenWith) {
	n := len(files)
	user := func(id string) func(*store.Store) {
		return func(s *store.Store) {
			t.Helper()
			if err := s.Write(t.Context(), func(tx *store.Tx) error {
				return tx.CreateUser(store.User{ID: id, Email: id})
			}); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	second := Release(t, files, Next(n))
	must(once(t, open, files, user("before")))
	must(once(t, open, second, func(s *store.Store) {
		user("new")(s)
		if schema := s.Schema(); schema.Version != n+1 || len(schema.Applied) != 1 || schema.Applied[0].Serves != n {
			t.Errorf("the next release left %+v", schema)
		}
	}))
	must(once(t, open, files, func(s *store.Store) {
		user("after")(s)
		if schema := s.Schema(); schema.Version != n+1 || schema.Known != n || len(schema.Applied) != 0 {
			t.Errorf("the release before it found %+v", schema)
		}
		users, err := s.Read(t.Context()).Users("", 9)
		if err != nil || len(users) != 3 {
			t.Errorf("%d users are there: %v", len(users), err)
		}
	}))
	// The one after that serves its predecessor alone, as it says nothing of others.
	third := Release(t, second, "-- serves: "+fmt.Sprint(n+1)+"\nCREATE TABLE third (id BIGINT PRIMARY KEY);\n")
	fourth := Release(t, third, "CREATE TABLE fourth (id BIGINT PRIMARY KEY);\n")
	must(once(t, open, third, nil))
	must(once(t, open, second, nil))
	refuses := func(files fs.FS, says ...string) {
		t.Helper()
		err := once(t, open, files, nil)
		for _, say := range says {
			if err == nil || !strings.Contains(err.Error(), say) {
				t.Errorf("a database that is too new was opened with %v, want something with %q", err, say)
			}
		}
	}
	refuses(files, fmt.Sprintf("schema version %d", n+2), fmt.Sprintf("programs that know version %d", n+1), fmt.Sprintf("this one knows %d", n), "run the newer release")
	must(once(t, open, fourth, nil))
	refuses(third, fmt.Sprintf("this one knows %d", n+2))
	must(once(t, open, fourth, nil))
}

// A migration that fails leaves nothing, and the next try finds all as it was. What is a
// unique key's matter in it is no other node's work.
func testMigrationFails(t *testing.T, files fstest.MapFS, open OpenWith) {
	n := len(files)
	if err := once(t, open, files, func(s *store.Store) {
		if err := s.Write(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.PutAttempt("a", time.UnixMilli(1)), tx.PutAttempt("b", time.UnixMilli(1)))
		}); err != nil {
			t.Fatal(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"wrong":      Next(n) + "CREATE TABLE users (id BIGINT PRIMARY KEY);\n",
		"not unique": Next(n) + "CREATE UNIQUE INDEX attempts_at ON attempts (tat);\n",
		"conflict":   Next(n) + "INSERT INTO later (id) VALUES (1);\nINSERT INTO later (id) VALUES (1);\n",
	} {
		err := once(t, open, Release(t, files, text), nil)
		if err == nil || !strings.Contains(err.Error(), "next: store: ") {
			t.Errorf("%s: the migration was answered with %v", name, err)
		}
		if err := once(t, open, files, func(s *store.Store) {
			if schema := s.Schema(); schema.Version != n {
				t.Errorf("%s: a migration that failed left schema version %d", name, schema.Version)
			}
		}); err != nil {
			t.Error(err)
		}
	}
	// Its table and column are not there: the same names are free.
	if err := once(t, open, Release(t, files, Next(n)+"INSERT INTO later (id) VALUES (1) -- a ? is no parameter here\n"), nil); err != nil {
		t.Error(err)
	}
}

func testWrongMigrations(t *testing.T, files fstest.MapFS, open OpenWith) {
	n := len(files)
	refuses := func(files fstest.MapFS, says string) {
		t.Helper()
		if err := once(t, open, files, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("wrong migrations were answered with %v, want something with %q", err, says)
		}
	}
	gap := maps.Clone(files)
	gap[fmt.Sprintf("%03d_gap.sql", n+2)] = &fstest.MapFile{Data: []byte("SELECT 1;")}
	refuses(gap, "numbered one after the other")
	for _, serves := range []string{"", "x", "0", fmt.Sprint(n + 2)} {
		refuses(Release(t, files, "-- serves: "+serves+"\nSELECT 1;"), "does not name a version")
	}
	// A database of something else.
	if err := once(t, open, Release(t, files, "DELETE FROM migrations WHERE version = 1;"), nil); err == nil || !strings.Contains(err.Error(), "lacks migration 1") {
		t.Errorf("a database without its first migration was answered with %v", err)
	}
	refuses(files, "lacks migration 1")
}

// Together has many nodes open one empty database at once, and then a newer release's
// beside them: it is for engines that many nodes share.
func Together(t *testing.T, files fs.FS, open OpenWith) {
	old := Release(t, files)
	n := len(old)
	next := Release(t, files, Next(n))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	type opened struct {
		s       *store.Store
		closing func() error
		err     error
	}
	at := make(chan opened)
	all := func(files fs.FS, nodes int) (stores []*store.Store, applied int) {
		for range nodes {
			go func() {
				s, closing, err := open(ctx, files)
				at <- opened{s, closing, err}
			}()
		}
		for range nodes {
			o := <-at
			if o.err != nil {
				t.Errorf("one of %d nodes that started at once: %v", nodes, o.err)
				continue
			}
			t.Cleanup(func() {
				if err := o.closing(); err != nil {
					t.Error(err)
				}
			})
			stores = append(stores, o.s)
			applied += len(o.s.Schema().Applied)
		}
		return stores, applied
	}
	stores, applied := all(old, 12)
	if applied != n {
		t.Errorf("%d of %d migrations were applied by all together", applied, n)
	}
	if t.Failed() {
		return
	}
	f := &fixture{TB: t, s: stores[0]}
	f.write(func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) })
	f.people()
	g := f.redeemed()

	// The nodes of this release go on all the while.
	stop := make(chan struct{})
	ended := make(chan error, len(stores))
	for i, s := range stores {
		go func() { ended <- work(s, g.ID, i, stop) }()
	}
	newer, applied := all(next, 4)
	if applied != 1 {
		t.Errorf("the next release's migration was applied %d times", applied)
	}
	for i, s := range newer {
		go func() { ended <- work(s, g.ID, 100+i, stop) }()
	}
	late := begin(t, open, old) // a node of this release starts on the new schema
	go func() { ended <- work(late, g.ID, 200, stop) }()
	for _, s := range append(newer, late) {
		if schema := s.Schema(); schema.Version != n+1 {
			t.Errorf("a node found the schema %+v", schema)
		}
	}
	close(stop)
	for range len(stores) + len(newer) + 1 {
		if err := <-ended; err != nil {
			t.Errorf("a node that worked beside the migration: %v", err)
		}
	}
	if users := is[[]store.User](t)(late.Read(t.Context()).Users("", 1000)); len(users) != 1+len(stores)+len(newer)+1 {
		t.Errorf("%d users are there", len(users))
	}
}

// work writes and reads as a node does, once at least and until it is stopped.
func work(s *store.Store, id store.GrantID, node int, stop <-chan struct{}) error {
	ctx := context.Background()
	user := store.User{ID: fmt.Sprintf("u_%d", node), Email: fmt.Sprintf("%d@example.com", node)}
	if err := s.Write(ctx, func(tx *store.Tx) error { return tx.CreateUser(user) }); err != nil {
		return err
	}
	for n := 0; ; n++ {
		g, err := s.Read(ctx).Grant(id)
		if err != nil {
			return err
		}
		user.Name = fmt.Sprint(n)
		err = s.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Rotate(id, g.Number, g.IdleAt, Begin)
			return errors.Join(err, tx.UpdateUser(user))
		})
		if err != nil {
			return err
		}
		if u, err := s.Read(ctx).User(user.ID); err != nil || u.Name != user.Name {
			return fmt.Errorf("user %q was read after %q was written: %w", u.Name, user.Name, err)
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}
