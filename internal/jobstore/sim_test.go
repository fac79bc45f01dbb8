package jobstore

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis/redistest"
	"longshore/internal/redisdb"
	"longshore/job"
)

// The simulation drives the real scripts and the real sweeper in virtual time:
// workers and web processes as models of the protocol, and faults between all of them,
// hands that take tickets away among these. One seed is one world.
//
// Times are in milliseconds. mono is the monotonic time of everybody; Redis's
// TIME is mono plus a skew that jumps.
type sim struct {
	rng    *rand.Rand
	ids    *rand.Rand // draws ids: a seed is one world, on any partitions
	queues *rand.Rand // draws queues; nil = there is the default one alone
	mono   int64
	skew   int64
	turned int64 // what Redis's TIME was set to
	events events
	seq    int

	rdb     redis.UniversalClient
	store   *Store
	sweeper *Sweeper

	procs      []*proc
	jobs       map[job.ID]*simJob
	order      []job.ID
	files      []*simFile
	batch      *simBatch
	entered    map[string]int64 // when an upload's fence came into a record
	faults     bool
	stalled    int64 // Redis answers nobody before this
	lastJump   int64
	used       int  // jobs that use files of others
	waited     int  // jobs that are after others, or held
	limited    int  // jobs with limits
	changes    bool // jobs are changed while they wait
	changed    int
	paced      []simStart
	pacedSince int64 // lastJump when the first of these was noted
	slots      int   // of a worker
	swept      int64
	watched    int64 // how much time sweepers have seen: a long gap counts little
	jumped     int64 // … when Redis's time jumped last
	jumpedBy   int64 // how far, since the last sweep
	violations []string
	trace      []string
	rules      rules
	strangers  *strangers // nil = nobody enqueues into our queues
}

// rules can be switched off, to see that the simulation notices.
type rules struct {
	noKillClock, noSweeper bool
	split                  bool                // nothing happens but that processes are cut off, or paused
	quiet                  bool                // nothing fails but a call now and then: no run may be lost
	noShares               bool                // among suspects
	calm                   int64               // how long a world may go on after its faults; 0 = 400,000
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
	spared int64 // in a quiet world none of its calls fails, until
	dull   bool  // … nor this call, which can bring nothing
	free   int   // slots
	runs   []*simRun

	claimer *Claimer
	taking  bool

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
	exact         bool // it works just so long, each time
	short         bool // its retention is: it may be gone soon after its end
	gone          bool // its record was
	after         []*simJob
	classes       []string // of limits
	member        bool     // of the batch
	paced         string   // fence of the last start that counted for a rate
	anyway, held  bool     // whatever becomes of those; it is held
	freed         bool     // it is not held any more, for certain
	entered       bool     // at all of these, for certain
	free          int64    // watched time since when it waited for nothing; 0 = it doesn't
	dead          bool     // it ended before its input was whole
	owner         job.ID   // whose files it uses, "" = its own
	spec          Spec     // what it is to do, once it may run
	file          *simFile // that its input comes from; nil = none is sent
	callback      bool
	called        int // how often the receiver heard of its end
	settled       bool
	granted       int64  // watched time when its lease was last given or renewed
	capped        int64  // … when its cancel capped it, 0 = it has not
	poison        int64  // it ends its worker after this, 0 = never
	deaths        int    // … and has done so
	lostAt        int64  // when its run was lost, 0 = it was not, or runs again
	echo          func() // in a quiet world: the call that started it, once more
	notBefore     int64  // Redis's time that a change has given it; 0 = none
	slowest       int64  // the longest that a lost run took to run again
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

func newSim(t testing.TB, rdb redis.UniversalClient, prefix string, seed uint64, r rules) *sim {
	s := &sim{rng: rand.New(rand.NewPCG(seed, 7)), ids: rand.New(rand.NewPCG(seed, 8)), rdb: rdb,
		jobs:    map[job.ID]*simJob{},
		entered: map[string]int64{}, faults: true, rules: r, slots: 3, mono: 1_700_000_000_000}
	if s.changes = seed%8 == 0; s.changes {
		s.slots = 1 // so that there is a queue
	}
	if seed%10 == 7 || seed == 8 {
		s.queues = rand.New(rand.NewPCG(seed, 9))
	}
	if seed%10 == 9 {
		s.strangers = &strangers{rng: rand.New(rand.NewPCG(seed, 10))}
	}
	parts := 1
	if seed%8 == 7 {
		parts = 16
	}
	s.store = New(rdb, Config{Prefix: prefix, Turned: true, Partitions: parts})
	if r.script != nil {
		left := false
		s.store.load(words{prefix: prefix, now: turnedTime, parts: parts, edit: func(src string) string {
			edited := r.script(src)
			left = left || edited != src
			return edited
		}})
		if !left {
			t.Fatal("the rule that is to be left out is in no script")
		}
	}
	s.sweeper = &Sweeper{Store: s.store, Log: slog.New(lossLog{s})}
	return s
}

// patient is a client that waits for a busy machine: that of programs refuses all calls for as long as Redis
// hangs, while a simulation's time runs on.
func patient(t testing.TB) redis.UniversalClient {
	o, err := redis.ParseURL(redistest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	o.ReadTimeout, o.PoolTimeout, o.PoolSize = time.Minute, time.Minute, 4
	rdb := redis.NewClient(o)
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func (s *sim) say(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%9.3f ", float64(s.mono-1_700_000_000_000)/1000)+
		fmt.Sprintf(format, args...))
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
	if now := s.mono + s.skew; now != s.turned && s.store.turn(ctx, now) == nil {
		s.turned = now // else it is the time that the last call saw
	}
	do(ctx)
}

var errNoAnswer = errors.New("no answer")

const patience = 3000

// rpc is one call of a process to Redis, with all that can happen to it.
func (s *sim) rpc(p *proc, do func(context.Context) error, reply func(error)) {
	there, back := 1+s.rng.Int64N(3), 1+s.rng.Int64N(3)
	may := func(percent float64) bool {
		if !s.rules.quiet {
			return s.chance(percent)
		}
		fails := s.mono >= p.spared && !p.dull && s.chance(8*percent)
		if fails {
			p.spared = s.mono + simLease
		}
		return fails
	}
	if may(3) {
		most := int64(8000)
		if s.rules.quiet {
			most = patience - 1000
		}
		there += s.rng.Int64N(most) // late
	}
	if p.cut > s.mono || may(1) {
		s.after(p, patience, func() { reply(errNoAnswer) })
		return
	}
	if wait := s.stalled - s.mono; wait > 0 {
		there += wait
	}
	lostReply := may(2)
	doubled := may(2)
	if there+back > patience {
		s.after(p, patience, func() { reply(errNoAnswer) })
	}
	s.after(nil, there, func() {
		var err error
		s.redis(func(ctx context.Context) { err = s.answered(do(ctx)) })
		if doubled {
			s.after(nil, s.rng.Int64N(5000), func() {
				s.redis(func(ctx context.Context) { s.answered(do(ctx)) })
			})
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

// answered tells apart what the real Redis does on a busy machine: a call that it didn't answer
// may have changed something, and what that did to leases is not told here.
func (s *sim) answered(err error) error {
	if !redisdb.Unavailable(err) {
		return err
	}
	s.say("fault: no answer from the real Redis: %v", err)
	s.forgive(s.watched)
	return errNoAnswer
}

// forgive counts the time of all leases from now on.
func (s *sim) forgive(now int64) {
	for _, j := range s.jobs {
		j.granted = now
		if j.capped > 0 {
			j.capped = now
		}
	}
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
	if j.owner != "" && !state.Terminal() && s.rdb.Exists(context.Background(), s.store.key(j.owner)).
		Val() == 0 {
		s.violate("%s: is %s and the files that it uses are gone", j.id, state)
	}
	if state != j.state {
		s.say("%s %s → %s (rev %d)", j.id[30:], j.state, state, rev)
		if state == job.Succeeded && !j.completed[writeFence(m.ended)] {
			s.violate("%s: succeeded without a completed run of fence %s", j.id, writeFence(m.ended))
		}
		if state.Terminal() && state != job.Canceled && j.canceledAt > 0 {
			s.violate("%s: ended as %s after an accepted cancel", j.id, state)
		}
	}
	s.judgeOrder(j, state)
	if state == job.Queued && j.state == job.Scheduled {
		j.notBefore = 0 // it was due, and TIME may go back before it starts
	}
	if state == job.Running && j.state != job.Running {
		if m.started < j.notBefore {
			s.violate("%s: started %d ms before its time", j.id, j.notBefore-m.started)
		}
		j.notBefore = 0
	}
	s.judgeRate(j, m)
	if state == job.Running && j.state != job.Running && len(j.classes) > 0 {
		s.judgeSlots(j)
	}
	if state == job.Queued && j.state != job.Queued && j.echo != nil {
		s.after(nil, 0, j.echo) // a call that comes twice, at the worst time
		j.echo = nil
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
func (s *sim) moving(id job.ID) (record, error) {
	core, err := s.rdb.Get(context.Background(), s.store.key(id)).Result()
	if err != nil {
		return record{}, err
	}
	return parseRecord(core)
}

// lose is an outside hand that takes all tickets of a queue away.
func (s *sim) lose() {
	ctx := context.Background()
	part := s.rng.IntN(len(s.store.bases))
	for _, queue := range []string{"cpu-default", "io-default"} {
		keys := s.store.keysOf(queue, part)
		if s.rng.IntN(2) == 0 {
			s.say("fault: %d tickets deleted", s.store.deleteAll(ctx, keys))
		} else {
			s.say("fault: %d tickets archived", s.store.archiveAll(ctx, keys))
		}
	}
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
