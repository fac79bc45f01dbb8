package web

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

	"longshore/internal/httpapi"
	"longshore/internal/hub"
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
	answer *answer        // where it goes
	show   func(job.Snapshot) job.Snapshot
}

// jobEvents streams the changes of one job. The cursor is its revision.
func (s *Server) jobEvents(w http.ResponseWriter, r *http.Request) error {
	id, err := job.ParseID(r.PathValue("id"))
	if err != nil {
		return invalid("/path/id", err.Error())
	}
	known := job.Rev{ID: id}
	p := control{query: r.URL.Query()}
	p.take("after", func(text []byte) error { return parseRev(string(text), &known.Rev) })
	if p.wrong != nil {
		return p.wrong
	}
	if last, place := lastEvent(r); last != "" {
		if err := parseRev(last, &known.Rev); err != nil {
			return invalid(place, err.Error())
		}
	}
	f := &feed{jobs: []job.Rev{known}, alone: true, show: s.show}
	f.cursor = func() string { return strconv.FormatInt(f.jobs[0].Rev, 10) }
	return s.stream(w.(*answer), r, f)
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
func (s *Server) manyEvents(w http.ResponseWriter, r *http.Request) error {
	f := &feed{show: s.show}
	p := control{query: r.URL.Query()}
	p.take("id", func(text []byte) (err error) {
		f.jobs, err = httpapi.ParseRevs(string(text))
		return err
	})
	if p.wrong != nil {
		return p.wrong
	}
	if f.jobs == nil {
		return invalid("?id", httpapi.ErrRevs.Error())
	}
	if last, place := lastEvent(r); last != "" {
		told, err := httpapi.ParseRevs(last)
		if err != nil {
			return invalid(place, httpapi.ErrRevs.Error())
		}
		f.again = true
		for _, t := range told {
			for i := range f.jobs {
				if f.jobs[i].ID == t.ID {
					f.jobs[i].Rev = t.Rev
				}
			}
		}
	}
	f.cursor = func() string { return httpapi.FormatRevs(f.jobs) }
	return s.stream(w.(*answer), r, f)
}

// lookBatch is how many jobs of one client are read at a time: their results
// are all in memory then.
const lookBatch = 32

// stream answers with a feed until all of its jobs have ended, the client has
// left, or the server stops. Beyond the caps it says how things are, and ends.
func (s *Server) stream(a *answer, r *http.Request, f *feed) error {
	ctx := r.Context()
	f.answer, a.idle = a, s.Idle
	f.place, f.open = make(map[job.ID]int, len(f.jobs)), len(f.jobs)
	watch := s.Hub.Watch()
	defer watch.Close()
	for i, j := range f.jobs {
		f.place[j.ID] = i
		watch.Add(j.ID, j.Rev)
	}
	first, err := s.Records.GetMany(ctx, watch.Take(len(f.jobs)))
	if err != nil {
		return err
	}
	if f.alone && first[0].Err != nil {
		return first[0].Err
	}
	if f.ended(first) {
		a.WriteHeader(http.StatusNoContent) // EventSource comes again until it gets this
		return nil
	}
	retry := jitter(time.Second)
	if admitted := s.admitWaiter(a); admitted {
		defer s.waiters.leave(a.client)
	} else {
		retry, f.open = jitter(4*time.Second), 0
	}
	boundSendBuffer(ctx)
	h := a.Header()
	h.Set("Content-Type", httpapi.TypeEvents)
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx
	if r.Method == http.MethodHead {
		a.WriteHeader(http.StatusOK)
		return nil
	}
	var text bytes.Buffer
	writeRetry(&text, retry)
	f.tell(&text, watch, first)
	if f.flush(&text) {
		s.goOn(ctx, f, watch)
	}
	return nil
}

// goOn is what follows the first look.
func (s *Server) goOn(ctx context.Context, f *feed, watch *hub.Watcher) {
	beat := time.NewTicker(s.Heartbeat)
	defer beat.Stop()
	for alive := true; alive && f.open > 0; {
		var text bytes.Buffer // not kept while nothing happens
		select {
		case <-ctx.Done():
			return
		case <-s.stopping.Done():
			writeRetry(&text, jitter(time.Second))
			f.flush(&text)
			return
		case <-beat.C:
			text.WriteString(":\n\n")
		case <-watch.Moved():
			readings, err := s.Records.GetMany(ctx, watch.Take(lookBatch))
			if err != nil {
				continue // the hub's next look of all marks them again
			}
			f.tell(&text, watch, readings)
		}
		alive = f.flush(&text)
	}
}

// ended reports whether there is nothing to tell, now or ever.
func (f *feed) ended(readings []job.Reading) bool {
	for i, r := range readings {
		gone := f.again && errors.Is(r.Err, job.ErrNotFound) // it has been told so, or would be, again and again
		if !gone && (r.Err != nil || !r.Done || r.Rev != f.jobs[i].Rev) {
			return false
		}
	}
	return true
}

// tell writes what is news to the client.
func (f *feed) tell(text *bytes.Buffer, watch *hub.Watcher, readings []job.Reading) {
	for _, r := range readings {
		known := &f.jobs[f.place[r.ID]]
		if known.Done {
			continue
		}
		switch {
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
	if text.Len() == 0 {
		return true
	}
	if _, err := f.answer.Write(text.Bytes()); err != nil {
		return false
	}
	if err := f.answer.control.Flush(); err != nil {
		f.answer.cut = true
		return false
	}
	return true
}

// A missingJob is the data of event "missing": a job that is not there (any
// more), or can't be read.
type missingJob struct {
	ID   job.ID       `json:"id"`
	Code httpapi.Code `json:"code"`
}

func codeOfReading(err error) httpapi.Code {
	if errors.Is(err, job.ErrNotFound) {
		return httpapi.NotFound
	}
	return httpapi.Unavailable // damaged, or of a newer version
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
