package push

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/web/edge"
	"longshore/job"
)

// A feed is a stream of Server-Sent Events about some jobs: what the client
// knows of each of them, and how that is written as a cursor.
type feed struct {
	jobs   []job.Rev      // Rev is what the client knows; Done: it has been told all
	place  map[job.ID]int // in jobs
	cursor func() string  // of all that the client has been told
	open   int            // jobs that are not Done
	alone  bool           // the stream of one job, which is 404 without it
	again  bool           // the client has been here before
	drawn  bool           // the one job needn't be there yet
	answer *edge.Answer   // where it goes
	show   func(job.Snapshot) job.Snapshot
}

// jobEvents streams the changes of one job. The cursor is its revision.
func (h *Handler) jobEvents(a *edge.Answer, r *http.Request) error {
	id, err := httpapi.PathID(r)
	if err != nil {
		return err
	}
	known := job.Rev{ID: id}
	p := httpapi.Params{Values: r.URL.Query()}
	p.Take("after", func(text string) error { return parseRev(text, &known.Rev) })
	if err := p.Err(); err != nil {
		return err
	}
	if last, place := lastEvent(r); last != "" {
		if err := parseRev(last, &known.Rev); err != nil {
			return httpapi.InvalidAt(place, err.Error())
		}
	}
	f := &feed{jobs: []job.Rev{known}, alone: true, show: h.show, drawn: a.Who.Draws(string(id))}
	f.cursor = func() string { return strconv.FormatInt(f.jobs[0].Rev, 10) }
	return h.stream(a, r, f)
}

// lastEvent returns the cursor with which a client comes back, and where it stood: in
// the header, as EventSource has it, or in a parameter, as libraries do that can't set
// one, each in a spelling of its own (lastEventId, lastEventID, last-event-id).
func lastEvent(r *http.Request) (cursor, place string) {
	if last := r.Header.Get(httpapi.HeaderLastEventID); last != "" {
		return last, "/headers/" + httpapi.HeaderLastEventID
	}
	query := r.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if strings.EqualFold(strings.NewReplacer("-", "", "_", "").Replace(name), "lastEventId") {
			values := query[name]
			cursor, place = values[len(values)-1], "?"+name // those before were added at earlier reconnects
		}
	}
	return cursor, place
}

var errRev = errors.New("expected a revision: a whole number from 0")

func parseRev(text string, rev *int64) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return errRev
	}
	*rev = n
	return nil
}

// manyEvents streams the changes of several jobs. The cursor has the form of
// the parameter id, with what the client has been told of each.
func (h *Handler) manyEvents(a *edge.Answer, r *http.Request) error {
	f := &feed{show: h.show}
	p := httpapi.Params{Values: r.URL.Query()}
	p.Take("id", func(text string) (err error) {
		f.jobs, err = httpapi.ParseRevs(text)
		return err
	})
	if err := p.Err(); err != nil {
		return err
	}
	if f.jobs == nil {
		return httpapi.InvalidAt("?id", httpapi.ErrRevs.Error())
	}
	if last, place := lastEvent(r); last != "" {
		seen, err := httpapi.ParseRevs(last)
		if err != nil {
			return httpapi.InvalidAt(place, httpapi.ErrRevs.Error())
		}
		f.again = true
		for _, s := range seen {
			for i := range f.jobs {
				if f.jobs[i].ID == s.ID {
					f.jobs[i].Rev = s.Rev
				}
			}
		}
	}
	f.cursor = func() string { return httpapi.FormatRevs(f.jobs) }
	return h.stream(a, r, f)
}

// lookBatch is how many jobs of one client are read at a time: their results
// are all in memory then.
const lookBatch = 32

// stream answers with a feed until all of its jobs have ended, the client has
// left, or the server stops. Beyond the caps it says how things are, and ends.
func (h *Handler) stream(a *edge.Answer, r *http.Request, f *feed) error {
	ctx := r.Context()
	f.answer = a
	a.SetIdle(h.Idle)
	credential := last(a.Who) // before anything is told
	defer credential.end()
	f.place, f.open = make(map[job.ID]int, len(f.jobs)), len(f.jobs)
	watch := h.hub.Watch()
	defer watch.Close()
	for i, j := range f.jobs {
		f.place[j.ID] = i
		if a.Who.Sees(string(j.ID)) {
			watch.Add(j.ID, j.Rev)
		}
	}
	first, err := h.records.GetMany(ctx, a.View(), watch.Take(len(f.jobs)))
	if err != nil {
		return err
	}
	for _, j := range f.jobs {
		if !a.Who.Sees(string(j.ID)) {
			first = append(first, job.Reading{Snapshot: job.Snapshot{ID: j.ID}, Err: job.ErrNotFound})
		}
	}
	if f.alone && first[0].Err != nil && !f.awaits(first[0]) {
		return first[0].Err
	}
	if f.ended(first) {
		a.WriteHeader(http.StatusNoContent) // EventSource comes again until it gets this
		return nil
	}
	retry := jitter(time.Second)
	if admitted := h.waiters.admit(a); admitted {
		defer h.waiters.Leave(a)
	} else {
		retry, f.open = jitter(4*time.Second), 0
	}
	edge.BoundSendBuffer(ctx)
	header := a.Header()
	header.Set("Content-Type", httpapi.TypeEvents)
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no") // nginx
	if r.Method == http.MethodHead {
		a.WriteHeader(http.StatusOK)
		return nil
	}
	var text bytes.Buffer
	writeRetry(&text, retry)
	f.report(&text, watch, first)
	if f.flush(&text) {
		h.goOn(ctx, f, watch, credential)
	}
	return nil
}

// awaits reports whether a job that isn't there is one that may still come.
func (f *feed) awaits(r job.Reading) bool {
	return f.drawn && errors.Is(r.Err, job.ErrNotFound) && !errors.Is(r.Err, job.ErrStoreReset)
}

// goOn is what follows the first look.
func (h *Handler) goOn(ctx context.Context, f *feed, watch *hub.Watcher, credential *lasting) {
	heartbeat := time.NewTicker(h.Heartbeat)
	defer heartbeat.Stop()
	for alive := true; alive && f.open > 0; {
		var text bytes.Buffer // not kept while nothing happens
		select {
		case <-ctx.Done():
			return
		case <-h.stopping.Done():
			writeRetry(&text, jitter(time.Second))
			f.flush(&text)
			return
		case <-credential.ended:
			code := httpapi.Unauthorized
			if errors.Is(f.answer.Who.Err(), access.ErrExpired) {
				code = httpapi.TokenExpired
			}
			writeEvent(&text, "unauthorized", f.cursor(), unauthorized{code})
			f.flush(&text)
			return
		case <-credential.soon():
			writeEvent(&text, "expiring", f.cursor(), expiring{f.answer.Who.Expires})
		case <-heartbeat.C:
			text.WriteString(":\n\n")
		case <-watch.Moved():
			readings, err := h.records.GetMany(ctx, f.answer.View(), watch.Take(lookBatch))
			if err != nil {
				continue // the hub's next look of all marks them again
			}
			f.report(&text, watch, readings)
		}
		alive = f.flush(&text)
	}
}

// ended reports whether there is nothing to tell, now or ever.
func (f *feed) ended(readings []job.Reading) bool {
	for _, r := range readings {
		// it has been told so, or would be, again and again
		gone := f.again && errors.Is(r.Err, job.ErrNotFound)
		if !gone && (r.Err != nil || !r.Done || r.Rev != f.jobs[f.place[r.ID]].Rev) {
			return false
		}
	}
	return true
}

// report writes what is news to the client.
func (f *feed) report(text *bytes.Buffer, watch *hub.Watcher, readings []job.Reading) {
	for _, r := range readings {
		known := &f.jobs[f.place[r.ID]]
		if known.Done {
			continue
		}
		switch {
		case f.awaits(r) && known.Rev == 0: // a mark comes when it is there
		case r.Err != nil:
			f.close(known, watch)
			writeEvent(text, "missing", f.cursor(), missingJob{r.ID, codeOfReading(r.Err)})
		case r.Rev != known.Rev:
			known.Rev = r.Rev
			watch.Seen(r.ID, r.Rev)
			writeEvent(text, "state", f.cursor(), f.show(r.Snapshot))
		}
		if r.Err == nil && r.Done {
			f.close(known, watch)
		}
	}
}

func (f *feed) close(known *job.Rev, watch *hub.Watcher) {
	known.Done = true
	f.open--
	watch.Remove(known.ID)
}

// flush sends what was written. It reports whether the client still takes it.
func (f *feed) flush(text *bytes.Buffer) bool {
	return text.Len() == 0 || f.answer.Send(text.Bytes()) == nil
}

// writeEvent writes one event, whose data is one line of JSON.
func writeEvent(text *bytes.Buffer, name, cursor string, data any) {
	fmt.Fprintf(text, "event: %s\nid: %s\ndata: ", name, cursor)
	enc := json.NewEncoder(text)
	enc.SetEscapeHTML(false)
	enc.Encode(data) // of texts and numbers: can't fail; it ends the line
	text.WriteByte('\n')
}

// writeRetry tells the client when to come back after the stream has ended.
func writeRetry(text *bytes.Buffer, after time.Duration) {
	fmt.Fprintf(text, "retry: %d\n\n", after.Milliseconds())
}

// jitter draws a time between half of d and one and a half.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }
