package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"longshore/internal/loop"
	"longshore/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// records is a Reader over a map. Its hooks let a test lose, delay or fail things.
type records struct {
	mu      sync.Mutex
	revs    map[job.ID]job.Rev
	looks   int
	sizes   []int // of each look-up
	fail    error
	slow    time.Duration // of each look-up, after it has read
	onLook  func(n int)   // called before a look-up of n jobs reads
	event   func(job.Rev)
	reset   func()
	lose    bool
	listens chan struct{}
}

func newRecords() *records {
	return &records{revs: map[job.ID]job.Rev{}, listens: make(chan struct{})}
}

func (f *records) Revs(ctx context.Context, ids []job.ID) ([]job.Rev, error) {
	f.mu.Lock()
	f.looks++
	f.sizes = append(f.sizes, len(ids))
	hook := f.onLook
	f.mu.Unlock()
	if hook != nil {
		hook(len(ids))
	}
	f.mu.Lock()
	err, slow := f.fail, f.slow
	revs := make([]job.Rev, len(ids))
	for i, id := range ids {
		r, ok := f.revs[id]
		if !ok {
			r = job.Rev{ID: id, Missing: true}
		}
		revs[i] = r
	}
	f.mu.Unlock()
	if slow > 0 && loop.Sleep(ctx, slow) != nil {
		return nil, ctx.Err()
	}
	return revs, err
}

func (f *records) Listen(ctx context.Context, event func(job.Rev), reset func()) error {
	f.mu.Lock()
	f.event, f.reset = event, reset
	f.mu.Unlock()
	close(f.listens)
	<-ctx.Done()
	return ctx.Err()
}

// set changes what the records do.
func (f *records) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// put changes a job and publishes it, unless messages are lost.
func (f *records) put(id job.ID, rev int64, done bool) {
	f.mu.Lock()
	r := job.Rev{ID: id, Rev: rev, Done: done}
	f.revs[id] = r
	event, lose := f.event, f.lose
	f.mu.Unlock()
	if event != nil && !lose {
		event(r)
	}
}

func id(n int) job.ID { return job.ID(fmt.Sprintf("01890000-0000-7000-8000-%012x", n)) }

// run starts a hub and stops it when the returned function is called; for use
// in a synctest bubble, where t.Cleanup would be too late.
func run(t testing.TB, f *records) (*Hub, func()) {
	h := New(f, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	<-f.listens
	return h, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		for i := range h.shards {
			if n := len(h.shards[i].waiting); n > 0 {
				t.Errorf("shard %d still has %d waiting jobs", i, n)
			}
		}
	}
}

type answer struct {
	revs  []job.Rev
	err   error
	after time.Duration
}

func wait(h *Hub, patience time.Duration, wants ...Want) <-chan answer {
	got := make(chan answer, 1)
	begun := time.Now()
	go func() {
		revs, err := h.Wait(context.Background(), nil, patience, wants...)
		got <- answer{revs, err, time.Since(begun)}
	}()
	return got
}

func TestAnswersAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want Want
		now  *job.Rev
	}{
		"changed since":             {Want{After: 2}, &job.Rev{Rev: 3}},
		"after is beyond rev":       {Want{After: 9}, &job.Rev{Rev: 3}},
		"ended since":               {Want{After: 2}, &job.Rev{Rev: 3, Done: true}},
		"ended, waits for the end":  {Want{Done: true}, &job.Rev{Rev: 3, Done: true}},
		"ended, seen, waits for it": {Want{After: 3, Done: true}, &job.Rev{Rev: 3, Done: true}},
		"missing":                   {Want{After: 2}, nil},
		"missing, waits for end":    {Want{Done: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newRecords()
				expected := job.Rev{ID: id(1), Missing: true}
				if c.now != nil {
					expected = *c.now
					expected.ID = id(1)
					f.revs[id(1)] = expected
				}
				h, stop := run(t, f)
				defer stop()
				c.want.ID = id(1)
				got := <-wait(h, 20*time.Second, c.want)
				if diff := cmp.Diff([]job.Rev{expected}, got.revs); diff != "" || got.err != nil ||
					got.after != 0 {
					t.Errorf("after %v, error %v, revs -want +got:\n%s", got.after, got.err, diff)
				}
			})
		})
	}
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want Want
		now  job.Rev
	}{
		"no change":             {Want{After: 3}, job.Rev{Rev: 3}},
		"ended and seen":        {Want{After: 3}, job.Rev{Rev: 3, Done: true}},
		"changed but not ended": {Want{Done: true}, job.Rev{Rev: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newRecords()
				c.now.ID, c.want.ID = id(1), id(1)
				f.revs[id(1)] = c.now
				h, stop := run(t, f)
				defer stop()
				got := <-wait(h, 20*time.Second, c.want)
				if got.revs != nil || got.err != nil || got.after != 20*time.Second {
					t.Errorf("got %+v, want nothing after 20s", got)
				}
			})
		})
	}
}

func TestEventWakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newRecords()
		f.put(id(1), 1, false)
		h, stop := run(t, f)
		defer stop()
		change := wait(h, 20*time.Second, Want{ID: id(1), After: 1})
		end := wait(h, 20*time.Second, Want{ID: id(1), Done: true})
		other := wait(h, time.Second, Want{ID: id(1), After: 1, Done: true})
		synctest.Wait()
		f.event(job.Rev{ID: id(1), Rev: 0}) // late: seen already
		time.Sleep(time.Second)             // fake time
		f.put(id(1), 2, false)
		if got := <-change; got.after != time.Second || got.revs[0].Rev != 2 {
			t.Errorf("waiter for a change: got %+v", got)
		}
		if got := <-other; got.revs != nil {
			t.Errorf("waiter whose time was over: got %+v", got)
		}
		synctest.Wait()
		f.put(id(1), 3, true)
		if got := <-end; got.after != time.Second || !got.revs[0].Done {
			t.Errorf("waiter for the end: got %+v", got)
		}
	})
}

func TestChangeBetweenRegisterAndLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newRecords()
		f.put(id(1), 1, false)
		h, stop := run(t, f)
		defer stop()
		// The look reads the old record, and the message comes before it answers.
		f.set(func() { f.slow = 100 * time.Millisecond })
		got := wait(h, 20*time.Second, Want{ID: id(1), After: 1})
		time.Sleep(50 * time.Millisecond)
		f.put(id(1), 2, true)
		if a := <-got; a.after != 50*time.Millisecond || len(a.revs) != 1 || a.revs[0].Rev != 2 {
			t.Errorf("got %+v", a)
		}
		synctest.Wait()
		time.Sleep(time.Second) // the look ends
	})
}

func TestLostMessageCostsOneFallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newRecords()
		f.set(func() { f.lose = true })
		for n := range 1200 {
			f.put(id(n), 1, false)
		}
		h, stop := run(t, f)
		defer stop()
		var waits []<-chan answer
		for n := range 1200 {
			waits = append(waits, wait(h, 20*time.Second, Want{ID: id(n), After: 1}))
		}
		synctest.Wait()
		f.set(func() { f.sizes = nil })
		for n := range 1200 {
			f.put(id(n), 2, false)
		}
		for _, w := range waits {
			if got := <-w; len(got.revs) != 1 || got.after > 2500*time.Millisecond {
				t.Fatalf("got %+v, want an answer within 2.5s", got)
			}
		}
		if diff := cmp.Diff([]int{500, 500, 200}, f.sizes); diff != "" {
			t.Errorf("batches -want +got:\n%s", diff)
		}
	})
}

func TestReconnectLooksAllUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newRecords()
		f.put(id(1), 1, false)
		h, stop := run(t, f)
		defer stop()
		got := wait(h, 20*time.Second, Want{ID: id(1), After: 1})
		synctest.Wait()
		f.set(func() { f.lose = true })
		f.put(id(1), 2, false)
		f.reset()
		f.reset() // a flapping connection costs one more look, not many
		if a := <-got; len(a.revs) != 1 || a.after > spread {
			t.Errorf("got %+v, want an answer within %v", a, spread)
		}
	})
}

// A look of all that was under way when a waiter came may have read the record
// before the change that the waiter knows: it must not answer.
func TestOldLookDoesNotAnswerNewWaiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newRecords()
		f.put(id(1), 1, false)
		h, stop := run(t, f)
		defer stop()
		first := wait(h, 5*time.Second, Want{ID: id(1), Done: true})
		synctest.Wait()
		f.set(func() { f.slow = time.Second })
		time.Sleep(Fallback + 500*time.Millisecond) // the look of all has read rev 1
		f.put(id(1), 7, false)
		f.set(func() { f.slow = 0 })
		late := wait(h, 2*time.Second, Want{ID: id(1), After: 7})
		if got := <-late; got.revs != nil || got.after != 2*time.Second {
			t.Errorf("late waiter got %+v, want nothing after 2s", got)
		}
		<-first
	})
}

func TestSlowLookDoesNotDelayOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newRecords()
		f.put(id(1), 1, false)
		f.put(id(2), 1, false)
		h, stop := run(t, f)
		defer stop()
		got := wait(h, 20*time.Second, Want{ID: id(1), After: 1})
		synctest.Wait()
		f.set(func() { f.slow = time.Hour }) // a Redis that hangs
		hanging := wait(h, 10*time.Second, Want{ID: id(2), After: 1})
		synctest.Wait()
		short := wait(h, time.Second, Want{ID: id(2), After: 1})
		time.Sleep(3 * time.Second) // the fallback hangs too
		f.put(id(1), 2, false)
		if a := <-got; a.after != 3*time.Second || len(a.revs) != 1 {
			t.Errorf("woken by message: got %+v", a)
		}
		if a := <-short; a.after != time.Second || a.err != nil || a.revs != nil {
			t.Errorf("whose look hangs: got %+v, want nothing at the end of its wait", a)
		}
		if a := <-hanging; a.after != lookTimeout || a.err == nil || a.revs != nil {
			t.Errorf("whose look hangs for long: got %+v, want an error after %v", a, lookTimeout)
		}
		time.Sleep(lookTimeout) // the look for short ends
	})
}

func TestRedisDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newRecords()
		f.put(id(1), 1, false)
		h, stop := run(t, f)
		defer stop()
		parked := wait(h, 20*time.Second, Want{ID: id(1), After: 1})
		synctest.Wait()
		down := errors.New("connection refused")
		f.set(func() { f.fail, f.lose = down, true })
		if a := <-wait(h, time.Second, Want{ID: id(1), After: 1}); !errors.Is(a.err, down) {
			t.Errorf("new waiter: got %+v, want the error", a)
		}
		f.put(id(1), 2, false)
		time.Sleep(6 * time.Second)
		f.set(func() { f.fail = nil })
		if a := <-parked; len(a.revs) != 1 || a.after > 6*time.Second+Fallback {
			t.Errorf("parked waiter: got %+v, want the change after Redis came back", a)
		}
	})
}

func TestRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newRecords()
		f.put(id(1), 1, false)
		h, stop := run(t, f)
		defer stop()
		watch := h.Watch()
		defer watch.Close()
		watch.Add(id(1), 1)
		watch.Take(1)
		parked, second := wait(h, 20*time.Second, Want{ID: id(1), After: 1}),
			wait(h, 20*time.Second, Want{ID: id(1), Done: true})
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan answer, 1)
		go func() {
			revs, err := h.Wait(ctx, nil, 20*time.Second, Want{ID: id(1), Done: true})
			gone <- answer{revs: revs, err: err}
		}()
		synctest.Wait()
		leave() // the client has gone
		if a := <-gone; a.revs != nil || a.err != nil {
			t.Errorf("whose context has ended: got %+v", a)
		}
		h.Release()
		for _, w := range []<-chan answer{parked, second,
			wait(h, 20*time.Second, Want{ID: id(1), After: 1})} {
			if a := <-w; a.after != 0 || a.revs != nil || a.err != nil {
				t.Errorf("got %+v, want nothing at once", a)
			}
		}
		synctest.Wait() // the look of the one who came late has ended
		f.put(id(1), 2, false)
		if ids := watch.Take(1); len(ids) != 1 {
			t.Error("the watcher was released too")
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newRecords()
		for n := range 4 {
			f.put(id(n), 1, false)
		}
		h, stop := run(t, f)
		defer stop()
		wants := []Want{{ID: id(0), After: 1}, {ID: id(1), After: 1}, {ID: id(2), After: 1},
			{ID: id(3), After: 1}}
		got := wait(h, 20*time.Second, wants...)
		synctest.Wait()
		f.set(func() { f.lose = true })
		f.put(id(3), 2, false)
		f.set(func() { f.lose = false })
		f.put(id(1), 5, true)
		want := []job.Rev{{ID: id(1), Rev: 5, Done: true}, {ID: id(3), Rev: 2}}
		if diff := cmp.Diff(want, (<-got).revs); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		// The second look fails: what the message said is still an answer.
		got = wait(h, 20*time.Second, Want{ID: id(0), After: 1}, Want{ID: id(2), After: 1})
		synctest.Wait()
		f.set(func() { f.fail = errors.New("gone") })
		f.put(id(2), 2, false)
		if a := <-got; a.err != nil || len(a.revs) != 1 || a.revs[0].ID != id(2) {
			t.Errorf("got %+v", a)
		}
	})
}

// Waiters come and go while jobs change; each that waits for a job to end gets
// an answer, and nothing stays behind.
func TestHammer(t *testing.T) {
	t.Parallel()
	f := newRecords()
	const jobs, each = 50, 40
	for n := range jobs {
		f.put(id(n), 0, false)
	}
	h, stop := run(t, f)
	defer stop()
	var g sync.WaitGroup
	for n := range jobs {
		for range each {
			g.Go(func() {
				for after := int64(0); after < 20; {
					if after%3 == 0 { // some give up at once
						h.Wait(t.Context(), nil, time.Microsecond, Want{ID: id(n), After: after})
					}
					revs, err := h.Wait(t.Context(), nil, 30*time.Second, Want{ID: id(n), After: after},
						Want{ID: id(n), Done: true})
					if err != nil || len(revs) == 0 || revs[0].Rev <= after {
						t.Errorf("after %d: revs %v, error %v", after, revs, err)
						return
					}
					after = revs[0].Rev
				}
			})
		}
		g.Go(func() {
			for rev := int64(1); rev <= 20; rev++ {
				f.put(id(n), rev, rev == 20)
				runtime.Gosched()
			}
		})
	}
	g.Wait()
}

func TestRunReturnsListenersError(t *testing.T) {
	t.Parallel()
	broken := errors.New("no permission to subscribe")
	err := New(deaf{broken}, slog.New(slog.DiscardHandler)).Run(t.Context())
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type deaf struct{ err error }

func (d deaf) Revs(context.Context, []job.ID) ([]job.Rev, error)   { return nil, nil }
func (d deaf) Listen(context.Context, func(job.Rev), func()) error { return d.err }
