package check

import (
	"cmp"
	"slices"
	"strings"

	"longshore/internal/chaos/history"
)

// A Slope is how something that was sampled grew: the line of least squares.
type Slope struct {
	Proc, Way   string
	First, Last int64
	Span        int64   // microseconds from the first sample to the last
	Hour        float64 // growth in an hour
}

// Slopes fits a line to each gauge of a history, from a time on.
func Slopes(events []history.Event, from int64) (slopes []Slope) {
	type name struct{ proc, way string }
	samples := map[name][]history.Event{}
	for _, e := range events {
		if e.Kind == history.Gauge && e.T >= from {
			n := name{e.Proc, e.Way}
			samples[n] = append(samples[n], e)
		}
	}
	for n, list := range samples {
		first, last := list[0], list[len(list)-1]
		slopes = append(slopes, Slope{Proc: n.proc, Way: n.way, First: first.N, Last: last.N,
			Span: last.T - first.T, Hour: fit(list)})
	}
	slices.SortFunc(slopes, func(a, b Slope) int {
		return cmp.Or(strings.Compare(a.Proc, b.Proc), strings.Compare(a.Way, b.Way))
	})
	return slopes
}

// fit is the slope of the line of least squares, for an hour.
func fit(list []history.Event) float64 {
	var t, n, tt, tn float64
	for _, e := range list {
		hours := float64(e.T-list[0].T) / 3.6e9
		t, n, tt, tn = t+hours, n+float64(e.N), tt+hours*hours, tn+hours*float64(e.N)
	}
	count := float64(len(list))
	if below := count*tt - t*t; below > 0 {
		return (count*tn - t*n) / below
	}
	return 0
}
