package schedules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
)

// The simulation drives real rooms and the real scripts in virtual time: calls that are lost, or whose
// answers
// are, processes that stop for minutes between what they read and what they write, or die there,
// a clock that is set, people who change, pause and remove schedules meanwhile. One seed is one world.
type world struct {
	testing.TB
	rng     *rand.Rand
	rdb     *redis.Client
	prefix  string
	edit    func(string) string
	catalog *tasks.Catalog
	now     time.Time
	calm    bool // nothing fails any more
	procs   []*process
	desk    *Room // of people, whose calls don't fail
	store   *jobstore.Store

	of         map[string]*simSchedule
	violations []string
}

// A process is one room, whose calls fail.
type process struct {
	*world
	room    *Room
	sweeper *jobstore.Sweeper
	held    chan struct{} // closed: the round that stands still goes on
	resting chan struct{} // it stands still
	ended   chan error    // its round has
	killed  bool
	one     sync.Mutex
}

// A simSchedule is what is known of one for certain.
type simSchedule struct {
	name   string
	period time.Duration
	number int       // of the newest change that was acknowledged
	paused bool      // likewise
	gone   bool      // likewise
	next   time.Time // as it was seen last
	set    bool      // the clock was set back since
	from   time.Time // where the ticks of this revision begin; all up to next must have their jobs
	jobs   map[string]job.ID
	seen   map[job.ID]bool // that are there
	left   map[job.ID]bool // that were removed
}

// faults is a hook on a process's calls.
type faults struct{ p *process }

func (f faults) DialHook(next redis.DialHook) redis.DialHook { return next }
func (f faults) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (f faults) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		p := f.p
		switch cmd.Name() {
		case "hello", "client", "auth", "select": // within another call, which opens a connection
			return next(ctx, cmd)
		}
		p.one.Lock() // calls of several partitions at once would not be one world
		defer p.one.Unlock()
		if p.calm {
			return next(ctx, cmd)
		}
		lost := &net.OpError{Op: "read", Err: errors.New("simulated")}
		if tick := strings.HasPrefix(cmd.Name(), "eval") && len(cmd.Args()) >= 35; tick &&
			p.rng.IntN(4) == 0 {
			held := p.held // before the other side may make the next one
			p.resting <- struct{}{}
			<-held
			if p.killed {
				cmd.SetErr(lost)
				return lost
			}
		}
		switch p.rng.IntN(12) {
		case 0: // it never came
			cmd.SetErr(lost)
			return lost
		case 1: // its answer didn't
			_ = next(ctx, cmd)
			cmd.SetErr(lost)
			return lost
		}
		return next(ctx, cmd)
	}
}

func newWorld(t testing.TB, rdb *redis.Client, catalog *tasks.Catalog, prefix string, seed uint64,
	edit func(string) string) *world {
	w := &world{TB: t, rng: rand.New(rand.NewPCG(seed, 3)), rdb: rdb, prefix: prefix, edit: edit,
		catalog: catalog,
		now:     time.UnixMilli(1_800_000_000_000).UTC(), of: map[string]*simSchedule{}}
	parts := 1
	if seed%8 == 7 {
		parts = 16
	}
	w.store = w.storeOn(rdb, parts)
	w.desk = w.roomOn(w.store)
	for range 3 {
		w.procs = append(w.procs, w.process(parts))
	}
	return w
}

func (w *world) storeOn(rdb *redis.Client, parts int) *jobstore.Store {
	return jobstore.New(rdb, jobstore.Config{Prefix: w.prefix, Turned: true,
		Partitions: parts,
		Edit:       w.edit})
}

func (w *world) roomOn(store *jobstore.Store) *Room {
	log := slog.New(slog.DiscardHandler)
	return New(Config{Store: store, Log: log, Submitter: submit.NewSubmitter(submit.Config{Store: store,
		Catalog: w.catalog, Log: log})})
}

func (w *world) process(parts int) *process {
	rdb := redis.NewClient(w.rdb.Options())
	w.Cleanup(func() { rdb.Close() })
	p := &process{world: w}
	rdb.AddHook(faults{p})
	store := w.storeOn(rdb, parts)
	p.room = w.roomOn(store)
	p.sweeper = &jobstore.Sweeper{Store: store, Log: slog.New(slog.DiscardHandler), Ticks: p.room.Heard}
	return p
}

func (w *world) violate(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

func (w *world) turn(d time.Duration) {
	w.now = w.now.Add(d)
	if d < 0 {
		for _, s := range w.of {
			s.set = true
		}
	}
	for part := range 16 {
		key := fmt.Sprintf("%s:{%d}:clock", w.prefix, part)
		if err := w.rdb.Set(w.Context(), key, w.now.UnixMilli(), 0).Err(); err != nil {
			w.Fatal(err)
		}
	}
}

// round has a process sweep and make ticks, until that has ended or stands still.
func (p *process) round() {
	if p.ended == nil {
		p.held, p.resting, p.ended = make(chan struct{}), make(chan struct{}, 1), make(chan error, 1)
		go func() {
			_, err := p.sweeper.Sweep(p.Context())
			p.ended <- errors.Join(err, p.room.round(p.Context()))
		}()
	} else {
		held := p.held
		p.held = make(chan struct{})
		close(held)
	}
	select {
	case <-p.resting:
	case <-p.ended:
		if p.ended = nil; p.killed {
			p.killed = false
			p.room = p.roomOn(p.room.Store)
			p.sweeper.Ticks = p.room.Heard
		}
	}
}

// people change something.
func (w *world) people() {
	name := string(rune('a' + w.rng.IntN(3)))
	s := w.of[name]
	if s == nil || s.gone {
		w.put(name, []time.Duration{10, 15, 60, 60}[w.rng.IntN(4)]*time.Second)
		return
	}
	switch w.rng.IntN(5) {
	case 0, 1:
		w.put(name, s.period)
	case 2:
		a, err := w.desk.Pause(w.Context(), rootAsks, name, "")
		s.paused = true
		if err != nil || a.Paused == nil {
			w.Fatal(err)
		}
	case 3:
		if !s.paused {
			return
		}
		a, err := w.desk.Resume(w.Context(), rootAsks, name)
		if err != nil {
			w.Fatal(err)
		}
		s.paused, s.from, s.next = false, a.Next[0], a.Next[0]
	case 4:
		if err := w.desk.Delete(w.Context(), rootAsks, name); err != nil {
			w.Fatal(err)
		}
		s.gone = true
	}
}

// put changes a schedule: each change has a number in its jobs' payload.
func (w *world) put(name string, period time.Duration) {
	s := w.of[name]
	if s == nil || s.gone {
		number, seen, left := 0, map[job.ID]bool{}, map[job.ID]bool{}
		if s != nil { // its jobs are there still, and its ticks may come again
			number, seen, left = s.number, s.seen, s.left
		}
		s = &simSchedule{name: name, period: period, number: number, jobs: map[string]job.ID{}, seen: seen,
			left: left}
	}
	when := fmt.Sprintf(`"every":"%v"`, period)
	if period == time.Minute { // whoever makes it anew has the same ticks
		when = `"cron":"* * * * *"`
	}
	text := fmt.Sprintf(`{%s,"catch_up":"all","retention":"1h","type":"math.primes","payload":{"n":%d}}`, when,
		s.number+3)
	a, _, err := w.desk.Put(w.Context(), rootAsks, name, []byte(text))
	if err != nil {
		w.Fatal(textOf(err))
	}
	s.number++
	w.of[name] = s
	if !s.paused {
		s.from, s.next = a.Next[0], a.Next[0]
	}
}

// all lists all jobs, page by page: on a busy machine one ends early.
func (w *world) all() (all []job.Snapshot) {
	for cursor := ""; ; {
		page, err := w.store.List(w.Context(), job.Filter{Limit: 1000, Cursor: cursor})
		if err != nil {
			w.Fatal(err)
		}
		if all = append(all, page.Jobs...); page.Next == "" {
			return all
		}
		cursor = page.Next
	}
}

// look holds that what is there is as it must be.
func (w *world) look() {
	there := map[job.ID]bool{}
	all := w.all()
	for i := range all {
		snap := &all[i]
		s := w.of[snap.Schedule.Name]
		there[snap.ID] = true
		if s == nil || s.seen[snap.ID] {
			continue
		}
		r, err := w.store.Read(w.Context(), snap.ID)
		if err != nil {
			w.Fatal(err)
		}
		tick, want := snap.Schedule.Tick.Format(time.RFC3339Nano), fmt.Sprintf(`{"n":%d}`, s.number+2)
		switch other, twice := s.jobs[tick]; {
		case s.left[snap.ID]:
			w.violate("%s: the job of %s came again after it had gone", s.name, tick)
		case twice && other != snap.ID:
			w.violate("%s: two jobs of %s", s.name, tick)
		case s.gone:
			w.violate("%s: a job of %s after it was removed", s.name, tick)
		case s.paused:
			w.violate("%s: a job of %s while it was paused", s.name, tick)
		case string(r.Spec.Payload) != want:
			w.violate("%s: a job of %s by an older change: %s, want %s", s.name, tick, r.Spec.Payload, want)
		}
		s.jobs[tick], s.seen[snap.ID] = snap.ID, true
	}
	for _, s := range w.of {
		for id := range s.seen {
			if !there[id] {
				delete(s.seen, id)
				s.left[id] = true
			}
		}
		w.lookAt(s)
	}
}

// lookAt holds that all ticks until the next one have their jobs, and that this one never goes back.
func (w *world) lookAt(s *simSchedule) {
	if s.gone || s.paused {
		return
	}
	kept, err := w.store.Schedule(w.Context(), access.DefaultTenant, s.name)
	if err != nil {
		w.Fatal(err)
	}
	if kept.Next.Before(s.next) {
		if !s.set {
			w.violate("%s: next went back from %v to %v", s.name, s.next, kept.Next)
		}
		s.from = kept.Next
	}
	s.next = kept.Next
	if n := s.next.Sub(s.from) / s.period; kept.Count("missed") == 0 {
		for i := range n {
			if tick := s.from.Add(i * s.period).Format(time.RFC3339Nano); s.jobs[tick] == "" {
				w.violate("%s: no job of %s", s.name, tick)
			}
		}
	}
	if w.calm && s.next.Sub(w.now) > s.period && kept.Last.Before(w.now) {
		w.violate("%s: silent until %v, at %v", s.name, s.next, w.now)
	}
	if w.calm && !s.next.After(w.now) {
		w.violate("%s: %v is not made at %v", s.name, s.next, w.now)
	}
}

// live lets a world go on for a while, and then come to rest.
func (w *world) live() {
	w.turn(0)
	for range 60 {
		switch n := w.rng.IntN(20); {
		case n == 0:
			w.turn(time.Duration(w.rng.IntN(300)) * time.Second)
		case n == 1:
			w.turn(-time.Duration(w.rng.IntN(300)) * time.Second)
		case n < 5:
			w.people()
		case n == 5: // jobs end, and go with their retention
			w.end()
		case n == 6:
			if p := w.procs[w.rng.IntN(len(w.procs))]; p.ended != nil {
				p.killed = true
				p.round()
			}
		default:
			w.turn(time.Duration(w.rng.IntN(9000)) * time.Millisecond)
			w.procs[w.rng.IntN(len(w.procs))].round()
		}
		if w.look(); len(w.violations) > 0 {
			break
		}
	}
	w.calm = true
	for range 3 {
		w.turn(61 * time.Second)
		for _, p := range w.procs {
			for ok := true; ok; ok = p.ended != nil {
				p.round()
			}
		}
	}
	for _, p := range w.procs { // what a clock that was set has left
		p.room.rewound = true
		p.room.Heard(0, nil, w.now)
		if err := p.room.round(w.Context()); err != nil {
			w.Fatal(err)
		}
	}
	if len(w.violations) == 0 {
		w.look()
	}
}

// end cancels some jobs, and lets their retention go by.
func (w *world) end() {
	for _, s := range w.of {
		for id := range s.seen {
			if w.rng.IntN(2) == 0 {
				if _, err := w.store.Cancel(w.Context(), id); err != nil {
					w.Fatal(err)
				}
				if err := w.store.Remove(w.Context(), id); err != nil {
					w.Fatal(err)
				}
			}
		}
	}
}

// plain is a client without the patience of programs, whose clocks a simulation doesn't turn.
func plain(t testing.TB) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(redistest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	o.ReadTimeout, o.PoolTimeout, o.PoolSize = time.Minute, time.Minute, 4
	rdb := redis.NewClient(o)
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func simulate(t *testing.T, rdb *redis.Client, catalog *tasks.Catalog, prefix string, seed uint64,
	edit func(string) string) []string {
	t.Helper()
	w := newWorld(t, rdb, catalog, fmt.Sprintf("%s-%d", prefix, seed), seed, edit)
	w.live()
	return w.violations
}

// TestSimulation wants no violation in any world. LONGSHORE_SEEDS says in how many.
func TestSimulation(t *testing.T) {
	t.Parallel()
	rdb, prefix, catalog := plain(t), redistest.Prefix(t), typesOf(t)
	seeds := uint64(40)
	if n, err := strconv.ParseUint(os.Getenv("LONGSHORE_SEEDS"), 10, 32); err == nil {
		seeds = n
	} else if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		if v := simulate(t, rdb, catalog, prefix, seed, nil); v != nil {
			t.Errorf("seed %d: %s", seed, strings.Join(v, "; "))
		}
	}
}

// TestSimulationNotices leaves out one rule at a time and wants a violation.
func TestSimulationNotices(t *testing.T) {
	t.Parallel()
	catalog := typesOf(t)
	for name, m := range map[string][2]string{
		"no tick fence": {"(has_next ~= now_next or paused)", "paused"},
		"not due any more": {"todo(6, 'ZADD', P .. 'ticks', due, name)",
			"todo(6, 'ZREM', P .. 'ticks', name)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb, prefix := plain(t), redistest.Prefix(t)
			left := false
			edit := func(text string) string {
				edited := strings.ReplaceAll(text, m[0], m[1])
				left = left || edited != text
				return edited
			}
			for seed := range uint64(60) {
				if v := simulate(t, rdb, catalog, prefix, seed, edit); v != nil {
					t.Logf("%s: seed %d: %s", name, seed, v[0])
					return
				}
				if !left {
					t.Fatal("the rule that is to be left out is in no script")
				}
			}
			t.Errorf("%s: 60 worlds without this rule and nobody noticed", name)
		})
	}
}
