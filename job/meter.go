package job

import (
	"math"
	"time"
)

// A Meter turns counts into a rate and the time left. The rate is an average
// that forgets: what lies 3 s back counts a third. It is not safe for
// concurrent use; the zero value is ready.
type Meter struct {
	began, last time.Time
	lastDone    int64
	rate        float64
}

const meterMemory = 3 * time.Second

// Measure fills in fraction, rate and ETA of p from its BytesDone and
// BytesTotal, or from done and total where the work isn't reading bytes.
func (m *Meter) Measure(p *Progress, now time.Time, done, total int64) {
	if m.began.IsZero() {
		m.began, m.last, m.lastDone = now, now, done
	}
	if past := now.Sub(m.last); past >= 50*time.Millisecond {
		current := float64(done-m.lastDone) / past.Seconds()
		weight := 1 - math.Exp(-float64(past)/float64(meterMemory))
		if m.rate == 0 {
			weight = 1
		}
		m.rate += weight * (current - m.rate)
		m.last, m.lastDone = now, done
	}
	if p.BytesDone == done && m.rate > 0 {
		p.Rate = math.Round(m.rate)
	}
	if total <= 0 {
		return
	}
	fraction := math.Round(min(1, float64(done)/float64(total))*1e4) / 1e4
	p.Fraction = &fraction
	if p.Phase == PhaseUpload {
		p.Reached = UploadShare * fraction
	}
	if m.rate > 0 {
		eta := math.Round(float64(max(0, total-done))/m.rate*10) / 10
		p.ETA = &eta
	}
}
