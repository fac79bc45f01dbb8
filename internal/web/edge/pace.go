package edge

import "time"

// A pace is a least rate. A client starts with a grace, loses the time that we
// wait for its bytes, and each byte earns it 1/rate seconds, up to the grace
// again. So a stall is forgiven, a trickle is not, and the time in which we are
// busy costs nobody anything.
type pace struct {
	rate  int64 // bytes per second; 0 = any
	grace time.Duration
	left  time.Duration
}

// took counts n bytes for which we waited a while. It reports whether they came
// fast enough.
func (p *pace) took(n int, waited time.Duration) bool {
	if p.rate <= 0 {
		return true
	}
	earned := p.grace // more than the grace is never kept
	if int64(n) < p.rate*int64(p.grace/time.Second+1) {
		earned = time.Duration(int64(n) * int64(time.Second) / p.rate)
	}
	p.left = min(p.left-waited+earned, p.grace)
	return p.left > 0
}
