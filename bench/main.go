// Command bench measures Jeton beside what any server could do on this machine. It
// builds and starts the real server and a few servers that do next to nothing,
// loads them turn by turn over loopback, and prints what share of their rate the
// product reaches. Server and load share the processors, so rates mean something
// beside the limit of the same run alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	rounds     int
	duration   time.Duration // of a round
	only       string
	profileDir string
	processors int

	dir           string // for all that the run leaves
	jeton, server string // programs
	pprof         string // address
	limits        limits
	main          *issuer // of most rows
	people        *issuer // of the flow row
	noise         noise
}

func main() {
	b := bench{processors: runtime.NumCPU()}
	flag.IntVar(&b.rounds, "rounds", 5, "rounds of each row")
	flag.DurationVar(&b.duration, "d", 1500*time.Millisecond, "how long a round is")
	flag.StringVar(&b.only, "only", "", "only the rows whose name holds this: client_credentials, refresh, refresh_openid, introspection, introspection_opaque, introspection_first, discovery, jwks, flow, memory, start, verify, revocation, growth")
	flag.StringVar(&b.profileDir, "profile", "", "write a CPU profile of each rate row into this directory")
	dir := flag.String("dir", "", "where the databases lie; it should be a real disk (default: the directory for temporary files)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := b.inside(*dir, func() error { return b.run(ctx) })
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// inside makes the run's directory and removes it afterwards.
func (b *bench) inside(parent string, run func() error) (err error) {
	if b.dir, err = os.MkdirTemp(parent, "jeton-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	return run()
}

// run is the whole measurement.
func (b *bench) run(ctx context.Context) (err error) {
	if err := b.build(ctx); err != nil {
		return err
	}
	b.limits, err = startLimits(ctx, filepath.Join(b.dir, "limit"), b.dir)
	defer func() { b.limits.stop() }()
	if err != nil {
		return err
	}
	if b.pprof, err = freeAddress(); err != nil {
		return err
	}
	if b.main, err = newIssuer(filepath.Join(b.dir, "main"), 4); err != nil {
		return err
	}
	if b.people, err = newIssuer(filepath.Join(b.dir, "people"), people); err != nil {
		return err
	}
	rates, err := b.rates(ctx)
	if err != nil {
		return err
	}
	others, err := b.others(ctx)
	if err != nil {
		return err
	}
	return errors.Join(b.print(os.Stdout, rates, others), failures(rates))
}

// build makes the programs. The product is built in its own module, as it is shipped.
func (b *bench) build(ctx context.Context) error {
	note("building")
	b.jeton, b.server = filepath.Join(b.dir, "jeton"), filepath.Join(b.dir, "server")
	for _, args := range [][]string{
		{"build", "-C", "..", "-trimpath", "-buildvcs=false", "-o", b.jeton, "./cmd/jeton"},
		{"build", "-trimpath", "-buildvcs=false", "-o", b.server, "./server"},
		{"build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(b.dir, "limit"), "./limit"},
	} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

func (b *bench) wants(name string) bool { return strings.Contains(name, b.only) }

// others measures the rows that are no rates. A start is measured on the database
// that the logins left, if there were any.
func (b *bench) others(ctx context.Context) (rows [][]string, err error) {
	if b.profileDir != "" {
		return nil, nil
	}
	if b.wants("memory") {
		found, err := b.memoryRows(ctx, b.main)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	if b.wants("start") {
		row, err := b.startRow(ctx, b.people)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if b.wants("verify") {
		found, err := b.verifierRows(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	if b.wants("revocation") {
		found, err := b.revocationRows(ctx, b.people)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	if b.wants("growth") {
		fresh, err := newIssuer(filepath.Join(b.dir, "fresh"), 1)
		if err != nil {
			return nil, err
		}
		found, err := b.growthRows(ctx, fresh)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	return rows, nil
}

// profileTime is how long a row is profiled, after it was measured.
const profileTime = 9 * time.Second

// profiled takes a CPU profile of the server while load runs.
func (b *bench) profiled(name string, load func() error) error {
	if b.profileDir == "" {
		return nil
	}
	if err := os.MkdirAll(b.profileDir, 0o755); err != nil {
		return err
	}
	taken := make(chan error, 1)
	go func() {
		taken <- download(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", b.pprof, int(profileTime.Seconds())-1), b.profileFile(name))
	}()
	return errors.Join(load(), <-taken)
}

func download(url, path string) (err error) {
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, r.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r.Body)
	return errors.Join(err, f.Close())
}

// print writes what was measured, and under what conditions.
func (b *bench) print(w io.Writer, rates []rate, others [][]string) error {
	durable, err := syncTime(b.dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s, %s %s/%s, %d processors (%s) shared by load and server; an fsync takes %d µs.\n",
		time.Now().Format("2006-01-02 15:04"), runtime.Version(), runtime.GOOS, runtime.GOARCH, b.processors, model(), durable.Microseconds())
	if len(rates) > 0 {
		fmt.Fprintf(w, "%d connections, %d rounds of %s in turn with the limit, the quietest of up to %d; median and range. Busy: share of the processors in use, by whomever.\n",
			connections, b.rounds, b.duration, b.rounds+extra)
		if b.wants(flows.name) {
			fmt.Fprintln(w, "The server of the flow row hashes passwords at next to no cost (argon2id with 8 KiB): that row leaves the hash out.")
		}
		fmt.Fprintln(w)
		rows := make([][]string, len(rates))
		for i, r := range rates {
			rows[i] = rateRow(r)
		}
		table(w, []string{"what", "rate", "limit in the same run", "ratio", "goal", "reached", "server µs each / limit's", "busy / limit's"}, rows)
		fmt.Fprintf(w, "\n%s\n", &b.noise)
	}
	if len(others) > 0 {
		fmt.Fprintln(w)
		table(w, []string{"what", "measured", "goal", "reached"}, others)
	}
	return nil
}

// failures are the rows that could not be measured. A goal that is missed is none.
func failures(rates []rate) error {
	var all []error
	for _, r := range rates {
		if r.err != nil {
			all = append(all, fmt.Errorf("%s: %w", r.what, r.err))
		}
	}
	return errors.Join(all...)
}

// syncTime is the median time of making 4 KiB durable in dir. A few microseconds
// tell of a file system in memory, where durable rows mean nothing.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var all []float64
	for range 50 {
		if _, err := f.WriteAt(make([]byte, 4096), 0); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := f.Sync(); err != nil {
			return 0, err
		}
		all = append(all, float64(time.Since(began)))
	}
	return time.Duration(median(all)), nil
}

// model is what the processor calls itself.
func model() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown model"
}

// note tells on standard error what goes on.
func note(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
