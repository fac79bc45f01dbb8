package limits

import (
	"cmp"
	"context"
	"slices"
	"time"

	"longshore/internal/jobstore"
	"longshore/internal/queue"
	"longshore/job"
)

// seen is what waits, as far as limits need it.
type seen struct {
	queued map[jobstore.Kind]int64
	queues map[job.Place]*waiting
	totals map[group]int64 // reckoned so far
}

// waiting is what waits in a queue.
type waiting struct {
	tickets int64
	ages    map[string]time.Duration // of the oldest jobs that were looked at, by type
	parked  map[string]bool          // types that wait aside, and make nobody else wait
}

// see counts what some limits need, of the kinds that they may be for.
func (r *Room) see(ctx context.Context, limits []*limit, kinds []jobstore.Kind) (*seen, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s := &seen{queues: map[job.Place]*waiting{}, totals: map[group]int64{}}
	var wanted []jobstore.Kind
	for _, k := range kinds {
		if slices.ContainsFunc(limits, func(l *limit) bool { return l.spec.Depth > 0 && l.counts(k) }) {
			wanted = append(wanted, k)
		}
	}
	var err error
	if s.queued, err = r.Store.QueuedOf(ctx, wanted); err != nil {
		return nil, err
	}
	ages := slices.ContainsFunc(limits, func(l *limit) bool { return l.age > 0 })
	if !ages && !slices.ContainsFunc(limits, func(l *limit) bool { return l.spec.Match.Queue != "" }) {
		return s, nil
	}
	infos, err := r.Queue.Queues(ctx)
	if err != nil {
		return nil, err
	}
	for i := range infos {
		w := &waiting{tickets: infos[i].Pending, ages: map[string]time.Duration{}, parked: map[string]bool{}}
		for _, p := range infos[i].Parked {
			w.parked[p.Type] = true
		}
		s.queues[infos[i].Place] = w
	}
	if ages {
		err = r.seeAges(ctx, s, infos)
	}
	return s, err
}

func (r *Room) seeAges(ctx context.Context, s *seen, infos []queue.Info) error {
	var ids []job.ID
	for i := range infos {
		for _, t := range infos[i].Oldest {
			ids = append(ids, t.ID)
		}
	}
	waits, err := r.Store.Waits(ctx, ids)
	if err != nil {
		return err
	}
	for i := range infos {
		ages := s.queues[infos[i].Place].ages
		for range infos[i].Oldest {
			if w := waits[0]; w.Type != "" {
				ages[w.Type] = max(ages[w.Type], infos[i].At.Sub(w.Since))
			}
			waits = waits[1:]
		}
	}
	return nil
}

// oldest is how long the oldest job waits that stands in a queue's line, or of a type that waits aside.
func (s *seen) oldest(at job.Place, kind string) (age time.Duration) {
	w := s.queues[at]
	if w == nil {
		return 0
	}
	for of, waits := range w.ages {
		if !w.parked[of] || of == kind {
			age = max(age, waits)
		}
	}
	return age
}

// total is how many of a group wait. Of a limit of queues it is the smaller of what waits in them and of what
// waits of the kinds: no counter tells how many of a kind wait in a queue. Tickets of canceled
// jobs, which queues still have for a while, don't count by that.
func (s *seen) total(l *limit, g group) int64 {
	n, known := s.totals[g]
	if known {
		return n
	}
	for k, of := range s.queued {
		if l.counts(k) && g.has(k) {
			n += of
		}
	}
	if l.spec.Match.Queue != "" {
		tickets := int64(0)
		for at, w := range s.queues {
			if fits(l.spec.Match.Queue, at) {
				tickets += w.tickets
			}
		}
		n = min(n, tickets)
	}
	s.totals[g] = n
	return n
}

// fullest is how many wait of the group with the most.
func (s *seen) fullest(l *limit) (n int64) {
	for k := range s.queued {
		if l.counts(k) {
			n = max(n, s.total(l, l.group(k)))
		}
	}
	return n
}

// queueOr is a pattern of queues; all, where none is said.
func (l *limit) queueOr() string { return cmp.Or(l.spec.Match.Queue, "*") }
