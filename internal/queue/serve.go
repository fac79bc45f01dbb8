package queue

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/job"
)

// NotifyChannel is the channel on which producers notify workers; the text is a queue's
// name, and behind a space the type of tickets that were put aside, if they were.
func (q *Queue) NotifyChannel() string { return q.prefix + ":ring" }

// A Server takes tickets, starts their jobs and hands them to a handler.
type Server struct {
	queue   *Queue
	store   *jobstore.Store
	types   atomic.Pointer[[]string] // served here
	takes   atomic.Pointer[[]string] // … and not paused
	paused  atomic.Pointer[map[string]bool]
	lanes   []*lane
	shares  []job.Share // of the queues that it serves; nil = all, alike
	version string      // of the program

	changing sync.Mutex // held while types or pauses change

	quiet   atomic.Bool
	changed chan struct{} // quiet was, or types
}

// A lane is what one dispatch loop works on.
type lane struct {
	name   job.Lane
	picker *picker
	slots  int
	freed  chan struct{} // a slot was

	mu   sync.Mutex
	busy int
}

const (
	// takeSize bounds one take: Redis does nothing else meanwhile.
	takeSize    = 128
	takeTimeout = 5 * time.Second
	// longestWait bounds one wait for a queue worth asking, so that a loop looks around.
	longestWait = time.Second
	// errorPause is how long a queue is left alone that couldn't be asked; doubled each time, to 3.2 s.
	errorPause = 200 * time.Millisecond
)

// NewServer returns a server of these types, with so many slots for each lane;
// a lane without slots is not served.
func (q *Queue) NewServer(store *jobstore.Store, types []string, slots map[job.Lane]int) *Server {
	s := &Server{queue: q, store: store, changed: make(chan struct{}, 1)}
	s.setTypes(types)
	for name, n := range slots {
		if n > 0 {
			s.lanes = append(s.lanes, &lane{name: name, picker: newPicker(q.names, name, nil), slots: n,
				freed: make(chan struct{}, 1)})
		}
	}
	return s
}

// SetShares has the server serve some queues, and no others. It is to be called before Run.
func (s *Server) SetShares(shares []job.Share) {
	if len(shares) == 0 {
		shares = nil
	}
	s.shares = shares
	for _, l := range s.lanes {
		l.picker = newPicker(s.queue.names, l.name, shares)
	}
}

// SetTypes makes the server take jobs of these types from now on. It may be called at
// any time; what was taken before is handled, whatever its type.
func (s *Server) SetTypes(types []string) {
	s.setTypes(types)
	s.Notify("") // tickets of a new type may have been put aside
	s.tellChange()
}

// setTypes notes which types are served, and takes those that are not paused.
func (s *Server) setTypes(types []string) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.types.Store(&types)
	takes := slices.Clone(types)
	if paused := s.paused.Load(); paused != nil {
		takes = slices.DeleteFunc(takes, func(typ string) bool { return (*paused)[typ] })
	}
	s.takes.Store(&takes)
}

// SetPaused has the server take no jobs of these types until it is told otherwise: their tickets are put
// aside, as those of types that aren't served.
func (s *Server) SetPaused(types map[string]bool) {
	if old := s.paused.Load(); maps.Equal(types, orNone(old)) {
		return
	}
	s.paused.Store(&types)
	s.setTypes(*s.types.Load())
	s.Notify("")
}

func orNone(m *map[string]bool) map[string]bool {
	if m == nil {
		return nil
	}
	return *m
}

// SetVersion says which release the process is of. It is to be called before Run.
func (s *Server) SetVersion(version string) { s.version = version }

// IsQuiet tells whether the server takes nothing more.
func (s *Server) IsQuiet() bool { return s.quiet.Load() }

// tellChange has the next sign of life given now.
func (s *Server) tellChange() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Notify wakes an idle loop. It is to be called for each message on
// NotifyChannel, and with "" after each connect.
func (s *Server) Notify(text string) {
	queue, typ, parked := strings.Cut(text, " ")
	if parked && !slices.Contains(*s.takes.Load(), typ) {
		return
	}
	at, part, named := jobstore.PlaceIn(s.queue.prefix, queue, s.queue.parts)
	for _, l := range s.lanes {
		if named { // perhaps nobody has heard of it before
			l.picker.add(s.queue.nameOf(at, part))
		}
		l.picker.notify(queue)
	}
}

// Quiet makes the server take nothing more, or take again. It may be called at
// any time.
func (s *Server) Quiet(quiet bool) {
	if s.quiet.Swap(quiet) == quiet {
		return
	}
	for _, l := range s.lanes {
		l.picker.setQuiet(quiet)
	}
	s.tellChange()
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
		l.picker.close()
	}
	wg.Wait()
	end()
	signs.Wait()
	return nil
}

// dispatch is the loop of one lane.
func (s *Server) dispatch(ctx, background context.Context, l *lane, wg *sync.WaitGroup,
	handle func(context.Context, jobstore.Claim)) {
	work, started := make(chan jobstore.Claim, l.slots), 0
	defer close(work)
	claimer := s.store.NewClaimer(nil)
	for {
		free := l.free(ctx)
		if free == 0 {
			return
		}
		from, heard := l.picker.pick(time.Now().Add(longestWait))
		if from == nil {
			continue
		}
		call, cancel := context.WithTimeout(background, takeTimeout)
		if look := l.picker.toLook(from); look != nil && s.queue.look(call, l.picker, look) {
			cancel()
			continue
		}
		claimer.Types = *s.takes.Load()
		claims, more, err := claimer.Claim(call, from.at, from.part, min(free, takeSize))
		cancel()
		if err != nil {
			l.picker.unasked(from)
			continue
		}
		l.picker.found(from, heard, more)
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

// look looks which of some queues have something, in one call; false: that can't be seen.
func (q *Queue) look(ctx context.Context, p *picker, at []looking) bool {
	pipe := q.rdb.Pipeline()
	cmds := make([]*redis.IntCmd, len(at))
	for i, l := range at {
		cmds[i] = pipe.Exists(ctx, l.keys+"pending", l.keys+"parked")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return false
	}
	for i, l := range at {
		p.found(l.source, l.heard, cmds[i].Val() > 0)
	}
	return true
}

// serve is one slot: a goroutine that stays, since the stack of a new one
// would have to grow for each job.
func (s *Server) serve(ctx context.Context, l *lane, work <-chan jobstore.Claim,
	handle func(context.Context, jobstore.Claim)) {
	for c := range work {
		handle(ctx, c)
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

// NotifyAll wakes the workers of all queues: what was held back may run. One that is lost costs a second.
func (q *Queue) NotifyAll(ctx context.Context) {
	for _, n := range q.all() {
		if err := q.rdb.Publish(ctx, q.NotifyChannel(), n.name).Err(); err != nil {
			q.log.DebugContext(ctx, "workers are not notified", "error", err)
			return
		}
	}
}
