package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/job"
)

// A fake plays the server: the type of a job says how it will end. Each look
// moves a job on by one step.
type fake struct {
	mu      sync.Mutex
	jobs    map[string]*job.Snapshot
	inputs  map[string]string
	queries map[string]string
	token   string
}

func newFake() *httptest.Server {
	f := &fake{jobs: map[string]*job.Snapshot{}, inputs: map[string]string{}, queries: map[string]string{},
		token: "hunter2"}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/jobs", f.submit)
	mux.HandleFunc("POST /v1/jobs/{type}", f.submit)
	mux.HandleFunc("GET /v1/jobs/{id}", f.get)
	mux.HandleFunc("POST /v1/jobs/{id}/cancel", f.cancel)
	mux.HandleFunc("GET /v1/jobs/{id}/result", f.result)
	mux.HandleFunc("GET /v1/jobs/{id}/outputs/{name}", f.result)
	mux.HandleFunc("GET /v1/types", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, httpapi.TypeList{Types: []httpapi.TypeInfo{
			{Type: "log.analyze", Lane: job.LaneIO, Input: "required", TimeoutMS: 1_800_000, MaxAttempts: 3,
				Doc: "A report on an access log.",
				Schema: json.RawMessage(`{"type":"object","properties":{"top":{"type":"integer","minimum":1,"maximum":1000,"default":10,"description":"how many"},
					"format":{"type":"string","enum":["auto","common"],"default":"auto"},"name":{"type":["string","null"],"maxLength":9},
					"sizes":{"type":["array","null"],"items":{"type":"object","properties":{"width":{"type":"integer"}},"required":["width"]},"minItems":1}},"required":["name"]}`)},
		}})
	})
	f.more(mux)
	mux.HandleFunc("GET /html/v1/types", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>Welcome</html>")
	})
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open := r.URL.Path == "/readyz" || r.URL.Path == "/openapi.json"
		if r.Header.Get("Authorization") != "Bearer "+f.token && !open {
			problem(w, httpapi.NewError(httpapi.Unauthorized, "a token is needed"))
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", httpapi.TypeJSON)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func problem(w http.ResponseWriter, e *httpapi.Error) {
	w.Header().Set("Content-Type", httpapi.TypeProblem)
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(e)
}

func (f *fake) submit(w http.ResponseWriter, r *http.Request) {
	input, err := io.ReadAll(r.Body)
	if err != nil {
		problem(w, httpapi.NewError(httpapi.Invalid, "cut off"))
		return
	}
	typ, query := r.PathValue("type"), r.URL.RawQuery
	if typ == "" {
		var body submit.Request
		if err := body.ReadBody(input); err != nil {
			problem(w, httpapi.AsError(err))
			return
		}
		typ, query = body.Type, string(input)
	}
	if typ == "test.refused" {
		e := httpapi.NewError(httpapi.Invalid, "the payload does not fit")
		e.Errors = []httpapi.Pointer{{Pointer: "/payload/n", Detail: "expected integer"}}
		problem(w, e)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id := fmt.Sprintf("0199c0de-0000-7000-8000-%012d", len(f.jobs)+1)
	snap := &job.Snapshot{ID: job.ID(id), Type: typ, State: job.Queued, Rev: 1, Lane: job.LaneIO,
		Priority: job.Default, MaxAttempts: 3, CreatedAt: time.Unix(1_700_000_000, 0).UTC()}
	f.jobs[id], f.inputs[id], f.queries[id] = snap, string(input), query
	answer(w, http.StatusAccepted, snap)
}

// get moves the job on when it is asked with a wait.
func (f *fake) get(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	snap := f.jobs[r.PathValue("id")]
	if snap == nil {
		f.mu.Unlock()
		problem(w, httpapi.NewError(httpapi.NotFound, "there is no such job"))
		return
	}
	if after, err := strconv.ParseInt(cmp.Or(r.FormValue("after"), "-1"), 10, 64); err == nil &&
		after == snap.Rev {
		if !f.step(snap) {
			f.mu.Unlock()
			<-r.Context().Done() // nothing ever happens to it
			return
		}
	}
	copied := *snap
	f.mu.Unlock()
	answer(w, 200, copied)
}

func (f *fake) step(snap *job.Snapshot) bool {
	snap.Rev++
	if snap.State == job.Queued {
		half := 0.5
		snap.State, snap.Attempt = job.Running, 1
		snap.Progress = &job.Progress{Phase: job.PhaseRun, BytesDone: 500, BytesTotal: 1000, Fraction: &half}
		return true
	}
	switch snap.Type {
	case "test.slow":
		snap.Rev--
		return false
	case "test.fail":
		snap.State, snap.Error = job.Failed, &job.Error{Code: job.CorruptInput, Message: "gzip: bad header"}
	case "test.canceled":
		snap.State = job.Canceled
	default:
		input := f.inputs[string(snap.ID)]
		result := map[string]any{"bytes": len(input), "query": f.queries[string(snap.ID)]}
		snap.State, snap.Result = job.Succeeded, must(json.Marshal(result))
		if strings.HasPrefix(snap.Type, "file.") {
			snap.Outputs = []job.Output{{Name: "copy.txt", Size: int64(len(input)),
				ContentType: "text/plain"}}
		}
	}
	at := time.Unix(1_700_000_001, 0).UTC()
	snap.Done, snap.FinishedAt, snap.Usage = true, &at, &job.Usage{WallMS: 12}
	return true
}

func (f *fake) cancel(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	snap := f.jobs[r.PathValue("id")]
	if snap == nil {
		problem(w, httpapi.NewError(httpapi.NotFound, "there is no such job"))
		return
	}
	snap.Rev, snap.State, snap.Done, snap.CancelRequested = snap.Rev+1, job.Canceled, true, true
	answer(w, 200, snap)
}

func (f *fake) result(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := r.PathValue("id")
	snap := f.jobs[id]
	switch {
	case snap == nil:
		problem(w, httpapi.NewError(httpapi.NotFound, "there is no such job"))
	case !snap.Done:
		problem(w, httpapi.NewError(httpapi.Conflict, "the job has not ended"))
	case len(snap.Outputs) == 0:
		answer(w, 200, snap.Result)
	default:
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, f.inputs[id])
	}
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}
