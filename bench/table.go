package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// reading is what one round of one server gave.
type reading struct {
	rate                           float64 // operations a second
	cpu                            float64 // microseconds of the server's processor time an operation
	capacity, busy, others, stolen time.Duration
}

// pair is a round of the limit and the one of the product after it.
type pair struct{ bound, product reading }

// noise is the share of the processors that went to neither load nor server.
func (p pair) noise() float64 {
	return float64(p.bound.others+p.bound.stolen+p.product.others+p.product.stolen) / float64(p.bound.capacity+p.product.capacity)
}

// extra bounds how many rounds are measured again because the machine was not quiet.
const extra = 3

// quietest are the n pairs with the least noise. They are chosen by that alone, so
// the choice favours neither side.
func quietest(pairs []pair, n int) []pair {
	sorted := slices.SortedStableFunc(slices.Values(pairs), func(a, b pair) int { return cmp.Compare(a.noise(), b.noise()) })
	return sorted[:min(n, len(sorted))]
}

// calmest is the noise of the loudest among the n quietest pairs.
func calmest(pairs []pair, n int) float64 {
	kept := quietest(pairs, n)
	if len(kept) == 0 {
		return 0
	}
	return kept[len(kept)-1].noise()
}

// side is one of two servers that were measured turn by turn: the product, or the
// limit beside it. It has a value for each round.
type side struct {
	rates []float64
	cpu   []float64
	busy  []float64 // share of all processors that was in use, by whomever
}

func (s *side) add(r reading) {
	s.rates = append(s.rates, r.rate)
	s.cpu = append(s.cpu, r.cpu)
	s.busy = append(s.busy, float64(r.busy)/float64(r.capacity))
}

// median is the middle value; of an even number, the mean of the two in the middle.
// It is NaN for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// ratios are product to limit, round by round: both sides of a round saw the same
// weather, so its ratio means more than that of two medians.
func ratios(product, limit []float64) []float64 {
	all := make([]float64, min(len(product), len(limit)))
	for i := range all {
		all[i] = product[i] / limit[i]
	}
	return all
}

// spread writes the median and the range.
func spread(values []float64, write func(float64) string) string {
	if len(values) == 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s)", write(median(values)), write(slices.Min(values)), write(slices.Max(values)))
}

// thousands writes a whole number with commas.
func thousands(v float64) string {
	s := strconv.FormatInt(int64(math.Round(v)), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func percent(v float64) string { return strconv.FormatFloat(100*v, 'f', 0, 64) + " %" }

func micros(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

func reached(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// rateRow is what the table of rates says of a measured row.
func rateRow(r rate) []string {
	if r.err != nil {
		return []string{r.what, "failed: " + r.err.Error(), r.limit, "–", "≥ " + percent(r.goal), "no", "–", "–"}
	}
	all := ratios(r.product.rates, r.bound.rates)
	return []string{
		r.what,
		spread(r.product.rates, thousands) + "/s",
		r.limit + ": " + spread(r.bound.rates, thousands) + "/s",
		spread(all, percent),
		"≥ " + percent(r.goal),
		reached(median(all) >= r.goal),
		micros(median(r.product.cpu)) + " / " + micros(median(r.bound.cpu)),
		percent(median(r.product.busy)) + " / " + percent(median(r.bound.busy)),
	}
}

// table writes rows in columns that are Markdown as well.
func table(w io.Writer, head []string, rows [][]string) {
	width := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(cells []string) {
		for i, cell := range cells {
			fmt.Fprintf(w, "| %s%s ", cell, strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)))
		}
		fmt.Fprintln(w, "|")
	}
	line(head)
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = strings.Repeat("-", width[i])
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
}
