package jobstore

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// The simulation drives the real scripts and the real sweeper in virtual time:
// workers and web processes as models of the protocol, asynq as a model with
// its known defects, and faults between all of them. One seed is one world.
//
// Times are in milliseconds. mono is the monotonic time of everybody; Redis's
// TIME is mono plus a skew that jumps.
type sim struct {
	rng    *rand.Rand
	mono   int64
	skew   int64
	events events
	seq    int

	rdb     redis.UniversalClient
	store   *Store
	queue   *modelQueue
	sweeper *Sweeper
	clock   string

	procs      []*proc
	jobs       map[job.ID]*simJob
	order      []job.ID
	files      []*simFile
	entered    map[string]int64 // when an upload's fence came into a record
	faults     bool
	stalled    int64 // Redis answers nobody before this
	lastJump   int64
	used       int // jobs that use files of others
	slots      int // of a worker
	swept      int64
	watched    int64 // how much time sweepers have seen: a long gap counts little
	jumped     int64 // … when Redis's time jumped last
	jumpedBy   int64 // how far, since the last sweep
	violations []string
	trace      []string
	rules      rules
}

// rules can be switched off, to see that the simulation notices.
type rules struct {
	noKillClock, noSweeper bool
	noShares               bool                // among suspects
	script                 func(string) string // edits the scripts
}

type event struct {
	at  int64
	seq int
	p   *proc
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

// A proc is one process. A paused one does nothing and loses nothing; a dead
// one does nothing more.
type proc struct {
	name   string
	worker bool
	dead   bool
	paused int64 // until
	cut    int64 // off from Redis, until
	free   int   // slots
	runs   []*simRun

	suspects *Suspects
}

type simJob struct {
	id            job.ID
	creator       *proc
	forbidOverlap bool
	acked         bool
	state         job.State
	rev           int64
	active        *simRun // the handler that runs now
	completed     map[string]bool
	canceledAt    int64 // when an accepted cancel met a job that had not ended
	failsLeft     int
	duration      int64
	exact         bool     // it works just so long, each time
	short         bool     // its retention is: it may be gone soon after its end
	gone          bool     // its record was
	dead          bool     // it ended before its input was whole
	owner         job.ID   // whose files it uses, "" = its own
	spec          Spec     // what it is to do, once it may run
	file          *simFile // that its input comes from; nil = none is sent
	callback      bool
	called        int // how often the receiver heard of its end
	settled       bool
	granted       int64 // watched time when its lease was last given or renewed
	capped        int64 // … when its cancel capped it, 0 = it has not
	poison        int64 // it ends its worker after this, 0 = never
	deaths        int   // … and has done so
	lostAt        int64 // when its run was lost, 0 = it was not, or runs again
	slowest       int64 // the longest that a lost run took to run again
}

type simRun struct {
	p       *proc
	j       *simJob
	t       job.Ticket
	fence   string
	began   bool
	stopped bool
	renewed int64  // send time of the last good renewal
	out     func() // of the suspects
}

const simLease = 8000

// noTickets stands in for the queue's Lua: create sends its ticket in the same
// script, as far as the record knows.
var noTickets = TicketLua{Create: "local function push() end\nlocal settle\n"}

func newSim(t testing.TB, rdb redis.UniversalClient, prefix string, seed uint64, r rules) *sim {
	clock := prefix + ":clock"
	s := &sim{rng: rand.New(rand.NewPCG(seed, 7)), rdb: rdb, clock: clock, jobs: map[job.ID]*simJob{}, entered: map[string]int64{}, faults: true, rules: r, slots: 3,
		mono: 1_700_000_000_000}
	tickets := TicketLua{}
	if seed%2 == 1 { // creation believes that its ticket can hardly be lost
		tickets = noTickets
	}
	s.store = New(rdb, Config{Prefix: prefix, clockKey: clock, Tickets: tickets})
	if r.script != nil {
		now := fmt.Sprintf("return tonumber(redis.call('GET', '%s'))", clock)
		left := false
		s.store.load(words{prefix: prefix, now: now, tickets: tickets, edit: func(src string) string {
			edited := r.script(src)
			left = left || edited != src
			return edited
		}})
		if !left {
			t.Fatal("the rule that is to be left out is in no script")
		}
	}
	s.queue = &modelQueue{s: s, tasks: map[string]*modelTask{}}
	s.sweeper = &Sweeper{Store: s.store, Tickets: s.queue, Log: slog.New(slog.DiscardHandler)}
	return s
}

func (s *sim) say(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%9.3f ", float64(s.mono-1_700_000_000_000)/1000)+fmt.Sprintf(format, args...))
}

func (s *sim) violate(format string, args ...any) {
	s.say("VIOLATION "+format, args...)
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
}

// after runs do in process p, d later; while the process is paused it waits.
func (s *sim) after(p *proc, d int64, do func()) {
	s.seq++
	heap.Push(&s.events, event{s.mono + d, s.seq, p, do})
}

func (s *sim) chance(percent float64) bool { return s.faults && s.rng.Float64()*100 < percent }

func (s *sim) step() bool {
	if len(s.events) == 0 {
		return false
	}
	e := heap.Pop(&s.events).(event)
	s.mono = max(s.mono, e.at)
	switch {
	case e.p == nil:
		e.do()
	case e.p.dead:
	case e.p.paused > s.mono:
		s.after(e.p, e.p.paused-s.mono, e.do)
	default:
		e.do()
	}
	return true
}

// redis runs a script call now, at Redis's own time.
func (s *sim) redis(do func(context.Context)) {
	ctx := context.Background()
	s.rdb.Set(ctx, s.clock, strconv.FormatInt(s.mono+s.skew, 10), 0)
	do(ctx)
}

var errNoAnswer = errors.New("no answer")

const patience = 3000

// rpc is one call of a process to Redis, with all that can happen to it.
func (s *sim) rpc(p *proc, do func(context.Context) error, reply func(error)) {
	there, back := 1+s.rng.Int64N(3), 1+s.rng.Int64N(3)
	if s.chance(3) {
		there += s.rng.Int64N(8000) // late
	}
	if p.cut > s.mono || s.chance(1) {
		s.after(p, patience, func() { reply(errNoAnswer) })
		return
	}
	if wait := s.stalled - s.mono; wait > 0 {
		there += wait
	}
	lostReply := s.chance(2)
	doubled := s.chance(2)
	if there+back > patience {
		s.after(p, patience, func() { reply(errNoAnswer) })
	}
	s.after(nil, there, func() {
		var err error
		s.redis(func(ctx context.Context) { err = do(ctx) })
		if doubled {
			s.after(nil, s.rng.Int64N(5000), func() { s.redis(func(ctx context.Context) { do(ctx) }) })
		}
		switch {
		case there+back > patience:
		case lostReply:
			s.after(p, patience-there, func() { reply(errNoAnswer) })
		default:
			s.after(p, back, func() { reply(err) })
		}
	})
}

// ask repeats a call until it is answered.
func (s *sim) ask(p *proc, do func(context.Context) error, answered func(error)) {
	pause := int64(50)
	var try func()
	try = func() {
		s.rpc(p, do, func(err error) {
			if errors.Is(err, errNoAnswer) {
				s.after(p, pause, try)
				pause = min(2*pause, 1000)
				return
			}
			answered(err)
		})
	}
	try()
}

// observe holds what a record may do: legal moves, a growing rev, no way back
// from the end, and success only with a completed run's fence.
func (s *sim) observe(j *simJob) {
	m, err := s.moving(j.id)
	if err != nil {
		j.gone = errors.Is(err, redis.Nil) && j.short && j.state != ""
		return
	}
	state, rev := m.state, m.rev
	if rev < j.rev {
		s.violate("%s: rev went back from %d to %d", j.id, j.rev, rev)
	}
	if j.dead && state == job.Uploading && j.file.id == j.id {
		s.say("%s is made anew", j.id[30:])
		j.state, j.dead = "", false
	}
	if j.state.Terminal() && (state != j.state || rev != j.rev) {
		s.violate("%s: changed after its end, %s/%d to %s/%d", j.id, j.state, j.rev, state, rev)
	}
	if j.owner != "" && !state.Terminal() && s.rdb.Exists(context.Background(), s.store.key(j.owner)).Val() == 0 {
		s.violate("%s: is %s and the files that it uses are gone", j.id, state)
	}
	if state != j.state {
		s.say("%s %s → %s (rev %d)", j.id[30:], j.state, state, rev)
		if state == job.Succeeded && !j.completed[m.last] {
			s.violate("%s: succeeded without a completed run of fence %s", j.id, m.last)
		}
		if state.Terminal() && state != job.Canceled && j.canceledAt > 0 {
			s.violate("%s: ended as %s after an accepted cancel", j.id, state)
		}
	}
	if j.state == job.Running && state == job.Queued {
		j.lostAt = s.mono
	}
	if state == job.Running && j.lostAt > 0 {
		j.slowest, j.lostAt = max(j.slowest, s.mono-j.lostAt), 0
	}
	j.state, j.rev, j.dead = state, rev, j.file != nil && state == job.Failed && m.started == 0
}

func (s *sim) observeAll() {
	for _, id := range s.order {
		s.observe(s.jobs[id])
	}
}

// moving reads what a record's moves have changed.
func (s *sim) moving(id job.ID) (moving, error) {
	packed, err := s.rdb.HGet(context.Background(), s.store.key(id), "m").Result()
	if err != nil {
		return moving{}, err
	}
	return parseMoving(packed)
}

// A modelQueue is asynq as it is known to behave (docs/decisions.md): a ticket
// whose worker died stays active until a recovery a minute or two later, some
// are stranded for good, and a finished one may come back.
type modelQueue struct {
	s       *sim
	pending []string // head first
	tasks   map[string]*modelTask
}

type modelTask struct {
	t     job.Ticket
	state TicketState
}

func ticketName(t job.Ticket) string { return string(t.ID) + "." + strconv.FormatInt(t.Delivery, 10) }

var errCrash = errors.New("process died here")

func (q *modelQueue) enqueue(tickets []job.Ticket, head bool) error {
	for _, t := range tickets {
		if q.s.chance(5) {
			return errCrash // the rest is never sent
		}
		name := ticketName(t)
		if q.tasks[name] != nil {
			continue
		}
		q.tasks[name] = &modelTask{t, TicketPending}
		if head {
			q.pending = append([]string{name}, q.pending...)
		} else {
			q.pending = append(q.pending, name)
		}
	}
	return nil
}

func (q *modelQueue) Enqueue(_ context.Context, tickets []job.Ticket) error {
	return q.enqueue(tickets, false)
}

func (q *modelQueue) EnqueueHead(_ context.Context, tickets []job.Ticket) error {
	return q.enqueue(tickets, true)
}

func (q *modelQueue) Look(_ context.Context, tickets []job.Ticket) ([]TicketState, error) {
	states := make([]TicketState, len(tickets))
	for i, t := range tickets {
		states[i] = TicketAbsent
		if task := q.tasks[ticketName(t)]; task != nil {
			states[i] = task.state
		}
	}
	return states, nil
}

func (q *modelQueue) Active(context.Context) ([]job.Ticket, error) {
	var active []job.Ticket
	for _, name := range slices.Sorted(maps.Keys(q.tasks)) {
		if task := q.tasks[name]; task.state == TicketActive {
			t := task.t
			t.Type = ""
			active = append(active, t)
		}
	}
	return active, nil
}

func (q *modelQueue) Discard(_ context.Context, tickets []job.Ticket) error {
	for _, t := range tickets {
		if q.s.chance(5) {
			return errCrash
		}
		delete(q.tasks, ticketName(t))
	}
	return nil
}

// pop hands a ticket to a process.
func (q *modelQueue) pop() (job.Ticket, bool) {
	for len(q.pending) > 0 {
		name := q.pending[0]
		q.pending = q.pending[1:]
		if task := q.tasks[name]; task != nil { // an id without its task is thrown away
			task.state = TicketActive
			return task.t, true
		}
	}
	return job.Ticket{}, false
}

// lose is an outside hand that deletes a ticket.
func (q *modelQueue) lose() {
	if n := len(q.pending); n > 0 {
		delete(q.tasks, q.pending[q.s.rng.IntN(n)])
		q.s.say("fault: a ticket deleted")
	}
}

// done is asynq's completion; sometimes it fails and the ticket comes back late.
func (q *modelQueue) done(t job.Ticket) {
	if q.s.chance(5) {
		q.orphan(t)
		return
	}
	delete(q.tasks, ticketName(t))
}

// orphan is a ticket that nobody works on any more and asynq thinks active.
func (q *modelQueue) orphan(t job.Ticket) {
	name := ticketName(t)
	if q.s.chance(20) {
		return // stranded for good
	}
	q.s.after(nil, 60_000+q.s.rng.Int64N(60_000), func() {
		task := q.tasks[name]
		if task == nil || task.state != TicketActive {
			return
		}
		task.state = TicketOther // asynq's retry set
		q.s.after(nil, q.s.rng.Int64N(5000), func() {
			if q.tasks[name] == task {
				task.state = TicketPending
				q.pending = append(q.pending, name)
			}
		})
	})
}

// report is what a failed seed prints: the end of the story of the job concerned.
func (s *sim) report() string {
	var about string
	if len(s.violations) > 0 && len(s.violations[0]) > 36 {
		about = s.violations[0][30:36]
	}
	var lines []string
	for _, line := range s.trace {
		if strings.Contains(line, about) || strings.Contains(line, "fault") {
			lines = append(lines, line)
		}
	}
	return strings.Join(s.violations, "\n") + "\n" + strings.Join(lines[max(0, len(lines)-60):], "\n")
}
