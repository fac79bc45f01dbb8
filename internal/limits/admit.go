package limits

import (
	"context"
	"fmt"
	"slices"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/job"
)

// held is jobs of a group that were let in here, and may not be counted yet.
type held struct {
	open int64            // whose records are being made
	made map[uint64]int64 // whose records have been made since look n began
}

// remembered is how many looks back held knows: who judges by an older one looks again.
const remembered = 8

// not is how many of them a look may not have seen.
func (h *held) not(number uint64) (n int64) {
	if h == nil {
		return 0
	}
	n = h.open
	for since, made := range h.made {
		if since >= number {
			n += made
		}
	}
	return n
}

// Any reports whether there are limits of what waits.
func (r *Room) Any(ctx context.Context) bool {
	return slices.ContainsFunc(r.current(ctx), (*limit).waits)
}

// Admit judges new jobs, in their order: errs is nil if all may come in, else it has why the others may not,
// each an *httpapi.Error with code queue_full. done must be called when the records have been made, or
// weren't. A retry by hand is always let in.
func (r *Room) Admit(ctx context.Context, jobs []jobstore.NewJob) (errs []error, done func()) {
	limits := r.current(ctx)
	if len(limits) == 0 {
		return nil, func() {}
	}
	bound := make([][]*limit, len(jobs))
	any := false
	for i := range jobs {
		if jobs[i].RetryOf != "" {
			continue
		}
		for _, l := range limits {
			if l.waits() && l.binds(&jobs[i]) {
				bound[i], any = append(bound[i], l), true
			}
		}
	}
	if !any {
		return nil, func() {}
	}
	r.mention(jobs)
	for {
		now, err := r.look(ctx)
		if err != nil {
			return nil, func() {} // Redis is in trouble, or who asked is gone: making the jobs tells
		}
		r.mu.Lock()
		if now.number+remembered <= r.begun {
			r.mu.Unlock()
			continue
		}
		errs, taken := r.judge(now, jobs, bound)
		r.mu.Unlock()
		return errs, func() { r.made(taken) }
	}
}

// mention lets looks see the kinds of new jobs, of which there may be none yet.
func (r *Room) mention(jobs []jobstore.NewJob) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range jobs {
		r.kinds[jobstore.Kind{Tenant: jobs[i].Owner.Of(), Type: jobs[i].Type}] = true
	}
}

// judge holds back room for the jobs that it lets in. The caller holds the lock.
func (r *Room) judge(now *look, jobs []jobstore.NewJob, bound [][]*limit) (errs []error,
	taken map[group]int64) {
	taken = map[group]int64{}
	for i := range jobs {
		kind := jobstore.Kind{Tenant: jobs[i].Owner.Of(), Type: jobs[i].Type}
		err := r.refusal(now, &jobs[i], kind, bound[i])
		if err != nil {
			if errs == nil {
				errs = make([]error, len(jobs))
			}
			errs[i] = err
			continue
		}
		for _, l := range bound[i] {
			if l.spec.Depth == 0 {
				continue
			}
			g := l.group(kind)
			if r.held[g] == nil {
				r.held[g] = &held{made: map[uint64]int64{}}
			}
			r.held[g].open++
			taken[g]++
		}
	}
	return errs, taken
}

// refusal says why a job may not come in; nil: it may.
func (r *Room) refusal(now *look, n *jobstore.NewJob, kind jobstore.Kind, bound []*limit) error {
	for _, l := range bound {
		g := l.group(kind)
		if l.spec.Depth > 0 {
			waiting := now.total(l, g) + r.held[g].not(now.number)
			if over := waiting - l.spec.Depth + 1; over > 0 {
				r.refused[g]++
				return full(fmt.Sprintf("as many jobs wait as may, %d (limit %s)", l.spec.Depth, l.name),
					r.drained.wait(l, g, over+r.refused[g]))
			}
		}
		if l.age > 0 {
			age := now.oldest(n.Place(), n.Type)
			if age > l.age {
				r.refused[g]++
				// For the oldest to be as young as it may, those must go that are older.
				all := now.queues[n.Place()].tickets
				older := int64(float64(all) * (1 - l.age.Seconds()/age.Seconds()))
				return full(fmt.Sprintf("the oldest job of its queue waits for longer than %s (limit %s)",
					httpapi.FormatDuration(l.age), l.name), r.drained.wait(l, g, older+r.refused[g]))
			}
		}
	}
	return nil
}

func full(why string, after time.Duration) *httpapi.Error {
	return httpapi.NewError(httpapi.QueueFull, why+", try again later").WithRetryAfter(after)
}

// made notes that the records of jobs that were let in are there, or will not be: the next look sees them.
func (r *Room) made(taken map[group]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for g, n := range taken {
		h := r.held[g]
		if h == nil { // its limit is gone
			continue
		}
		h.open -= n
		h.made[r.begun] += n
		for since := range h.made {
			if since+remembered < r.begun {
				delete(h.made, since)
			}
		}
		if h.open == 0 && len(h.made) == 0 {
			delete(r.held, g)
		}
	}
}

// Bounds of Retry-After.
const (
	soonest = time.Second
	latest  = 60 * time.Second
	// unsure is what is said while nothing was measured, and idle while nothing goes.
	unsure = 5 * time.Second
	idle   = 30 * time.Second
)

// drains is how fast kinds are worked off.
type drains struct {
	samples []drain // oldest first
}

// A drain is what had left the queues at one moment, of each kind, and what ran in them.
type drain struct {
	at      time.Time
	left    map[jobstore.Kind]int64
	running map[job.Place]int64
}

// sampled is how long samples are kept, one each sampleEvery.
const (
	sampleEvery = time.Second
	sampled     = 15
)

// wait is how long it takes until n jobs of a group have left, as fast as they lately did.
func (d *drains) wait(l *limit, g group, n int64) time.Duration {
	rate, known := d.rate(l, g)
	switch {
	case !known:
		return unsure
	case rate <= 0:
		return idle
	}
	after := time.Duration(float64(max(n, 1)) / rate * float64(time.Second))
	return max(soonest, min(after, latest)).Round(time.Second)
}

// rate is how many jobs of a group leave in a second. Of a limit of queues it is their share of all, by what
// runs in them: no counter tells it of a queue.
func (d *drains) rate(l *limit, g group) (perSecond float64, known bool) {
	if len(d.samples) < 2 {
		return 0, false
	}
	first, last := &d.samples[0], &d.samples[len(d.samples)-1]
	n := int64(0)
	for k, left := range last.left {
		if before, ok := first.left[k]; l.counts(k) && g.has(k) && (ok || left > 0) {
			n += max(left-before, 0)
		}
	}
	share := 1.0
	if l.spec.Match.Queue != "" {
		ours, all := int64(0), int64(0)
		for i := range d.samples {
			for at, running := range d.samples[i].running {
				all += running
				if fits(l.spec.Match.Queue, at) {
					ours += running
				}
			}
		}
		if all > 0 {
			share = float64(ours) / float64(all)
		}
	}
	return share * float64(n) / last.at.Sub(first.at).Seconds(), true
}

// sample measures once.
func (r *Room) sample(ctx context.Context) error {
	r.mu.Lock()
	n := len(r.drained.samples)
	early := n > 0 && time.Since(r.drained.samples[n-1].at) < sampleEvery*9/10
	r.mu.Unlock()
	if early {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	all, err := r.Store.TotalsByTenant(ctx)
	if err != nil {
		return err
	}
	running, err := r.Store.RunningIn(ctx)
	if err != nil {
		return err
	}
	d := drain{at: time.Now(), left: map[jobstore.Kind]int64{}, running: running}
	for i := range all {
		t := &all[i]
		left := t.Counts[job.Running] + t.Counts[job.Retrying]
		for _, n := range t.Ended {
			left += n
		}
		d.left[jobstore.Kind{Tenant: t.Tenant, Type: t.Type}] = left
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drained.samples = append(r.drained.samples, d)
	if n := len(r.drained.samples); n > sampled {
		r.drained.samples = r.drained.samples[n-sampled:]
	}
	clear(r.refused)
	for k := range d.left {
		r.kinds[k] = true
	}
	return nil
}
