package main

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
		{[]float64{100, 1, 2, 3, 2}, 2}, // one wild round does not move it
	} {
		before := slices.Clone(c.values)
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(before, c.values) {
			t.Errorf("median changed its argument from %v to %v", before, c.values)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestRatiosAreOfRounds(t *testing.T) {
	t.Parallel()
	// The machine was half as fast in the second round: the ratio does not show it.
	got := ratios([]float64{80, 40, 90}, []float64{100, 50, 100})
	if want := []float64{.8, .8, .9}; !slices.Equal(got, want) {
		t.Errorf("ratios = %v, want %v", got, want)
	}
}

func TestQuietestRounds(t *testing.T) {
	t.Parallel()
	loud := func(rate float64, others time.Duration) pair {
		r := reading{rate: rate, capacity: 3 * time.Second, others: others}
		return pair{bound: r, product: r}
	}
	pairs := []pair{loud(1, 2*time.Second), loud(2, 0), loud(3, 600*time.Millisecond), loud(4, 30*time.Millisecond)}
	var got []float64
	for _, p := range quietest(pairs, 2) {
		got = append(got, p.product.rate)
	}
	if want := []float64{2, 4}; !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	if got := calmest(pairs, 3); got != .2 {
		t.Errorf("noise of the third = %v, want 0.2", got)
	}
	if got := len(quietest(pairs, 9)); got != 4 {
		t.Errorf("kept %d of 4", got)
	}
}

func TestRateRow(t *testing.T) {
	t.Parallel()
	r := rate{
		what: "a row", limit: "bare", goal: .75,
		product: side{rates: []float64{7500, 8000, 9000}, cpu: []float64{90, 80, 70}, busy: []float64{.97, .99, .98}},
		bound:   side{rates: []float64{10000, 10000, 10000}, cpu: []float64{60, 50, 55}, busy: []float64{.8, 1, .9}},
	}
	want := []string{"a row", "8,000 (7,500–9,000)/s", "bare: 10,000 (10,000–10,000)/s", "80 % (75 %–90 %)", "≥ 75 %", "yes", "80 / 55", "98 % / 90 %"}
	if got := rateRow(r); !slices.Equal(got, want) {
		t.Errorf("row = %q, want %q", got, want)
	}
	r.goal = .81
	if got := rateRow(r); got[5] != "no" {
		t.Errorf("80 %% of the limit reaches 81 %%: %q", got)
	}
	r.err = errors.New("status 500")
	if got := rateRow(r); got[1] != "failed: status 500" || got[5] != "no" || len(got) != len(want) {
		t.Errorf("a row that failed = %q", got)
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 999.4: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(v); got != want {
			t.Errorf("thousands(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestTableIsMarkdown(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	table(&b, []string{"what", "goal"}, [][]string{{"memory", "< 30 MiB"}, {"≥", "1"}})
	const want = "| what   | goal     |\n| ------ | -------- |\n| memory | < 30 MiB |\n| ≥      | 1        |\n"
	if b.String() != want {
		t.Errorf("table:\n%swant:\n%s", b.String(), want)
	}
}
