package main

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// The page shows what the program prints.
func TestPage(t *testing.T) {
	t.Parallel()
	const name = "../../docs/scaling.md"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(nil, &out); err != nil {
		t.Fatal(err)
	}
	for table := range strings.SplitSeq(out.String(), "\n\n") {
		if !strings.Contains(string(page), "\n\n"+strings.TrimSpace(table)+"\n\n") {
			t.Errorf("%s does not show this table; put it in place of the old one:\n%s", name, table)
		}
	}
}

// A size that is easily calculated by hand.
func TestSize(t *testing.T) {
	t.Parallel()
	f, a, _ := flags()
	if err := f.Parse([]string{"-refreshes=10", "-logins=1", "-revocations=1", "-peak=2", "-apis=100", "-head=1ms", "-login-rows=7", "-revocation-rows=3"}); err != nil {
		t.Fatal(err)
	}
	s := a.size(8_640_000) // a hundred a second
	for name, c := range map[string][2]float64{
		"transactions at the peak": {s.peakTransactions, 2 * (1000 + 3*100 + 100)},
		"rows at the peak":         {s.peakRows, 2 * (1000 + 7*100 + 3*100)},
		"share of the head's time": {s.held, .2},
		"readers":                  {s.readers, 864},
		"feed":                     {s.feed, 520 + 200*75 + 20*115},
		"entries":                  {s.entries, 200 * 15 * 60},
		"write-ahead log":          {s.wal, 8_640_000 * (10*148 + 4300 + 1240)},
		"processors":               {s.peakCores, 2 * (1000*125e-6 + 100*(763e-6+20e-3))},
		"nodes":                    {s.nodes, 3},
	} {
		if math.Abs(c[0]-c[1]) > 1e-6*c[1] {
			t.Errorf("%s: %v, want %v", name, c[0], c[1])
		}
	}
	// A page is written whole at most once between two checkpoints, and at most once for
	// each change.
	tables, changes := s.users*a.grants*a.grantHeap, s.rotations*24*time.Hour.Seconds()*8192
	if all := tables * 24 * 4; s.images <= 0 || s.images > all || s.images > changes {
		t.Errorf("%v bytes of whole pages, of %v", s.images, all)
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{headRow(.31, 64, .1), "carries it: held 31 % of the time"},
		{headRow(31.2, 64, 1.158), "carries it, always held: 32 revocations in each change of it, which wait for 1.2 s at most"},
		{headRow(160, 64, 1), "**does not carry it**: 2.5 times, with 64 revocations in each change"},
		{engine{figure: 100}.carries(&size{peakTransactions: 20}), "carries it: 20 % of it"},
		{engine{figure: 100}.carries(&size{peakTransactions: 60}), "**no reserve**: 60 % of it"},
		{engine{figure: 100}.carries(&size{peakTransactions: 250}), "**does not carry it**: 2.5 times"},
		{engine{figure: 100, rows: true, servers: 10}.carries(&size{peakRows: 1}), "3 servers at half of it"},
		{engine{figure: 100, rows: true, servers: 10}.carries(&size{peakRows: 250}), "50 servers at half of it"},
		{number(0), "0"},
		{number(7.64), "7.6"},
		{number(104.2), "104"},
		{number(4618), "4,620"},
		{number(461_806), "462,000"},
		{number(9.375e6), "9.4 million"},
		{number(1e9), "1 billion"},
		{octets(12), "12 B"},
		{octets(61.5e9), "61.5 GB"},
		{octets(4.6e12), "4.6 TB"},
		{view(300 << 20), "315 MB, **more than `ViewLimit`** by default"},
		{plain("5m0s"), "5m"},
		{plain("10s"), "10s"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-users=0"},
		{"-users=many"},
		{"-users=1e11"},
		{"-logins=-1"},
		{"-grants=0"},
		{"-busy=NaN"},
		{"-checkpoint=0s"},
		{"-peek=3"},
		{"more"},
	} {
		var out strings.Builder
		if err := run(args, &out); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
	if err := run([]string{"-users=1e6", "-refreshes=0", "-revocations=0", "-apis=0"}, &strings.Builder{}); err != nil {
		t.Error(err)
	}
}
