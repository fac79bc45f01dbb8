package schedules

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
)

func TestMain(m *testing.M) {
	redistest.Main(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

// A bench is a room on a prefix of its own, whose clock the test turns.
type bench struct {
	testing.TB
	*Room
	set     func(now time.Time)
	sweeper *jobstore.Sweeper
	now     time.Time
	by      Asker
}

func typesOf(t testing.TB) *tasks.Catalog {
	t.Helper()
	builtIn, err := tasks.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := tasks.NewCatalog(builtIn...)
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

var rootAsks = Asker{Who: access.Root, View: access.Everything, Tenant: access.DefaultTenant}

func setup(t testing.TB) *bench {
	t.Helper()
	return setupWith(t, nil)
}

// setupWith is setup with other scripts.
func setupWith(t testing.TB, edit func(string) string) *bench {
	t.Helper()
	rdb, prefix := redistest.Client(t), redistest.Prefix(t)
	log := slog.New(slog.DiscardHandler)
	b := &bench{TB: t, now: time.Date(2027, 3, 1, 12, 20, 0, 0, time.UTC), by: rootAsks}
	b.set = func(now time.Time) {
		if err := rdb.Set(t.Context(), prefix+":{0}:clock", strconv.FormatInt(now.UnixMilli(), 10), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	store := jobstore.New(rdb, jobstore.Config{Prefix: prefix, Turned: true, Edit: edit})
	b.Room = New(Config{Store: store, Submitter: submit.NewSubmitter(submit.Config{Store: store,
		Catalog: typesOf(t),
		Log:     log}), Log: log})
	b.sweeper = &jobstore.Sweeper{Store: store, Log: log, Ticks: b.Heard}
	b.turn(0)
	return b
}

// turn lets time go by, and then one sweep and the round that it rings for.
func (b *bench) turn(d time.Duration) {
	b.Helper()
	b.now = b.now.Add(d)
	b.set(b.now)
	if _, err := b.sweeper.Sweep(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := b.round(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) put(name, text string) answer.Schedule {
	b.Helper()
	s, _, err := b.Put(b.Context(), b.by, name, []byte(text))
	if err != nil {
		b.Fatalf("put %s: %s", name, textOf(err))
	}
	return s
}

func (b *bench) get(name string) answer.Schedule {
	b.Helper()
	s, err := b.Get(b.Context(), b.by, name)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// made are the ticks of a schedule that have a job, newest first.
func (b *bench) made(name string) (ticks []string) {
	b.Helper()
	page, err := b.Store.List(b.Context(), job.Filter{Limit: 1000})
	if err != nil {
		b.Fatal(err)
	}
	for _, snap := range page.Jobs {
		if s := snap.Schedule; s != nil && s.Name == name && s.Tick != nil {
			ticks = append(ticks, s.Tick.Format("02T15:04:05"))
		}
	}
	return ticks
}

const primes = `"type":"math.primes","payload":{"n":100}`

func TestTick(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.put("nightly",
		`{"cron":"30 13 * * *",`+primes+`,"priority":"high","timeout":90,"retention":"2h","max_attempts":2}`)
	if len(s.Next) != 5 || s.Next[0].Format(time.RFC3339) != "2027-03-01T13:30:00Z" || s.Timezone != "UTC" {
		t.Fatalf("%+v", s)
	}
	b.turn(69 * time.Minute)
	if made := b.made("nightly"); made != nil {
		t.Fatalf("too early: %v", made)
	}
	for range 5 {
		b.turn(time.Minute)
	}
	s = b.get("nightly")
	if made := b.made("nightly"); len(made) != 1 || made[0] != "01T13:30:00" || s.Made != 1 ||
		len(s.Runs) != 1 {
		t.Fatalf("made %v: %+v", made, s)
	}
	snap, err := b.Store.Read(t.Context(), s.LastJob)
	if err != nil || snap.Snapshot.State != job.Queued || snap.Snapshot.Priority != job.High ||
		snap.Timeout != 90*time.Second ||
		snap.Retention != 2*time.Hour || snap.Snapshot.MaxAttempts != 2 || string(snap.Spec.Payload) == "" ||
		s.Runs[0].Job != s.LastJob {
		t.Errorf("%+v, %v", snap, err)
	}
	if s.Next[0].Format(time.RFC3339) != "2027-03-02T13:30:00Z" {
		t.Errorf("next %v", s.Next)
	}
	// Another hour, put at 12:20: nothing before it.
	b.turn(22*time.Hour + 46*time.Minute)
	b.put("nightly", `{"cron":"0 16 * * *",`+primes+`}`)
	b.turn(3 * time.Hour)
	if made := b.made("nightly"); len(made) != 1 {
		t.Errorf("made %v before its new hour", made)
	}
	b.turn(time.Hour)
	if made := b.made("nightly"); len(made) != 2 || made[0] != "02T16:00:00" {
		t.Errorf("made %v", made)
	}
}

// The same put again changes nothing, whatever it looks like; revisions never begin anew.
func TestPut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.put("a", `{"every":"90s",`+primes+`}`)
	b.turn(30 * time.Second)
	same := b.put("a",
		`{"payload": {"n": 100}, "type":"math.primes","every": 90 , "overlap":"allow","priority":null}`)
	if same.Rev != first.Rev || !same.Next[0].Equal(first.Next[0]) {
		t.Errorf("%+v, then %+v", first, same)
	}
	// Another payload doesn't move its beat.
	other := b.put("a", `{"every":"90s","type":"math.primes","payload":{"n":200}}`)
	if other.Rev <= first.Rev || !other.Next[0].Equal(first.Next[0]) {
		t.Errorf("%+v, then %+v", first, other)
	}
	if err := b.Delete(t.Context(), b.by, "a"); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), b.by, "a"); httpapi.AsError(err).Code != httpapi.NotFound {
		t.Errorf("deleted twice: %v", err)
	}
	again := b.put("a", `{"every":"90s",`+primes+`}`)
	if again.Rev <= other.Rev {
		t.Errorf("revision %d after %d", again.Rev, other.Rev)
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	for overlap, want := range map[string]struct {
		jobs, open, overlapped int
		trigger                string
	}{
		"allow": {4, 4, 0, ""}, "skip": {1, 1, 3, "has not ended"}, "cancel_running": {4, 1, 0, ""},
	} {
		t.Run(overlap, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.put("a", `{"every":"1m","overlap":"`+overlap+`",`+primes+`}`)
			for range 4 {
				b.turn(time.Minute)
			}
			open := 0
			page, err := b.Store.List(t.Context(), job.Filter{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, snap := range page.Jobs {
				if !snap.Done {
					open++
				}
			}
			s := b.get("a")
			if len(page.Jobs) != want.jobs || open != want.open || int(s.Overlapped) != want.overlapped {
				t.Errorf("%d jobs, %d open: %+v", len(page.Jobs), open, s)
			}
			_, isNew, err := b.Trigger(t.Context(), b.by, "a", "")
			if want.trigger == "" && (err != nil || !isNew) || want.trigger != "" && (err == nil ||
				!strings.Contains(err.Error(), want.trigger)) {
				t.Errorf("by hand: %v", err)
			}
			if want.trigger == "" {
				return
			}
			if _, err := b.Store.Cancel(t.Context(), s.LastJob); err != nil { // the job before has ended
				t.Fatal(err)
			}
			b.turn(time.Minute)
			if s := b.get("a"); s.Made != 2 {
				t.Errorf("after its end: %+v", s)
			}
		})
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put("a", `{"every":"1m",`+primes+`}`)
	b.turn(time.Minute)
	s, err := b.Pause(t.Context(), b.by, "a", "the disk is full")
	if err != nil || s.Paused == nil || s.Paused.Why != "the disk is full" || s.Paused.By != "root" ||
		len(s.Next) != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	if again, err := b.Pause(t.Context(), b.by, "a", "other"); err != nil ||
		again.Paused.Why != "the disk is full" {
		t.Errorf("paused twice: %+v, %v", again.Paused, err)
	}
	b.turn(10 * time.Minute)
	b.put("a", `{"every":"1m","type":"math.primes","payload":{"n":7}}`) // a put ends no pause
	b.turn(10 * time.Minute)
	if made := b.made("a"); len(made) != 1 {
		t.Errorf("made while paused: %v", made)
	}
	if snap, isNew, err := b.Trigger(t.Context(), b.by, "a", ""); err != nil || !isNew ||
		snap.Schedule.Tick != nil {
		t.Errorf("by hand, while paused: %+v, %v", snap, err)
	}
	if s, err = b.Resume(t.Context(), b.by, "a"); err != nil || s.Paused != nil || s.Missed != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	b.turn(59 * time.Second)
	b.turn(2 * time.Second)
	if made := b.made("a"); len(made) != 2 {
		t.Errorf("made after the pause: %v", made)
	}
}

func TestTrigger(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put("a", `{"cron":"@yearly",`+primes+`}`)
	first, isNew, err := b.Trigger(t.Context(), b.by, "a", "k")
	again, stillNew, err2 := b.Trigger(t.Context(), b.by, "a", "k")
	other, _, err3 := b.Trigger(t.Context(), b.by, "a", "l")
	if err := errors.Join(err, err2, err3); err != nil || !isNew || stillNew || first.ID != again.ID ||
		other.ID == first.ID {
		t.Errorf("%v %v, %v %v, %v: %v", first.ID, isNew, again.ID, stillNew, other.ID, err)
	}
	if s := b.get("a"); s.ByHand != 2 || s.Made != 0 || len(s.Runs) != 2 || s.LastJob != other.ID {
		t.Errorf("%+v", s)
	}
	if _, _, err := b.Trigger(t.Context(), b.by, "none", ""); httpapi.AsError(err).Code != httpapi.NotFound {
		t.Errorf("of none: %v", err)
	}
}

// Three hours off at each minute: one job, or the newest hundred, or none, and the rest is counted. So it
// is of one that is put with its start in the past.
func TestThreeHoursOff(t *testing.T) {
	t.Parallel()
	for _, start := range []string{"", `"starts_at":"2027-03-01T09:20:00Z",`} {
		for catchUp, want := range map[string][2]int64{"last": {1, 180}, "all": {100, 81}, "none": {0, 181}} {
			t.Run(catchUp+start, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				text := `{"cron":"* * * * *",` + start + `"catch_up":"` + catchUp + `",` + primes + `}`
				if start == "" {
					b.now = b.now.Add(-3*time.Hour - time.Minute)
					b.set(b.now)
					b.put("a", text)
					b.now = b.now.Add(3*time.Hour + time.Minute)
				} else {
					b.put("a", text)
				}
				b.turn(45 * time.Second)
				s := b.get("a")
				if s.Made != want[0] || s.Missed != want[1] || len(b.made("a")) != int(want[0]) {
					t.Errorf("made %d, missed %d, want %v", s.Made, s.Missed, want)
				}
				b.turn(time.Minute - 45*time.Second + 10*time.Second)
				if s := b.get("a"); s.Made != want[0]+1 {
					t.Errorf("and then: %+v", s)
				}
			})
		}
	}
}

// A type that nobody knows any more: the tick is tried for as long as it is in time, then counted, and the
// schedule says why.
func TestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	own := tasks.Info{Type: "own.job", Lane: job.LaneIO, Doc: "Ours.", Input: tasks.NoInput,
		Schema:      json.RawMessage(`{"type":"object"}`),
		MaxAttempts: 1, TimeoutMS: 1000}
	text, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	catalog := b.Submitter.Catalog
	if err := catalog.Publish(map[string]string{"own.job": string(text)}); err != nil {
		t.Fatal(err)
	}
	b.put("a", `{"every":"1h","type":"own.job"}`)
	if err := catalog.Publish(nil); err != nil {
		t.Fatal(err)
	}
	b.turn(time.Hour)
	b.turn(time.Minute)
	s := b.get("a")
	if s.Problem == nil || !strings.Contains(s.Problem.Detail, "unknown type") || s.Refused != 0 {
		t.Fatalf("%+v", s)
	}
	if err := catalog.Publish(map[string]string{"own.job": string(text)}); err != nil {
		t.Fatal(err)
	}
	b.turn(time.Minute)
	if s = b.get("a"); s.Made != 1 || s.Problem != nil {
		t.Errorf("known again, in time: %+v", s)
	}
	if err := catalog.Publish(nil); err != nil {
		t.Fatal(err)
	}
	b.turn(time.Hour)
	b.turn(11 * time.Minute)
	b.turn(0)
	if s = b.get("a"); s.Refused != 1 || s.Made != 1 || s.Problem == nil {
		t.Errorf("too late: %+v", s)
	}
}

// TIME that was ahead puts nothing off once it is right again, and nothing is made twice by it.
func TestTimeBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put("old", `{"every":"1m","catch_up":"all",`+primes+`}`)
	b.turn(time.Minute)
	b.turn(time.Hour)
	before := len(b.made("old"))
	b.put("new", `{"every":"1m",`+primes+`}`)
	b.turn(-time.Hour)
	b.turn(0)
	for range 5 {
		b.turn(time.Minute)
	}
	if n := len(b.made("new")); n < 4 {
		t.Errorf("made %d of one that was put while TIME was ahead", n)
	}
	if n := len(b.made("old")); n != before {
		t.Errorf("%d more ticks of what was made already", n-before)
	}
	seen := map[string]bool{}
	for _, tick := range b.made("old") {
		if seen[tick] {
			t.Errorf("%s was made twice", tick)
		}
		seen[tick] = true
	}
}

// Whoever comes second, with what he has read before, makes nothing.
func TestStaleTick(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put("a", `{"every":"1m",`+primes+`}`)
	old, err := b.Store.Schedule(t.Context(), "default", "a")
	if err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(time.Minute)
	b.set(b.now)
	tick, ok := b.decide(t.Context(), &old, b.now)
	if !ok {
		t.Fatal("not due")
	}
	if done := b.Store.TickMany(t.Context(), []jobstore.Tick{tick}); done[0].Err != nil || !done[0].New {
		t.Fatalf("%+v", done)
	}
	if done := b.Store.TickMany(t.Context(), []jobstore.Tick{tick}); !errors.Is(done[0].Err,
		jobstore.ErrScheduleStale) {
		t.Errorf("%+v", done)
	}
	if err := b.Delete(t.Context(), b.by, "a"); err != nil {
		t.Fatal(err)
	}
	if done := b.Store.TickMany(t.Context(), []jobstore.Tick{tick}); !errors.Is(done[0].Err,
		job.ErrNotFound) {
		t.Errorf("of one that is gone: %+v", done)
	}
}

// What was read of an older revision makes nothing, though its next tick is the same: of one that was
// changed, and of one that was removed and made anew. Without the rules that say so it does.
func TestOlderRevision(t *testing.T) {
	t.Parallel()
	for name, m := range map[string][2]string{
		"":            {"", ""},
		"no revision": {"if has_rev ~= rev then return { 'stale' } end", ""},
		"revisions begin anew": {"string.format('%.0f', call('INCR', P .. 'revs'))",
			"string.format('%.0f', tonumber(rev == '' and 0 or rev) + 1)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var edit func(string) string
			if name != "" {
				edit = func(text string) string { return strings.ReplaceAll(text, m[0], m[1]) }
			}
			b := setupWith(t, edit)
			b.put("a", `{"cron":"* * * * *",`+primes+`}`)
			old, err := b.Store.Schedule(t.Context(), "default", "a")
			if err != nil {
				t.Fatal(err)
			}
			if name == "no revision" {
				b.put("a", `{"cron":"* * * * *","type":"math.primes","payload":{"n":7}}`)
			} else {
				if err := b.Delete(t.Context(), b.by, "a"); err != nil {
					t.Fatal(err)
				}
				b.put("a", `{"cron":"* * * * *","type":"math.primes","payload":{"n":7}}`)
			}
			b.now = b.now.Add(time.Minute)
			b.set(b.now)
			tick, ok := b.decide(t.Context(), &old, b.now)
			if !ok {
				t.Fatal("not due")
			}
			done := b.Store.TickMany(t.Context(), []jobstore.Tick{tick})[0]
			if stale := errors.Is(done.Err, jobstore.ErrScheduleStale); stale != (name == "") {
				t.Errorf("%q: %+v", name, done)
			}
		})
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	b.Heard(0, []string{"default/none"}, time.Now())
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
