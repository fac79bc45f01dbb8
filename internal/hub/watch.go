package hub

import (
	"maps"
	"slices"
	"sync"

	"longshore/job"
)

// A Watcher tells one request, again and again, which of its jobs may have
// moved on from what the request has seen. It says "look", not what is there:
// however often a job moves before its watcher looks, that is one mark, so a
// slow reader holds no backlog. It has no goroutine; its methods are for one
// goroutine at a time. Close it.
type Watcher struct {
	hub     *Hub
	entries map[job.ID]*entry
	ready   chan struct{} // one token: some are marked

	mu    sync.Mutex
	order []*entry // those that are marked, and some that no longer are
}

// Watch returns a watcher of no jobs.
func (h *Hub) Watch() *Watcher {
	return &Watcher{hub: h, entries: map[job.ID]*entry{}, ready: make(chan struct{}, 1)}
}

// Add watches a job of which the revision after was seen (0 = none). It is
// marked at once: what changed before it was watched, a look tells.
func (w *Watcher) Add(id job.ID, after int64) {
	if w.entries[id] != nil {
		w.Remove(id)
	}
	e := &entry{want: Want{ID: id, After: after}, watcher: w}
	w.hub.register(e)
	w.entries[e.want.ID] = e
	w.mark(e)
}

// Remove ends the watch of a job.
func (w *Watcher) Remove(id job.ID) {
	e := w.entries[id]
	if e == nil {
		return
	}
	delete(w.entries, id)
	w.hub.unregister(e)
	w.mu.Lock()
	e.marked = false
	w.mu.Unlock()
}

// Len returns the number of jobs that are watched.
func (w *Watcher) Len() int { return len(w.entries) }

// IDs returns the jobs that are watched, in no order.
func (w *Watcher) IDs() []job.ID { return slices.Collect(maps.Keys(w.entries)) }

// Has reports whether a job is watched.
func (w *Watcher) Has(id job.ID) bool { return w.entries[id] != nil }

// After returns the revision of a job that was seen last; 0 of one that isn't watched.
func (w *Watcher) After(id job.ID) int64 {
	e := w.entries[id]
	if e == nil {
		return 0
	}
	s := w.hub.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.want.After
}

// Seen notes the revision that a look has shown, so that only another one
// marks the job again.
func (w *Watcher) Seen(id job.ID, rev int64) {
	if e := w.entries[id]; e != nil {
		s := w.hub.shard(id)
		s.mu.Lock()
		e.want.After = rev
		s.mu.Unlock()
	}
}

// Moved has a token when Take has something to return.
func (w *Watcher) Moved() <-chan struct{} { return w.ready }

// Take returns marked jobs, in the order in which they were marked, at most
// max, and unmarks them: look at them now. A job whose look fails is marked
// again by the next fallback.
func (w *Watcher) Take(max int) []job.ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []job.ID
	n := 0
	for _, e := range w.order {
		if len(ids) == max {
			break
		}
		n++
		if e.marked {
			e.marked = false
			ids = append(ids, e.want.ID)
		}
	}
	w.order = slices.Delete(w.order, 0, n)
	if len(w.order) == 0 {
		w.order = nil // a burst's room is not kept
	} else {
		w.signal()
	}
	return ids
}

// Close ends all watches.
func (w *Watcher) Close() {
	for _, e := range w.entries {
		w.hub.unregister(e)
	}
	clear(w.entries)
}

// mark is called by the hub too, which holds a shard's lock then: it takes no
// other lock than its own.
func (w *Watcher) mark(e *entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.marked {
		return
	}
	e.marked = true
	w.order = append(w.order, e)
	w.signal()
}

func (w *Watcher) signal() {
	select {
	case w.ready <- struct{}{}:
	default: // it is there already
	}
}
