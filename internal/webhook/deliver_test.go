package webhook

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"longshore/internal/jobstore"
	"longshore/job"
)

// A fakeStore behaves as the scripts of package jobstore do, in virtual time.
type fakeStore struct {
	mu    sync.Mutex
	order []job.ID
	due   map[job.ID]*fakeCallback
	down  bool
}

type fakeCallback struct {
	url      string
	at       time.Time
	number   int
	attempts int
	outcome  jobstore.CallbackOutcome // delivered or failed, when it is over
	over     time.Time
}

func (f *fakeStore) add(url string) job.ID {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.due == nil {
		f.due = map[job.ID]*fakeCallback{}
	}
	id := job.ID(fmt.Sprintf("job-%04d", len(f.order)))
	f.order = append(f.order, id)
	f.due[id] = &fakeCallback{url: url, at: time.Now()}
	return id
}

var errDown = errors.New("redis is down")

func (f *fakeStore) ClaimCallbacks(_ context.Context, limit int,
	lease time.Duration) ([]jobstore.CallbackClaim, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, errDown
	}
	now := time.Now()
	sorted := slices.DeleteFunc(slices.Clone(f.order), func(id job.ID) bool {
		c := f.due[id]
		return c.outcome != "" || c.at.After(now)
	})
	slices.SortStableFunc(sorted, func(a, b job.ID) int { return f.due[a].at.Compare(f.due[b].at) })
	var claims []jobstore.CallbackClaim
	for _, id := range sorted {
		c := f.due[id]
		if len(claims) == limit {
			break
		}
		c.number++
		c.at = time.Now().Add(lease)
		claims = append(claims, jobstore.CallbackClaim{ID: id, URL: c.url, Attempts: c.attempts,
			Number: strconv.Itoa(c.number)})
	}
	return claims, nil
}

func (f *fakeStore) HoldCallbacks(_ context.Context, claims []jobstore.CallbackClaim,
	lease time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return errDown
	}
	for _, claim := range claims {
		if c := f.due[claim.ID]; c.outcome == "" && strconv.Itoa(c.number) == claim.Number {
			c.at = time.Now().Add(lease)
		}
	}
	return nil
}

func (f *fakeStore) SettleCallbacks(_ context.Context, list []jobstore.CallbackSettlement) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return errDown
	}
	for _, s := range list {
		c := f.due[s.Claim.ID]
		if c.outcome != "" || strconv.Itoa(c.number) != s.Claim.Number {
			continue
		}
		c.number++
		if s.Outcome != jobstore.CallbackRelease {
			c.attempts++
		}
		if s.Outcome == jobstore.CallbackRelease || s.Outcome == jobstore.CallbackRetry {
			c.at = time.Now().Add(s.Delay)
		} else {
			c.outcome, c.over = s.Outcome, time.Now()
		}
	}
	return nil
}

func (f *fakeStore) Get(_ context.Context, id job.ID) (job.Snapshot, error) {
	return job.Snapshot{ID: id, State: job.Succeeded, Done: true}, nil
}

func (f *fakeStore) of(id job.ID) fakeCallback {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *f.due[id]
}

// A post is what a fake receiver does.
type post func(ctx context.Context, id, to string, body []byte) Result

func (p post) Post(ctx context.Context, id, to string, _ []netip.Addr, body []byte) Result {
	return p(ctx, id, to, body)
}

// Find knows each name's own address.
func (p post) Find(_ context.Context, to string) ([]netip.Addr, Result) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, Result{Code: CodeURL}
	}
	h := fnv.New32()
	h.Write([]byte(u.Hostname()))
	sum := h.Sum(nil)
	return []netip.Addr{netip.AddrFrom4([4]byte(sum))}, Result{}
}

// deliver runs a deliverer in a bubble while f runs, then ends it.
func deliver(t *testing.T, grace time.Duration, p post, f func(*fakeStore, *Deliverer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		d := NewDeliverer(store, p, slog.New(slog.DiscardHandler), grace)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		f(store, d)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestRetriesUntilTaken(t *testing.T) {
	t.Parallel()
	var tries int
	deliver(t, 0, func(context.Context, string, string, []byte) Result {
		if tries++; tries < 4 {
			return Result{Status: 500, Code: CodeStatus}
		}
		return Result{Status: 200}
	}, func(s *fakeStore, _ *Deliverer) {
		id := s.add("http://a.example/")
		began := time.Now()
		time.Sleep(time.Minute)
		cb := s.of(id)
		took := cb.over.Sub(began) // 2 s, 6 s and 18 s later
		if cb.outcome != jobstore.CallbackDelivered || cb.attempts != 4 || took < 20*time.Second ||
			took > 33*time.Second {
			t.Errorf("%+v after %v", cb, took)
		}
	})
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	for code, attempts := range map[Code]int{CodeGone: 1, CodeStatus: maxAttempts} {
		deliver(t, 0, func(context.Context, string, string, []byte) Result {
			return Result{Status: 500, Code: code}
		},
			func(s *fakeStore, _ *Deliverer) {
				id := s.add("http://a.example/")
				time.Sleep(12 * time.Hour)
				if cb := s.of(id); cb.outcome != jobstore.CallbackFailed || cb.attempts != attempts {
					t.Errorf("%s: %+v", code, cb)
				}
			})
	}
}

func TestRingSavesTheWait(t *testing.T) {
	t.Parallel()
	deliver(t, 0, func(context.Context, string, string, []byte) Result { return Result{Status: 200} },
		func(s *fakeStore, d *Deliverer) {
			synctest.Wait() // it has looked, and waits for its tick
			id, began := s.add("http://a.example/"), time.Now()
			d.Notify()
			synctest.Wait()
			if cb := s.of(id); cb.outcome == "" || !cb.over.Equal(began) {
				t.Errorf("%+v", cb)
			}
		})
}

// TestSlowReceiverHoldsNobodyUp has many callbacks for a receiver that
// never answers, due before those of another.
func TestSlowReceiverHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var now, most int
	deliver(t, 0, func(ctx context.Context, _, to string, _ []byte) Result {
		if to != "http://slow.example/" {
			return Result{Status: 200}
		}
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		select {
		case <-time.After(attemptTimeout):
		case <-ctx.Done():
		}
		mu.Lock()
		now--
		mu.Unlock()
		return Result{Code: CodeTimeout}
	}, func(s *fakeStore, _ *Deliverer) {
		for range 1000 {
			s.add("http://slow.example/")
		}
		time.Sleep(time.Minute) // the slow one is known
		for range 20 {
			quick, began := s.add("http://quick.example/"), time.Now()
			time.Sleep(5 * time.Second)
			if cb := s.of(quick); cb.outcome == "" || cb.over.Sub(began) > time.Second {
				t.Fatalf("the quick receiver waited: %+v, begun %v", cb, began)
			}
		}
	})
	if most != 1 {
		t.Errorf("%d attempts at once for a host that never answers, want 1", most)
	}
}

// answered is what is known of one that answers at once.
func answered(k *known) { k.class, k.until = quick, time.Now().Add(lately) }

// TestOneQuickReceiver holds that the cap a host costs a quick receiver little:
// most installations have just one.
func TestOneQuickReceiver(t *testing.T) {
	t.Parallel()
	deliver(t, 0, func(context.Context, string, string, []byte) Result {
		time.Sleep(20 * time.Millisecond)
		return Result{Status: 200}
	}, func(s *fakeStore, _ *Deliverer) {
		for range 2000 {
			s.add("http://a.example/")
		}
		time.Sleep(20 * time.Second) // 5 s at full speed
		for _, id := range s.order {
			if cb := s.of(id); cb.outcome == "" {
				t.Fatalf("%s still waits: %+v", id, cb)
			}
		}
	})
}

// TestDrain ends the deliverer while attempts run and others wait for them.
func TestDrain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		takes, grace time.Duration
		attempts     int // of those under way
	}{
		"ends within the grace": {5 * time.Second, 24 * time.Second, 1},
		"is cut":                {14 * time.Second, 3 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var store *fakeStore
			var stopped time.Time
			deliver(t, tt.grace, func(ctx context.Context, _, _ string, _ []byte) Result {
				select {
				case <-time.After(tt.takes):
					return Result{Status: 200}
				case <-ctx.Done():
					return Result{Code: CodeConnection, Err: ctx.Err()}
				}
			}, func(s *fakeStore, d *Deliverer) {
				store = s
				d.lines.learn("a.example:80", answered)
				for range perHost + 5 {
					s.add("http://a.example/")
				}
				time.Sleep(time.Second)
				stopped = time.Now()
			})
			for i, id := range store.order {
				cb := store.of(id)
				switch under := i < perHost; {
				case under && tt.attempts == 1 && cb.outcome != jobstore.CallbackDelivered:
					t.Errorf("%d: attempt under way: %+v", i, cb)
				case under && tt.attempts == 0 && (cb.outcome != "" || cb.attempts != 0 ||
					cb.at.After(stopped.Add(tt.grace))):
					t.Errorf("%d: cut attempt: %+v, stopped %v", i, cb, stopped)
				case !under && (cb.outcome != "" || cb.attempts != 0 || cb.at.After(stopped)):
					t.Errorf("%d: waiting one was not given back at once: %+v, stopped %v", i, cb, stopped)
				}
			}
		})
	}
}

// TestStoreIsAway has Redis gone while attempts run: their outcome is recorded
// when it is back, and nothing is sent twice.
func TestStoreIsAway(t *testing.T) {
	t.Parallel()
	var tries int
	deliver(t, 0, func(context.Context, string, string, []byte) Result {
		tries++
		time.Sleep(time.Second)
		return Result{Status: 200}
	}, func(s *fakeStore, _ *Deliverer) {
		id := s.add("http://a.example/")
		time.Sleep(500 * time.Millisecond)
		s.mu.Lock()
		s.down = true
		s.mu.Unlock()
		time.Sleep(20 * time.Second)
		s.mu.Lock()
		s.down = false
		s.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if cb := s.of(id); cb.outcome != jobstore.CallbackDelivered || cb.attempts != 1 || tries != 1 {
			t.Errorf("%+v after %d posts", cb, tries)
		}
	})
}
