// Command capacity calculates what an issuer of a given size writes, stores and sends, and
// which database's published figures carry that. Every assumption is a flag;
// docs/scaling.md has what it prints without any.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "capacity:", err)
		os.Exit(1)
	}
}

// assumptions are per daily user and day, unless they say otherwise.
type assumptions struct {
	logins, refreshes, revocations float64
	grants, accounts               float64
	peak                           float64
	lifetime, kept                 time.Duration
	apis                           float64

	grantBytes, grantHeap, sessionBytes, accountBytes, auditBytes float64
	loginTx, loginRows, revocationRows, loginAudit                float64
	rotationWAL, loginWAL, revocationWAL                          float64
	checkpoint                                                    time.Duration

	head                              time.Duration
	together                          float64
	entryBytes, eventBytes, beatBytes float64
	looks                             float64
	viewBytes                         float64

	rotationTime, loginTime, hashTime time.Duration
	cores, busy                       float64
}

// flags declares every assumption.
func flags() (*flag.FlagSet, *assumptions, *string) {
	a := &assumptions{}
	f := flag.NewFlagSet("capacity", flag.ContinueOnError)
	users := f.String("users", "10000000,1000000000", "daily users, a column each")
	f.Float64Var(&a.logins, "logins", 1, "logins of a user and day, each with a password, a session and a grant")
	f.Float64Var(&a.refreshes, "refreshes", 10, "rotations of a user and day")
	f.Float64Var(&a.revocations, "revocations", .3, "entries in the revocation log for a user and day")
	f.Float64Var(&a.grants, "grants", 3, "live grants of a daily user")
	f.Float64Var(&a.accounts, "accounts", 2, "accounts for each daily user")
	f.Float64Var(&a.peak, "peak", 3, "the busiest second, as a multiple of the average")
	f.DurationVar(&a.lifetime, "lifetime", 5*time.Minute, "of an access token")
	f.DurationVar(&a.kept, "kept", 10*time.Minute, "how long an entry outlives the tokens that it names")
	f.Float64Var(&a.apis, "apis", 10, "processes of protected APIs for each million of daily users, each a reader of the feed")
	f.Float64Var(&a.grantBytes, "grant-bytes", 950, "of a grant with its indexes (measured, PostgreSQL 15)")
	f.Float64Var(&a.grantHeap, "grant-heap", 745, "of that, in the table itself (measured)")
	f.Float64Var(&a.sessionBytes, "session-bytes", 428, "of a session with its indexes (measured); a session a login")
	f.Float64Var(&a.accountBytes, "account-bytes", 661, "of an account and one consent (measured)")
	f.Float64Var(&a.auditBytes, "audit-bytes", 209, "of an event that is kept (measured)")
	f.Float64Var(&a.loginTx, "login-transactions", 3, "of a login until its code is redeemed")
	f.Float64Var(&a.loginRows, "login-rows", 11, "written by these (measured)")
	f.Float64Var(&a.revocationRows, "revocation-rows", 5, "written by a revocation, the head twice among them")
	f.Float64Var(&a.loginAudit, "login-events", 2, "kept of a login; one of a revocation, none of a rotation")
	f.Float64Var(&a.rotationWAL, "rotation-wal", 148, "bytes of write-ahead log of a rotation, between checkpoints (measured)")
	f.Float64Var(&a.loginWAL, "login-wal", 4300, "of a login (measured)")
	f.Float64Var(&a.revocationWAL, "revocation-wal", 1240, "of a revocation (measured)")
	f.DurationVar(&a.checkpoint, "checkpoint", 15*time.Minute, "between two checkpoints: after each, the first change of a page writes it whole")
	f.DurationVar(&a.head, "head", 3*time.Millisecond, "how long a revocation holds the head's row: its last statements and a commit that waits for a standby")
	f.Float64Var(&a.together, "together", 64, "revocations that wait at a node and share one change of the head, at most")
	f.Float64Var(&a.entryBytes, "entry-bytes", 75, "of an entry in the feed")
	f.Float64Var(&a.eventBytes, "event-bytes", 115, "of an event around its entries")
	f.Float64Var(&a.beatBytes, "heartbeat-bytes", 520, "of a heartbeat, one a second (measured)")
	f.Float64Var(&a.looks, "looks", 20, "of a node at the head's row in a second, beside introspection")
	f.Float64Var(&a.viewBytes, "view-bytes", 52, "of an entry in an API's memory, at most")
	f.DurationVar(&a.rotationTime, "rotation-time", 125*time.Microsecond, "processor time of a rotation, from one of the runs behind docs/performance.md")
	f.DurationVar(&a.loginTime, "login-time", 763*time.Microsecond, "of a login without its password hash, from the same run")
	f.DurationVar(&a.hashTime, "hash-time", 20*time.Millisecond, "of the password hash (docs/performance.md)")
	f.Float64Var(&a.cores, "cores", 8, "of a node")
	f.Float64Var(&a.busy, "busy", .5, "share of them that the peak may take")
	return f, a, users
}

func run(args []string, out io.Writer) error {
	f, a, list := flags()
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q is no flag: see -help", f.Arg(0))
	}
	// Nothing is negative, and what is divided by is not zero.
	least := map[string]bool{"grants": true, "grant-heap": true, "peak": true, "together": true, "checkpoint": true, "cores": true, "busy": true, "logins": true}
	var wrong error
	f.VisitAll(func(v *flag.Flag) {
		text := v.Value.String()
		if zero := text == "0" || text == "0s"; strings.HasPrefix(text, "-") || text == "NaN" || zero && least[v.Name] {
			wrong = fmt.Errorf("-%s: %s is too little", v.Name, text)
		}
	})
	if wrong != nil {
		return wrong
	}
	var columns []*size
	for text := range strings.SplitSeq(*list, ",") {
		users, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || users < 1 || users > 1e10 {
			return fmt.Errorf("-users: %q is not a number of people", text)
		}
		columns = append(columns, a.size(users))
	}
	row(out, "Daily users", columns, func(s *size) string { return number(s.users) })
	fmt.Fprintln(out, "|---"+strings.Repeat("|---:", len(columns))+"|")
	for _, r := range rows {
		row(out, r.name, columns, func(s *size) string { return r.text(a, s) })
	}
	fmt.Fprint(out, "\n| Flag | Assumed | Meaning |\n|---|---|---|\n")
	f.VisitAll(func(v *flag.Flag) {
		if v.Name != "users" {
			fmt.Fprintf(out, "| `-%s` | %s | %s |\n", v.Name, plain(v.Value.String()), v.Usage)
		}
	})
	return nil
}

// plain writes 5m0s as 5m.
func plain(value string) string {
	if strings.HasSuffix(value, "m0s") {
		return strings.TrimSuffix(value, "0s")
	}
	return value
}

func row(out io.Writer, name string, columns []*size, text func(*size) string) {
	fmt.Fprintf(out, "| %s |", name)
	for _, s := range columns {
		fmt.Fprintf(out, " %s |", text(s))
	}
	fmt.Fprintln(out)
}

// size is what comes of a number of daily users. Rates are averages in a second; those
// at the peak are that many times a.peak.
type size struct {
	users                                 float64
	rotations, logins, revocations        float64
	transactions, rows                    float64
	stored, audit, wal, images            float64
	held, readers, feed, entries, nodes   float64
	peakTransactions, peakRows, peakCores float64
}

func (a *assumptions) size(users float64) *size {
	second := users / (24 * time.Hour).Seconds()
	s := &size{users: users, rotations: second * a.refreshes, logins: second * a.logins, revocations: second * a.revocations}
	s.transactions = s.rotations + s.logins*a.loginTx + s.revocations
	s.rows = s.rotations + s.logins*a.loginRows + s.revocations*a.revocationRows
	s.peakTransactions, s.peakRows = s.transactions*a.peak, s.rows*a.peak

	s.stored = users * (a.grants*a.grantBytes + a.logins*a.sessionBytes + a.accounts*a.accountBytes)
	s.audit = users * (a.logins*a.loginAudit + a.revocations) * a.auditBytes
	s.wal = users * (a.refreshes*a.rotationWAL + a.logins*a.loginWAL + a.revocations*a.revocationWAL)
	const page = 8192
	pages, between := users*a.grants*a.grantHeap/page, a.checkpoint.Seconds()
	changed := pages * (1 - math.Exp(-s.rotations*between/pages)) // of them, by rotations of grants at random
	s.images = changed * page * (24 * time.Hour).Seconds() / between

	peak := s.revocations * a.peak
	s.held = peak * a.head.Seconds()
	s.readers = math.Ceil(users / 1e6 * a.apis)
	s.feed = a.beatBytes + peak*a.entryBytes + min(peak, a.looks)*a.eventBytes
	s.entries = peak * (a.lifetime + a.kept).Seconds()

	s.peakCores = a.peak * (s.rotations*a.rotationTime.Seconds() + s.logins*(a.loginTime+a.hashTime).Seconds())
	s.nodes = math.Ceil(s.peakCores/a.busy/a.cores) + 1 // any may die
	return s
}

type line struct {
	name string
	text func(*assumptions, *size) string
}

// rows are the table's.
var rows = append([]line{
	{"Transactions that write, a second: average", func(_ *assumptions, s *size) string { return number(s.transactions) }},
	{"… at the peak", func(_ *assumptions, s *size) string { return number(s.peakTransactions) }},
	{"… of these, rotations", func(a *assumptions, s *size) string { return number(s.rotations * a.peak) }},
	{"Rows written a second, at the peak", func(_ *assumptions, s *size) string { return number(s.peakRows) }},
	{"Storage: grants, sessions, accounts", func(_ *assumptions, s *size) string { return octets(s.stored) }},
	{"Storage that grows: events, a day", func(_ *assumptions, s *size) string { return octets(s.audit) }},
	{"Write-ahead log a day, between checkpoints", func(_ *assumptions, s *size) string { return octets(s.wal) }},
	{"… and pages written whole after each, at most", func(_ *assumptions, s *size) string { return octets(s.images) }},
	{"Revocations a second: average, peak", func(a *assumptions, s *size) string {
		return number(s.revocations) + ", " + number(s.revocations*a.peak)
	}},
	{"**The head's one row**, at the peak", func(a *assumptions, s *size) string { return headRow(s.held, a.together, 2*s.nodes*a.head.Seconds()) }},
	{"Readers of the feed", func(_ *assumptions, s *size) string { return number(s.readers) }},
	{"Feed to each reader a second, at the peak", func(_ *assumptions, s *size) string { return octets(s.feed) }},
	{"Feed to all readers a second", func(_ *assumptions, s *size) string { return octets(s.feed * s.readers) }},
	{"Entries in an API's view, at the peak", func(_ *assumptions, s *size) string { return number(s.entries) }},
	{"… and its memory", func(a *assumptions, s *size) string { return view(s.entries * a.viewBytes) }},
	{"Processors of all nodes, busy at the peak", func(_ *assumptions, s *size) string { return number(s.peakCores) }},
	{"… of these, with password hashes", func(a *assumptions, s *size) string {
		return percent(s.logins * a.peak * a.hashTime.Seconds() / s.peakCores)
	}},
	{"Issuer nodes, one of them spare", func(_ *assumptions, s *size) string { return number(s.nodes) }},
	{"Looks of all nodes at the head, a second", func(a *assumptions, s *size) string { return number(s.nodes * a.looks) }},
}, engineRows()...)

// headRow tells what the row that every revocation changes is asked for: it serves one
// transaction at a time, each of a node's revocations that waited. held is for how much of the time it
// would be held if each came alone. Where it is held always, a revocation waits for
// the transaction of each node before its own, and maybe for its node's own before it.
func headRow(held, together, wait float64) string {
	switch {
	case held <= .5:
		return "carries it: held " + percent(held) + " of the time"
	case held <= together:
		return fmt.Sprintf("carries it, always held: %s revocations in each change of it, which wait for %.1f s at most", number(math.Ceil(held)), wait)
	}
	return fmt.Sprintf("**does not carry it**: %.1f times, with %s revocations in each change", held/together, number(together))
}

const viewLimit = 256 << 20 // verify.ViewLimit, unless it is set

func view(bytes float64) string {
	if bytes > viewLimit {
		return octets(bytes) + ", **more than `ViewLimit`** by default"
	}
	return octets(bytes)
}

// engine is a database and what its makers or others published of it.
type engine struct {
	name    string
	figure  float64 // in a second
	rows    bool    // the figure is of rows, not of transactions
	servers float64 // that reached it, for engines that take more; 0 for those that don't
}

// engines are those of docs/scaling.md, which says where the figures come from.
var engines = []engine{
	{"SQLite, 2 processors: 8,121 rotations, measured", 8121, false, 0},
	{"PostgreSQL, 96 processors: 137,127 transactions of 4 written rows", 4 * 137127, true, 0},
	{"YugabyteDB, 100 servers: 1,000,000 rows", 1e6, true, 100},
	{"CockroachDB, 81 servers: 1,684,437 new orders a minute of 23 written rows", 1684437. / 60 * 23, true, 81},
}

func engineRows() []line {
	lines := make([]line, len(engines))
	for i, e := range engines {
		lines[i] = line{e.name, func(_ *assumptions, s *size) string { return e.carries(s) }}
	}
	return lines
}

// carries leaves half of the published figure in reserve.
func (e engine) carries(s *size) string {
	needed := s.peakTransactions
	if e.rows {
		needed = s.peakRows
	}
	share := needed / e.figure
	switch {
	case e.servers > 0:
		return number(max(3, math.Ceil(2*share*e.servers))) + " servers at half of it"
	case share <= .5:
		return "carries it: " + percent(share) + " of it"
	case share <= 1:
		return "**no reserve**: " + percent(share) + " of it"
	}
	return fmt.Sprintf("**does not carry it**: %.1f times", share)
}

func percent(share float64) string {
	if share < .01 {
		return fmt.Sprintf("%.1f %%", 100*share)
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

// number writes three digits that count.
func number(x float64) string {
	switch {
	case x >= 1e9:
		return short(x/1e9) + " billion"
	case x >= 1e6:
		return short(x/1e6) + " million"
	case x >= 1000:
		n := strconv.Itoa(int(math.Round(x/math.Pow(10, math.Floor(math.Log10(x))-2)) * math.Pow(10, math.Floor(math.Log10(x))-2)))
		return n[:len(n)-3] + "," + n[len(n)-3:]
	}
	return short(x)
}

func octets(x float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e15, "PB"}, {1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if x >= u.size {
			return short(x/u.size) + " " + u.name
		}
	}
	return short(x) + " B"
}

func short(x float64) string {
	if x >= 100 || x == math.Trunc(x) {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.1f", x)
}
