package program

import (
	"sync/atomic"
	"time"

	"longshore/internal/sdnotify"
)

// A Pulse passes on to a supervisor what a worker tells of itself, as long as it does.
// The zero value is for a worker that hasn't begun yet.
type Pulse struct {
	at   atomic.Int64 // when it was felt, in ns since began; 0 = never
	busy atomic.Int64
}

// pulseAge is how old the last beat may be: a worker that gives no more stands still,
// and its supervisor is to end it.
const pulseAge = time.Minute

// began is what times are told from: by the monotonic clock.
var began = time.Now()

// Beat is worker.Config's Pulse.
func (p *Pulse) Beat(busy int) {
	p.busy.Store(int64(busy))
	p.at.Store(max(1, int64(time.Since(began))))
}

// Words are for sdnotify.Notifier's Beat.
func (p *Pulse) Words() (words []string, ok bool) {
	at := p.at.Load()
	if at == 0 {
		return nil, true // it connects, which ends by itself
	}
	if time.Since(began)-time.Duration(at) > pulseAge {
		return nil, false
	}
	return []string{sdnotify.Busy(int(p.busy.Load()))}, true
}
