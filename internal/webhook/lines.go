package webhook

import (
	"time"

	"longshore/internal/jobstore"
)

// Limits of one host, so that a slow receiver holds nobody else up.
const (
	perHost    = 8               // attempts at once
	maxWaiting = 32              // claims that wait here for one of those
	soonest    = time.Second     // … if they would be begun within this
	farthest   = 5 * time.Minute // a claim that finds a crowd is given back for at most this
	closest    = lookEvery       // … and at least this
)

// A task is a claim that this process holds.
type task struct {
	claim jobstore.CallbackClaim
	at    time.Time // when it was asked for: its lease counts from then, at the least
}

// lines are the hosts that have anything to do, each with a line of its own.
type lines map[string]*line

// A line is the tasks of one host.
type line struct {
	running int
	waiting []task
	since   time.Time
	took    time.Duration // what an attempt takes, on a moving average; 0 = none has ended
	clear   time.Time     // when all would be done that ever joined or found a crowd
}

// pace is what an attempt seems to take.
func (h *line) pace(now time.Time) time.Duration {
	if h.took == 0 {
		return now.Sub(h.since) // as long as this at least
	}
	return h.took
}

// What becomes of a task that comes to a line.
type place int

const (
	begin place = iota // now
	wait               // here, next will hand it out
	crowd              // not here: it is to be given back
)

// held counts the tasks that run or wait.
func (l lines) held() (n int) {
	for _, h := range l {
		n += h.running + len(h.waiting)
	}
	return n
}

// join finds a place for a task.
func (l lines) join(name string, t task) place {
	h := l[name]
	if h == nil {
		h = &line{since: t.at}
		l[name] = h
	}
	if h.clear.Before(t.at) {
		h.clear = t.at
	}
	h.clear = h.clear.Add(h.pace(t.at) / perHost)
	switch {
	case h.running < perHost:
		h.running++
		return begin
	case len(h.waiting) < min(maxWaiting, int(perHost*soonest/max(h.pace(t.at), 1))):
		h.waiting = append(h.waiting, t)
		return wait
	}
	return crowd
}

// delay is how long a task that found a crowd should stay away: until those
// before it are done, as far as one can tell.
func (l lines) delay(name string) time.Duration {
	return min(max(time.Until(l[name].clear), closest), farthest)
}

// next ends one task of a host and hands out the one that waits longest.
func (l lines) next(name string, took time.Duration) (t task, ok bool) {
	h := l[name]
	if h.took == 0 {
		h.took = took
	}
	h.took = max(1, (3*h.took+took)/4)
	if len(h.waiting) > 0 {
		t, h.waiting = h.waiting[0], h.waiting[1:]
		return t, true
	}
	if h.running--; h.running == 0 {
		delete(l, name)
	}
	return task{}, false
}

// clear takes out all that wait, to be given back.
func (l lines) clear() (list []jobstore.CallbackSettlement) {
	for _, h := range l {
		for _, t := range h.waiting {
			list = append(list, released(t.claim, 0))
		}
		h.waiting = nil
	}
	return list
}
