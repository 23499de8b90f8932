package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite"
)

// Numbers of the rows that are no rates.
const (
	manyTokens = 100_000
	manyWrites = 10_000
	starts     = 5
	settle     = time.Second // from ready to the first look at an idle server

	idleGoal  = 30 // MiB
	usedGoal  = 60 // MiB
	startGoal = 100 * time.Millisecond
)

// exists makes the database of an issuer that was not started yet: the first start
// makes keys and hashes passwords.
func (b *bench) exists(ctx context.Context, i *issuer) error {
	if _, err := os.Stat(i.database()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p, _, err := i.start(ctx, b.server)
	return errors.Join(err, p.stop())
}

// memoryRows look at a server that only just started, and again after it issued
// many tokens.
func (b *bench) memoryRows(ctx context.Context, i *issuer) (rows [][]string, err error) {
	note("memory")
	if err := b.exists(ctx, i); err != nil {
		return nil, err
	}
	p, _, err := i.start(ctx, b.jeton, "serve")
	defer func() { err = errors.Join(err, p.stop()) }()
	if err != nil {
		return nil, err
	}
	time.Sleep(settle)
	idle, idlePeak, err := memory(p.pid())
	if err != nil {
		return nil, err
	}
	request := post(i.addr, "/token", basic(robot, i.robotSecret), tokenForm())
	if err := count(ctx, i.addr, times(connections, same(request)), manyTokens); err != nil {
		return nil, err
	}
	used, usedPeak, err := memory(p.pid())
	if err != nil {
		return nil, err
	}
	say := func(now, peak float64) string { return fmt.Sprintf("%.1f MiB resident, %.1f at most", now, peak) }
	return [][]string{
		{"memory, idle", say(idle, idlePeak), fmt.Sprintf("< %d MiB", idleGoal), reached(idle < idleGoal)},
		{"memory, after " + thousands(manyTokens) + " tokens", say(used, usedPeak), fmt.Sprintf("< %d MiB", usedGoal), reached(used < usedGoal)},
	}, nil
}

// startRow starts the real server on a database that is there already.
func (b *bench) startRow(ctx context.Context, i *issuer) ([]string, error) {
	note("start to ready")
	if err := b.exists(ctx, i); err != nil {
		return nil, err
	}
	if err := i.configure(1); err != nil {
		return nil, err
	}
	var all []float64
	for range starts {
		p, took, err := i.start(ctx, b.jeton, "serve")
		if err := errors.Join(err, p.stop()); err != nil {
			return nil, err
		}
		all = append(all, float64(took)/float64(time.Millisecond))
	}
	rows, size, err := stored(i.database())
	if err != nil {
		return nil, err
	}
	ms := func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
	return []string{
		fmt.Sprintf("start to ready, database of %s users and %s grants, %.1f MB", thousands(float64(rows["users"])), thousands(float64(rows["grants"])), float64(size)/1e6),
		spread(all, ms) + " ms", fmt.Sprintf("< %d ms", startGoal.Milliseconds()),
		reached(median(all) < float64(startGoal.Milliseconds())),
	}, nil
}

// growthRows count what stays in the database: after tokens for a client, and after
// rotations of one grant.
func (b *bench) growthRows(ctx context.Context, i *issuer) (rows [][]string, err error) {
	note("database growth")
	var chain op
	step := func(act func() error) (counts map[string]int64, size int64, err error) {
		p, _, err := i.start(ctx, b.jeton, "serve")
		if err == nil {
			err = act()
		}
		if err := errors.Join(err, p.stop()); err != nil {
			return nil, 0, err
		}
		return stored(i.database())
	}
	rows0, size0, err := step(func() error {
		c, err := dial(i.addr, time.Now().Add(patience))
		if err != nil {
			return err
		}
		defer c.close()
		body, _, err := flow(c, i.target, "offline_access "+scope, i.user(0))
		if err != nil {
			return err
		}
		token, err := text(body, "refresh_token")
		chain = rotate(i, token)
		return err
	})
	if err != nil {
		return nil, err
	}
	rows1, size1, err := step(func() error {
		request := post(i.addr, "/token", basic(robot, i.robotSecret), tokenForm())
		return count(ctx, i.addr, times(connections, same(request)), manyWrites)
	})
	if err != nil {
		return nil, err
	}
	rows2, size2, err := step(func() error { return count(ctx, i.addr, []op{chain}, manyWrites) })
	if err != nil {
		return nil, err
	}
	say := func(before, after map[string]int64, grew int64) string {
		return fmt.Sprintf("%s bytes, %s", thousands(float64(grew)), added(before, after))
	}
	return [][]string{
		{"database growth, " + thousands(manyWrites) + " client_credentials", say(rows0, rows1, size1-size0), "0 bytes", reached(size1 == size0 && added(rows0, rows1) == nothing)},
		{
			"database growth, " + thousands(manyWrites) + " rotations of one grant",
			fmt.Sprintf("%s; %d row in grants", say(rows1, rows2, size2-size1), rows2["grants"]), "one row", reached(rows2["grants"] == 1 && added(rows1, rows2) == nothing),
		},
	}, nil
}

// stored reads what a database that nobody has open holds: the rows of each table,
// and the bytes of its files once the log is folded in.
func stored(path string) (rows map[string]int64, size int64, err error) {
	if err := checkpoint(path); err != nil {
		return nil, 0, err
	}
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(path + suffix)
		if errors.Is(err, fs.ErrNotExist) && suffix != "" {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		size += info.Size()
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro")
	if err != nil {
		return nil, 0, err
	}
	defer db.Close()
	names, err := tables(db)
	if err != nil {
		return nil, 0, err
	}
	rows = map[string]int64{}
	for _, name := range names {
		if fixed[name] {
			continue
		}
		var n int64
		if err := db.QueryRow(`SELECT count(*) FROM "` + name + `"`).Scan(&n); err != nil {
			return nil, 0, err
		}
		rows[name] = n
	}
	return rows, size, nil
}

// fixed are the tables that get rows without anybody asking for tokens: one for each
// kind of job when it first runs, and one for each start that follows a stop.
var fixed = map[string]bool{"leases": true, "outages": true}

func checkpoint(path string) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	_, err = db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	return errors.Join(err, db.Close())
}

func tables(db *sql.DB) (names []string, err error) {
	found, err := db.Query("SELECT name FROM sqlite_schema WHERE type = 'table'")
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var name string
		if err := found.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, found.Err()
}

const nothing = "no row more"

// added says in which tables there are more rows, or fewer.
func added(before, after map[string]int64) string {
	var changes []string
	for name, n := range after {
		if n != before[name] {
			changes = append(changes, fmt.Sprintf("%+d in %s", n-before[name], name))
		}
	}
	if len(changes) == 0 {
		return nothing
	}
	slices.Sort(changes)
	return strings.Join(changes, ", ")
}
