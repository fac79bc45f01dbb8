package queue

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"longshore/job"
)

// A picker tells a lane which queue to ask for tickets, and when:
//
//   - the one that is most likely to have some, by the weights of the
//     priorities, and none that is known to be empty;
//   - with all queues empty it waits for a producer's notification;
//   - notifications may be lost (pub/sub), so each queue is asked once a second anyway;
//   - where there are many workers not all of them ask at once when a job comes, nor each of them once
//     a second: a thousand that did would keep Redis from all else;
//   - where there are queues beside the default one, those that seem empty are looked at in one call;
//   - one that can't be asked, since its part of a Cluster is away, is left alone for a while, and at most
//     every other ask goes to such a one.
//
// asynq v0.26.0 has nothing of the kind: it asks each queue in turn and then
// sleeps, half a second to one and a half by default (processor.go, rdb.Dequeue).
type picker struct {
	poll time.Duration // between asks of a queue thought to be empty
	wake chan struct{} // a notification, or the end

	mu      sync.Mutex
	closed  bool
	quiet   bool // nothing is worth asking
	crowd   int  // workers
	wasDue  bool // the last one was chosen for its time, not by weight
	sources []*source

	lane   job.Lane
	shares []job.Share // nil = all queues, alike
	usual  int         // so many sources the default queue has
}

type source struct {
	queueName
	rank   int // of its priority
	weight int // of its queue
	first  bool
	synced uint64 // heard, when it was last looked whether it is there still
	empty  bool
	heard  uint64    // notifications so far
	askAt  time.Time // when an empty queue is asked again
	failed int       // how often in a row it couldn't be asked
}

func newPicker(names []queueName, lane job.Lane, shares []job.Share) *picker {
	p := &picker{poll: time.Second, wake: make(chan struct{}, 1), lane: lane, shares: shares}
	for _, n := range names {
		p.add(n)
		if n.at.Lane == lane {
			p.usual++
		}
	}
	return p
}

// add has a list asked too, if it is one that is served.
func (p *picker) add(n queueName) {
	s := &source{queueName: n, rank: slices.Index(job.Priorities, n.at.Priority), weight: 1}
	if p.shares != nil {
		i := slices.IndexFunc(p.shares, func(share job.Share) bool { return share.Queue == n.at.Queue })
		if i < 0 {
			return
		}
		s.weight, s.first = p.shares[i].Weight, p.shares[i].First
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n.at.Lane == p.lane &&
		!slices.ContainsFunc(p.sources, func(s *source) bool { return s.name == n.name }) {
		s.empty = n.at.Queue != "" // it is looked at first, with the others that are new
		p.sources = append(p.sources, s)
		p.signal()
	}
}

// sync adds lists that there are now, and drops those that there are no more: empty ones of which nothing was
// heard since the last time.
func (p *picker) sync(names []queueName) {
	there := map[string]bool{}
	for _, n := range names {
		there[n.name] = true
		if n.at.Queue != "" {
			p.add(n)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sources = slices.DeleteFunc(p.sources, func(s *source) bool {
		gone := s.at.Queue != "" && !there[s.name] && s.empty && s.synced == s.heard+1
		s.synced = s.heard + 1 // 0 = never
		return gone
	})
}

// notify says that a queue has got tickets; "" stands for any, after a reconnect.
func (p *picker) notify(queue string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sources {
		if s.name == queue || queue == "" {
			s.heard++
			if spread := p.spread(4 * time.Millisecond); spread == 0 || !s.empty {
				s.empty = false
			} else if at := time.Now().Add(rand.N(spread)); at.Before(s.askAt) {
				s.askAt = at
			}
			p.signal()
		}
	}
}

// setCrowd says how many workers there are.
func (p *picker) setCrowd(workers int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.crowd = workers
	p.poll = min(time.Second+p.spread(15*time.Millisecond), mostPoll)
}

// fewWorkers are so many that all may ask at once.
const fewWorkers = 16

// mostPoll is how long an empty queue is left alone at most: so long a job may wait of which no
// notification came to those who serve its type, where they are some of very many.
const mostPoll = 5 * time.Second

// spread is how long the asks of all workers are spread over: some time each, that are more than a few. The
// first to ask has the job: the more there are the sooner, so nobody waits longer than for a few.
func (p *picker) spread(each time.Duration) time.Duration {
	return each / fewWorkers * time.Duration(max(p.crowd-fewWorkers, 0))
}

// looking is a queue that is looked at, and what was heard of it until then.
type looking struct {
	*source
	heard uint64
}

// toLook are the queues to be looked at before one is asked, with it all whose time comes soon; nil = it is
// to be asked at once. Those may well be empty, and a look costs Redis a tenth, and one call for all.
func (p *picker) toLook(from *source) (all []looking) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !from.empty || p.crowd <= fewWorkers && len(p.sources) <= p.usual {
		return nil
	}
	soon := time.Now().Add(p.poll / 4)
	for _, s := range p.sources {
		if s.empty && s.askAt.Before(soon) {
			all = append(all, looking{s, s.heard})
		}
	}
	return all
}

// setQuiet has pick return no queue, or again some.
func (p *picker) setQuiet(quiet bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quiet = quiet
	p.signal()
}

// close ends waiting for good.
func (p *picker) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.signal()
}

func (p *picker) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// pick returns a queue worth asking and how many notifications were heard so far. It waits for
// one until the deadline; nil = there is none, or the picker is closed. Only one
// loop may call it at a time.
func (p *picker) pick(deadline time.Time) (*source, uint64) {
	for {
		s, heard, until := p.choose(time.Now(), deadline)
		if s != nil || until.IsZero() {
			return s, heard
		}
		p.rest(time.Until(until))
	}
}

// rest waits for a notification or the end, no longer than d.
func (p *picker) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.wake:
	case <-timer.C:
	}
}

// choose draws among the queues that may have tickets: a priority by its weight, then one of that by the
// weights of queues, so that a priority counts as much however many queues there are. Without any it says
// until when to wait; zero = no longer.
func (p *picker) choose(now, deadline time.Time) (chosen *source, heard uint64, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !now.Before(deadline) {
		return nil, 0, time.Time{}
	}
	if p.quiet {
		return nil, 0, deadline
	}
	until = deadline
	first := slices.ContainsFunc(p.sources, func(s *source) bool { return s.first && !s.empty })
	var shares [8]int // what the queues of each priority weigh that may have tickets
	sum := 0
	var due *source
	for _, s := range p.sources {
		switch {
		case first && !s.first:
		case !s.empty:
			if shares[s.rank] == 0 {
				sum += s.at.Priority.Weight()
			}
			shares[s.rank] += s.weight
		case !now.Before(s.askAt):
			if due == nil || s.askAt.Before(due.askAt) {
				due = s
			}
		case s.askAt.Before(until):
			until = s.askAt
		}
	}
	if p.wasDue = due != nil && !(p.wasDue && sum > 0); p.wasDue {
		return due, due.heard, until
	}
	if sum == 0 {
		return nil, 0, until
	}
	s := p.draw(rand.IntN(sum), &shares, first)
	return s, s.heard, until
}

// draw is the n-th of what priorities weigh, and in it one by lot.
func (p *picker) draw(n int, shares *[8]int, first bool) *source {
	rank := 0
	for i, share := range shares {
		if share == 0 {
			continue
		}
		rank = i
		if n -= job.Priorities[i].Weight(); n < 0 {
			break
		}
	}
	n = rand.IntN(shares[rank])
	var last *source
	for _, s := range p.sources {
		if s.empty || s.rank != rank || first && !s.first {
			continue
		}
		if last = s; n < s.weight {
			break
		}
		n -= s.weight
	}
	return last
}

// found says whether a queue that was asked had tickets.
func (p *picker) found(s *source, heard uint64, tickets bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.empty = !tickets && s.heard == heard // a notification meanwhile: ask again
	s.askAt = time.Now().Add(p.poll)
	s.failed = 0
}

// unasked says that a queue could not be asked.
func (p *picker) unasked(s *source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.empty = true
	s.askAt = time.Now().Add(errorPause << min(s.failed, 4))
	s.failed++
}
