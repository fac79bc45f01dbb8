package hub

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"longshore/job"
)

// marked returns what a watcher takes now.
func marked(w *Watcher) []job.ID {
	select {
	case <-w.Moved():
		return w.Take(1000)
	default:
		return nil
	}
}

func expect(t *testing.T, w *Watcher, want ...job.ID) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, marked(w)); diff != "" {
		t.Errorf("marked (-want +got):\n%s", diff)
	}
}

func TestWatcher(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newRecords()
		for n := range 4 {
			f.put(id(n), 3, false)
		}
		h, stop := run(t, f)
		defer stop()
		w := h.Watch()
		defer w.Close()
		w.Add(id(0), 3)
		w.Add(id(1), 0)
		w.Add(id(2), 3)
		expect(t, w, id(0), id(1), id(2)) // what is new is looked at
		w.Seen(id(1), 3)
		expect(t, w)
		// Many changes are one mark; what has been seen is none.
		for rev := int64(4); rev < 100; rev++ {
			f.put(id(2), rev, false)
			f.put(id(0), rev, false)
		}
		f.event(job.Rev{ID: id(1), Rev: 3})
		f.put(id(3), 9, false)
		expect(t, w, id(2), id(0))
		w.Seen(id(0), 99)
		f.event(job.Rev{ID: id(0), Rev: 98}) // late
		expect(t, w)
		// A job that is no longer watched is not told of, even if it is marked.
		w.Seen(id(2), 99)
		f.put(id(1), 4, true)
		f.put(id(2), 100, true)
		w.Remove(id(1))
		f.put(id(1), 5, true)
		if w.Len() != 2 || w.Has(id(1)) || !w.Has(id(0)) {
			t.Errorf("%d jobs are watched", w.Len())
		}
		expect(t, w, id(2))
		// Watched anew, it is looked at anew.
		w.Add(id(0), 7)
		expect(t, w, id(0))
	})
}

func TestWatcherTakesBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, stop := run(t, newRecords())
		defer stop()
		w := h.Watch()
		defer w.Close()
		for n := range 70 {
			w.Add(id(n), 0)
		}
		var sizes []int
		for range 3 {
			<-w.Moved()
			sizes = append(sizes, len(w.Take(32)))
		}
		if diff := cmp.Diff([]int{32, 32, 6}, sizes); diff != "" || marked(w) != nil {
			t.Errorf("batches (-want +got):\n%s", diff)
		}
	})
}

// With every message lost, the look of all marks what has moved, gone or ended,
// and again as long as the watcher has not seen it.
func TestWatcherWithoutMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newRecords()
		for n := range 5 {
			f.put(id(n), 1, false)
		}
		h, stop := run(t, f)
		defer stop()
		f.set(func() { f.lose = true })
		w := h.Watch()
		defer w.Close()
		for n := range 5 {
			w.Add(id(n), 1)
		}
		expect(t, w, id(0), id(1), id(2), id(3), id(4))
		f.put(id(1), 2, false)
		f.set(func() { delete(f.revs, id(2)) })
		f.put(id(3), 1, true) // its end was seen, and not taken notice of: the look failed
		begun := time.Now()
		for range 2 {
			got := map[job.ID]bool{}
			for len(got) < 3 {
				<-w.Moved()
				for _, id := range w.Take(10) {
					got[id] = true
				}
			}
			if !got[id(1)] || !got[id(2)] || !got[id(3)] || time.Since(begun) > 2500*time.Millisecond {
				t.Errorf("%v after %v", got, time.Since(begun))
			}
			begun = time.Now()
		}
		f.set(func() { f.fail = errors.New("down") })
		time.Sleep(2 * Fallback)
		expect(t, w)
	})
}

// Watchers come and go while jobs change: each ends up with the last revision.
func TestWatcherHammer(t *testing.T) {
	t.Parallel()
	f := newRecords()
	const jobs, watchers, last = 20, 30, 200
	for n := range jobs {
		f.put(id(n), 1, false)
	}
	h, stop := run(t, f)
	defer stop()
	var g sync.WaitGroup
	for range watchers {
		g.Go(func() {
			w := h.Watch()
			defer w.Close()
			revs := map[job.ID]int64{}
			for n := range jobs {
				w.Add(id(n), 0)
			}
			for w.Len() > 0 {
				<-w.Moved()
				for _, j := range w.Take(7) {
					f.mu.Lock()
					r := f.revs[j]
					f.mu.Unlock()
					if r.Rev < revs[j] {
						t.Errorf("rev %d after %d", r.Rev, revs[j])
					}
					revs[j] = r.Rev
					switch {
					case r.Done:
						w.Remove(j)
					case r.Rev%50 == 0:
						w.Add(j, r.Rev)
					default:
						w.Seen(j, r.Rev)
					}
				}
			}
			for j, rev := range revs {
				if rev != last {
					t.Errorf("%s ended at %d", j, rev)
				}
			}
		})
	}
	for n := range jobs {
		g.Go(func() {
			for rev := int64(2); rev <= last; rev++ {
				f.put(id(n), rev, rev == last)
			}
		})
	}
	g.Wait()
}

// What many watchers of a job keep of it is one text, and nothing of a burst of
// marks once all are taken, in however small parts.
func TestWatchersKeepLittle(t *testing.T) {
	t.Parallel()
	h := New(nil, slog.New(slog.DiscardHandler))
	var first *Watcher
	for range 3 {
		w := h.Watch()
		defer w.Close()
		for i := range 1000 {
			id := job.ID(fmt.Sprintf("job%d", i))
			w.Add(id, 0)
			if first == nil {
				continue
			}
			if a, b := string(first.entries[id].want.ID),
				string(w.entries[id].want.ID); unsafe.StringData(a) != unsafe.StringData(b) {
				t.Fatalf("%s is kept twice", id)
			}
		}
		if first == nil {
			first = w
		}
		n := 0
		for ids := w.Take(32); len(ids) > 0; ids = w.Take(32) {
			n += len(ids)
		}
		if n != 1000 || cap(w.order) > 0 {
			t.Errorf("%d were marked, room for %d marks is kept", n, cap(w.order))
		}
	}
}
