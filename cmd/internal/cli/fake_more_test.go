package cli

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/job"
)

// more are the routes of lists, batches and the like.
func (f *fake) more(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/jobs/batch", f.batch)
	mux.HandleFunc("POST /v1/jobs/{id}/retry", f.retry)
	mux.HandleFunc("GET /v1/jobs", f.list)
	mux.HandleFunc("GET /v1/queues", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, httpapi.QueueList{Queues: []httpapi.QueueInfo{
			{Queue: "io-high", Lane: job.LaneIO, Priority: job.High, Pending: 3, Active: 1, LatencyMS: 90_000,
				Paused: true}}})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, httpapi.Status{Status: "ok"})
	})
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"info": map[string]string{"version": "v9.9.9"}})
	})
}

// create adds a job.
func (f *fake) create(typ string) *job.Snapshot {
	id := fmt.Sprintf("0199c0de-0000-7000-8000-%012d", len(f.jobs)+1)
	snap := &job.Snapshot{ID: job.ID(id), Type: typ, State: job.Queued, Rev: 1, Lane: job.LaneIO,
		Priority: job.Default}
	f.jobs[id] = snap
	return snap
}

func (f *fake) batch(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", httpapi.TypeNDJSON)
	f.mu.Lock()
	defer f.mu.Unlock()
	number := int64(0)
	for line := range strings.Lines(string(text)) {
		number++
		var req submit.Request
		err := req.ReadLine([]byte(strings.TrimSpace(line)))
		a := httpapi.BatchAnswer{Line: number, Created: true}
		if err != nil {
			a = httpapi.Refusal(number, httpapi.AsError(err))
		} else {
			a.ID = f.create(req.Type).ID
		}
		w.Write(a.AppendJSON(nil))
	}
}

func (f *fake) retry(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.jobs[r.PathValue("id")]
	switch {
	case old == nil:
		problem(w, httpapi.NewError(httpapi.NotFound, "there is no such job"))
	case !old.Done:
		problem(w, httpapi.NewError(httpapi.Conflict, "the job has not ended"))
	default:
		answer(w, http.StatusAccepted, f.create(old.Type))
	}
}

// list pages through the jobs; with id it moves each on by a step.
func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := httpapi.JobList{Jobs: []job.Snapshot{}}
	if revs, err := httpapi.ParseRevs(r.FormValue("id")); err == nil {
		for _, rev := range revs {
			snap := f.jobs[string(rev.ID)]
			if snap == nil {
				list.Missing = append(list.Missing, rev.ID)
				continue
			}
			for !snap.Done && (rev.Rev == snap.Rev || r.FormValue("until") == httpapi.UntilDone) &&
				f.step(snap) {
			}
			if snap.Rev != rev.Rev {
				list.Jobs = append(list.Jobs, *snap)
			}
		}
		answer(w, 200, list)
		return
	}
	if r.FormValue("type") == "test.rare" { // far behind: pages that looked at many jobs and found none
		scanned, complete := 5000, false
		next := map[string]string{"": "rare-2", "rare-2": "rare-3"}[r.FormValue("cursor")]
		if next != "" {
			answer(w, 200, httpapi.JobList{Jobs: list.Jobs, Next: next, Scanned: &scanned,
				Complete: &complete})
			return
		}
		rare := job.Snapshot{ID: "0199c0de-0000-7000-8000-00000000fefe", Type: "test.rare", State: job.Failed}
		scanned = 70
		answer(w, 200, httpapi.JobList{Jobs: []job.Snapshot{rare}, Next: string(rare.ID), Scanned: &scanned,
			Complete: &complete})
		return
	}
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	for _, snap := range f.jobs {
		if (r.FormValue("state") == "" || string(snap.State) == r.FormValue("state")) &&
			(r.FormValue("type") == "" || snap.Type == r.FormValue("type")) &&
			(r.FormValue("cursor") == "" || string(snap.ID) < r.FormValue("cursor")) {
			list.Jobs = append(list.Jobs, *snap)
		}
	}
	slices.SortFunc(list.Jobs, func(a, b job.Snapshot) int { return -cmp.Compare(a.ID, b.ID) })
	if len(list.Jobs) > limit {
		list.Jobs = list.Jobs[:limit]
		list.Next = string(list.Jobs[limit-1].ID)
	}
	answer(w, 200, list)
}
