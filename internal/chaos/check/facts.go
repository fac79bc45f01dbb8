package check

import (
	"cmp"
	"slices"
	"strings"

	"longshore/internal/chaos/history"
)

const second = int64(1_000_000) // in the history's unit

// A window is the time in which a fault was on.
type window struct {
	from, to  int64
	way, proc string
	fault     history.Event
}

// facts is a history, sorted.
type facts struct {
	events   []history.Event // by time
	jobs     map[string][]history.Event
	acked    map[string]history.Event // by job, the first
	keys     map[string][]history.Event
	final    map[string]history.Event
	windows  []window
	settled  int64
	forgiven map[string]bool // jobs that a fault may take, by what is promised: see forgive
}

func gather(events []history.Event) *facts {
	f := &facts{events: slices.Clone(events), jobs: map[string][]history.Event{},
		acked: map[string]history.Event{}, keys: map[string][]history.Event{},
		final: map[string]history.Event{}, forgiven: map[string]bool{}}
	slices.SortStableFunc(f.events, func(a, b history.Event) int { return cmp.Compare(a.T, b.T) })
	open := map[string]int{}
	for _, e := range f.events {
		if e.Job != "" {
			f.jobs[e.Job] = append(f.jobs[e.Job], e)
		}
		switch e.Kind {
		case history.Ack:
			if _, ok := f.acked[e.Job]; !ok {
				f.acked[e.Job] = e
			}
			f.keys[e.Key] = append(f.keys[e.Key], e)
		case history.Final:
			f.final[e.Job] = e
		case history.Fault:
			open[e.Key] = len(f.windows)
			f.windows = append(f.windows, window{e.T, 1 << 62, e.Way, e.Proc, e})
		case history.Heal:
			if i, ok := open[e.Key]; ok {
				f.windows[i].to = e.T
			}
		case history.Settled:
			f.settled = e.T
		}
	}
	for _, w := range f.windows {
		f.forgive(w)
	}
	return f
}

// cutTail is for how long back a machine that loses its power may take acknowledged writes
// with it, where Redis syncs every second: Redis itself holds answers back after two.
const cutTail = 2*second + second/2

// forgive notes the jobs that a fault may take: all before Redis came back empty, and with
// appendfsync everysec those of the last two seconds before a loss of power.
func (f *facts) forgive(w window) {
	for id, events := range f.jobs {
		switch {
		case w.way == "redis.empty":
			f.forgiven[id] = f.forgiven[id] || events[0].T < w.to
		case w.way == "redis.power" && w.fault.Code == "everysec":
			f.forgiven[id] = f.forgiven[id] || slices.ContainsFunc(events, func(e history.Event) bool {
				return e.T > w.from-cutTail && e.T < w.to
			})
		}
		if !f.forgiven[id] {
			delete(f.forgiven, id)
		}
	}
}

// of returns a job's events of some kinds.
func (f *facts) of(job string, kinds ...history.Kind) (found []history.Event) {
	for _, e := range f.jobs[job] {
		if slices.Contains(kinds, e.Kind) {
			found = append(found, e)
		}
	}
	return found
}

// sorted lists the jobs that must keep every promise.
func (f *facts) sorted() (ids []string) {
	for id := range f.jobs {
		if !f.forgiven[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// touched tells whether a fault was on between two times, or had ended at most after before,
// that is not of the given kinds. A kind that ends in a dot has all below it.
func (f *facts) touched(from, to, after int64, but ...string) bool {
	return slices.ContainsFunc(f.windows, func(w window) bool {
		return w.from <= to && from <= saturate(w.to, after) && !of(w.way, but)
	})
}

func saturate(t, more int64) int64 { return min(t, 1<<61) + more }

// of tells whether a kind of fault is one of some.
func of(way string, kinds []string) bool {
	return slices.ContainsFunc(kinds, func(kind string) bool {
		return way == kind || strings.HasSuffix(kind, ".") && strings.HasPrefix(way, kind)
	})
}

// mostSlice is how many events a violation shows.
const mostSlice = 24

// slice sorts the events of a violation, and adds the faults that were on from the first to
// the last of them.
func (f *facts) slice(events []history.Event) []history.Event {
	if len(events) == 0 {
		return nil
	}
	byTime := func(a, b history.Event) int { return cmp.Compare(a.T, b.T) }
	events = slices.Clone(events)
	slices.SortStableFunc(events, byTime)
	if len(events) > mostSlice {
		events = append(events[:mostSlice/2], events[len(events)-mostSlice/2:]...)
	}
	first, last := events[0].T, events[len(events)-1].T
	for _, w := range f.windows {
		if w.from <= last && w.to >= first && len(events) < 2*mostSlice {
			events = append(events, w.fault)
		}
	}
	slices.SortStableFunc(events, byTime)
	return slices.CompactFunc(events, func(a, b history.Event) bool { return a == b })
}

// counts counts the faults.
func (f *facts) counts() (counts []FaultCount) {
	for _, w := range f.windows {
		i := slices.IndexFunc(counts, func(c FaultCount) bool { return c.Way == w.way })
		if i < 0 {
			i = len(counts)
			counts = append(counts, FaultCount{Way: w.way})
		}
		counts[i].Times++
		counts[i].Hits += w.fault.N
		if w.fault.N == 0 {
			counts[i].Missed++
		}
	}
	slices.SortFunc(counts, func(a, b FaultCount) int { return cmp.Compare(a.Way, b.Way) })
	return counts
}

// invalid says why a history is no evidence.
func (f *facts) invalid(faults []FaultCount) string {
	switch {
	case len(f.acked) == 0:
		return "no job was acknowledged"
	case f.settled == 0:
		return "the run was cut off before its faults were off"
	case len(faults) == 0:
		return "no fault struck"
	}
	for _, c := range faults {
		if c.Hits == 0 {
			return "no running work was hit by " + c.Way
		}
	}
	return ""
}
