package metrics

import (
	"math"
	"sort"
	"strconv"
	"sync/atomic"
	"time"
)

// fine is how many buckets durations are counted in: six a decade from 1 ms on, up to
// 19 hours, and one for what is longer.
const (
	fine      = 48
	perDecade = 6
	coarse    = 4 // fine buckets that are one for Prometheus
)

// bounds are the upper bounds of the fine buckets, in ns.
var bounds = func() (b [fine - 1]int64) {
	for i := range b {
		b[i] = int64(math.Round(1e6 * math.Pow(10, float64(i)/perDecade)))
	}
	return b
}()

// Durations counts durations. The zero value is ready; it is safe for concurrent use.
type Durations struct {
	counts [fine]atomic.Uint64
	sum    atomic.Int64 // ns
}

// Add counts one; one below 0, as two clocks make it, is 0.
func (d *Durations) Add(took time.Duration) {
	ns := max(0, int64(took))
	low, high := 0, len(bounds)
	for low < high { // sort.Search would call a function for each step
		if mid := (low + high) / 2; bounds[mid] < ns {
			low = mid + 1
		} else {
			high = mid
		}
	}
	d.counts[low].Add(1)
	d.sum.Add(ns)
}

// buckets are the counts as Prometheus wants them: up to and including each bound, in s.
func (d *Durations) buckets() (count uint64, sum float64, upTo map[float64]uint64) {
	upTo = make(map[float64]uint64, fine/coarse)
	for i := range d.counts {
		count += d.counts[i].Load()
		if i%coarse == 0 && i < len(bounds) {
			upTo[seconds(bounds[i])] = count
		}
	}
	return count, float64(d.sum.Load()) / 1e9, upTo
}

// Quantile is an upper bound of what a part q of the durations did not exceed; 0 of none.
func (d *Durations) Quantile(q float64) time.Duration {
	var upTo [fine]uint64
	var count uint64
	for i := range d.counts {
		count += d.counts[i].Load()
		upTo[i] = count
	}
	if count == 0 {
		return 0
	}
	want := uint64(math.Ceil(q * float64(count)))
	i := sort.Search(fine, func(i int) bool { return upTo[i] >= want })
	return time.Duration(bounds[min(i, len(bounds)-1)])
}

// seconds rounds to what people read: 0.0215, not 0.021544347.
func seconds(ns int64) float64 {
	s, _ := strconv.ParseFloat(strconv.FormatFloat(float64(ns)/1e9, 'g', 3, 64), 64)
	return s
}
