package handlers

import "time"

// maxBuckets is the most buckets a histogram has: a month of hours.
const maxBuckets = 31 * 24

// hours counts events by the hour, in UTC. A log that spans more than
// maxBuckets hours with events in them gets wider buckets: of 2, 4, 8, 24, 48,
// 96, … hours. Each width is a multiple of the one before, so no count is lost.
type hours struct {
	width  int64 // hours a bucket
	counts map[int64]int64

	bucket  int64 // of the last events, which are not in counts yet:
	pending int64
}

func newHours() *hours { return &hours{width: 1, counts: map[int64]int64{}} }

// add counts an event at a Unix time. Most events fall into the bucket of the
// one before.
func (h *hours) add(unix int64) {
	if bucket := floorDiv(unix, 3600*h.width); bucket != h.bucket || h.pending == 0 {
		h.flush()
		h.bucket = floorDiv(unix, 3600*h.width) // flush may have widened it
	}
	h.pending++
}

func (h *hours) flush() {
	if h.pending > 0 {
		h.counts[h.bucket] += h.pending
		h.pending = 0
	}
	for len(h.counts) > maxBuckets {
		factor := int64(2)
		if h.width == 8 {
			factor = 3
		}
		wider := map[int64]int64{}
		for bucket, n := range h.counts {
			wider[floorDiv(bucket, factor)] += n
		}
		h.width, h.counts = h.width*factor, wider
	}
}

// histogram returns the counts by the beginning of their buckets, RFC 3339.
func (h *hours) histogram() map[string]int64 {
	h.flush()
	named := make(map[string]int64, len(h.counts))
	for bucket, n := range h.counts {
		named[rfc3339(bucket*h.width*3600)] = n
	}
	return named
}

func rfc3339(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

// floorDiv rounds down for times before 1970 too.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
