package demo

import (
	"math"
	"strconv"
	"time"
)

// chart is durations as bars, the oldest on the left. All is in per cent of the
// picture, so that it is drawn at any size with lines and letters as they are.
type chart struct {
	Bars   []bar
	Ticks  []tick
	Median string // its height in the picture
}

type bar struct{ X, Y, Width, Height string }

// tick is a line across, and the milliseconds that it stands for.
type tick struct{ Y, Label string }

// The picture: room for the labels on the left, and for half a line of them above and
// below. A few bars don't fill the width.
const (
	chartLeft   = 9.0
	chartTop    = 5.0
	chartBottom = 95.0
	leastSlots  = 20
)

func newChart(all []time.Duration) chart {
	values := make([]float64, len(all))
	for i, d := range all {
		values[i] = max(0, float64(d)/float64(time.Millisecond))
	}
	step, steps := scale(values)
	top := step * float64(steps)
	y := func(v float64) float64 { return chartBottom - (chartBottom-chartTop)*v/top }

	var c chart
	for i := range steps + 1 {
		v := step * float64(i)
		c.Ticks = append(c.Ticks, tick{percent(y(v)), strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)})
	}
	slot := (100 - chartLeft) / float64(max(len(values), leastSlots))
	for i, v := range values {
		height := max(chartBottom-y(v), 0.5) // something to see
		c.Bars = append(c.Bars, bar{percent(chartLeft + slot*(float64(i)+0.15)), percent(chartBottom - height), percent(slot * 0.7), percent(height)})
	}
	c.Median = percent(y(float64(median(all)) / float64(time.Millisecond)))
	return c
}

// scale divides an axis from 0 to beyond the largest value into two to five steps of 1,
// 2 or 5 times a power of ten.
func scale(values []float64) (step float64, steps int) {
	most := 0.1
	for _, v := range values {
		most = max(most, v)
	}
	step = math.Pow10(int(math.Floor(math.Log10(most / 5))))
	for _, f := range []float64{1, 2, 5, 10} {
		if most <= f*step*5 {
			step *= f
			break
		}
	}
	return step, int(math.Ceil(most/step - 1e-9))
}

func percent(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) + "%" }
