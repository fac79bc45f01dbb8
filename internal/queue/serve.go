package queue

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"longshore/internal/batch"
	"longshore/internal/jobstore"
	"longshore/job"
)

// RingChannel is the channel on which producers ring; the text is a queue's
// name, and behind a space the type of tickets that were put aside, if they were.
func (q *Queue) RingChannel() string { return q.prefix + ":ring" }

// A Server takes tickets, starts their jobs and hands them to a handler.
type Server struct {
	queue *Queue
	store *jobstore.Store
	types []string
	lanes []*lane
	dones *batch.Batcher

	quiet   atomic.Bool
	changed chan struct{} // quiet was
	legacy  atomic.Bool   // workers are about that know nothing of parked tickets
	turn    atomic.Int64  // of takes
}

// A lane is what one dispatch loop works on.
type lane struct {
	name  job.Lane
	gate  *gate
	slots int
	freed chan struct{} // a slot was

	mu   sync.Mutex
	busy int
}

const (
	// takeSize bounds one take: Redis does nothing else meanwhile.
	takeSize    = 128
	takeTimeout = 5 * time.Second
	// longestWait bounds one wait at the gate, so that a loop looks around.
	longestWait = time.Second
	// errorPause is slept after a failed take.
	errorPause = 200 * time.Millisecond
)

// NewServer returns a server of these types, with so many slots for each lane;
// a lane without slots is not served.
func (q *Queue) NewServer(store *jobstore.Store, types []string, slots map[job.Lane]int) *Server {
	s := &Server{queue: q, store: store, types: types, dones: batch.New(q.rdb, doneScript, doneSize),
		changed: make(chan struct{}, 1)}
	for name, n := range slots {
		if n > 0 {
			s.lanes = append(s.lanes, &lane{name: name, gate: newGate(q.names, name), slots: n, freed: make(chan struct{}, 1)})
		}
	}
	return s
}

// Ring wakes an idle loop. It is to be called for each message on
// RingChannel, and with "" after each connect.
func (s *Server) Ring(text string) {
	queue, typ, parked := strings.Cut(text, " ")
	if parked && !slices.Contains(s.types, typ) {
		return
	}
	for _, l := range s.lanes {
		l.gate.ring(queue)
	}
}

// Quiet makes the server take nothing more, or take again. It may be called at
// any time.
func (s *Server) Quiet(quiet bool) {
	if s.quiet.Swap(quiet) == quiet {
		return
	}
	for _, l := range s.lanes {
		l.gate.setQuiet(quiet)
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run takes tickets and calls handle for each, as many at once as the lane has
// slots. When ctx ends it takes no more, waits
// until every handle has returned, and returns.
func (s *Server) Run(ctx context.Context, handle func(context.Context, jobstore.Claim)) error {
	// A job that was started while ctx ended is run: the call can't be taken back.
	background := context.WithoutCancel(ctx)
	var wg sync.WaitGroup
	// The signs of life outlast the last job: one that drains is still there.
	living, end := context.WithCancel(background)
	var signs sync.WaitGroup
	signs.Go(func() { s.alive(living, ctx.Done()) })
	for _, l := range s.lanes {
		wg.Go(func() { s.dispatch(ctx, background, l, &wg, handle) })
	}
	<-ctx.Done()
	for _, l := range s.lanes {
		l.gate.close()
	}
	wg.Wait()
	end()
	signs.Wait()
	return nil
}

// dispatch is the loop of one lane.
func (s *Server) dispatch(ctx, background context.Context, l *lane, wg *sync.WaitGroup, handle func(context.Context, jobstore.Claim)) {
	work, started := make(chan jobstore.Claim, l.slots), 0
	defer close(work)
	take := s.takeApart
	if s.store.Fused() {
		claimer := s.store.NewClaimer(s.types)
		take = func(ctx context.Context, from *source, n int, park bool) ([]jobstore.Claim, bool, error) {
			return claimer.Claim(ctx, from.lane, from.priority, n, park)
		}
	}
	for {
		free := l.free(ctx)
		if free == 0 {
			return
		}
		from, rings := l.gate.pick(time.Now().Add(longestWait))
		if from == nil {
			continue
		}
		call, cancel := context.WithTimeout(background, takeTimeout)
		claims, more, err := take(call, from, min(free, takeSize), !s.legacy.Load())
		cancel()
		if err != nil {
			l.gate.rest(errorPause)
			continue
		}
		l.gate.found(from, rings, more)
		l.take(len(claims))
		for _, c := range claims {
			if started < l.slots {
				started++
				wg.Go(func() { s.serve(background, l, work, handle) })
			}
			work <- c
		}
	}
}

// serve is one slot: a goroutine that stays, since the stack of a new one
// would have to grow for each job.
func (s *Server) serve(ctx context.Context, l *lane, work <-chan jobstore.Claim, handle func(context.Context, jobstore.Claim)) {
	for c := range work {
		handle(ctx, c)
		// Where they are one, the record's end is the ticket's too.
		if !s.store.Fused() || c.Err != nil {
			s.end(ctx, c.Ticket)
		}
		l.release()
	}
}

// free waits for free slots and returns their number; 0 = ctx has ended.
func (l *lane) free(ctx context.Context) int {
	for ctx.Err() == nil {
		l.mu.Lock()
		n := l.slots - l.busy
		l.mu.Unlock()
		if n > 0 {
			return n
		}
		select {
		case <-l.freed:
		case <-ctx.Done():
		}
	}
	return 0
}

func (l *lane) take(n int) {
	l.mu.Lock()
	l.busy += n
	l.mu.Unlock()
}

func (l *lane) release() {
	l.mu.Lock()
	l.busy--
	l.mu.Unlock()
	select {
	case l.freed <- struct{}{}:
	default:
	}
}
