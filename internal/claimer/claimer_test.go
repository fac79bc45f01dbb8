package claimer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/answer"
	"longshore/client"
	"longshore/job"
)

// A fake is a server of claims, which hands out each of its jobs once.
type fake struct {
	t *testing.T

	mu    sync.Mutex
	jobs  []client.ClaimedJob
	stops map[job.ID]string
	lines map[job.ID][]string // as they were numbered; a repeat changes nothing
	ends  map[job.ID]client.FinishJob
	calls map[string]int
	done  chan struct{} // closed with the last end
	gone  chan struct{} // closed by stop
}

func newFake(t *testing.T, n int) (*fake, Config) {
	t.Helper()
	f := &fake{t: t, stops: map[job.ID]string{}, lines: map[job.ID][]string{},
		ends: map[job.ID]client.FinishJob{}, calls: map[string]int{}, done: make(chan struct{}),
		gone: make(chan struct{})}
	for range n {
		id := job.NewID(time.Now())
		f.jobs = append(f.jobs, client.ClaimedJob{ID: id, Claim: "c" + string(id), Type: "a.b", Attempt: 1,
			MaxAttempts: 3, TimeoutMS: time.Hour.Milliseconds(), LeaseMS: 30_000})
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	c, err := client.New(client.Config{URL: server.URL, RetryFor: -1})
	if err != nil {
		t.Fatal(err)
	}
	return f, Config{Client: c, Types: []string{"a.*"}, Slots: 4, Worker: "h:1:x", Grace: time.Minute,
		Log: slog.New(slog.DiscardHandler)}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.calls[r.URL.Path]++
	var told any
	switch r.URL.Path {
	case "/v1/claims":
		told = f.claim(w, r)
	case "/v1/claims/renew":
		told = f.renew(r)
	case "/v1/claims/finish":
		told = f.finish(r)
	case "/v1/claims/stop":
		close(f.gone)
		w.WriteHeader(http.StatusNoContent)
	}
	f.mu.Unlock()
	if told != nil {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(told)
	}
}

// read reads a request; the lock is held.
func read[T any](f *fake, r *http.Request) (body T) {
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		f.t.Error(err)
	}
	return body
}

// claim hands out all that there is, whatever was asked for.
func (f *fake) claim(w http.ResponseWriter, r *http.Request) any {
	read[client.ClaimRequest](f, r)
	if jobs := f.jobs; len(jobs) > 0 {
		f.jobs = nil
		return client.Claimed{Jobs: jobs}
	}
	f.mu.Unlock()
	select {
	case <-f.gone:
	case <-r.Context().Done():
	}
	f.mu.Lock()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (f *fake) renew(r *http.Request) any {
	ask := read[client.RenewRequest](f, r)
	var told answer.Renewed
	stop := false
	for _, one := range ask.Jobs {
		f.say(one.ID, one.Log)
		told.Jobs = append(told.Jobs, client.RenewedJob{ID: one.ID, LeaseMS: 30_000, Stop: f.stops[one.ID]})
		stop = stop || f.stops[one.ID] != ""
	}
	if ask.Wait != "" && !stop {
		f.mu.Unlock()
		select {
		case <-r.Context().Done():
		case <-time.After(2 * time.Second):
		}
		f.mu.Lock()
	}
	return told
}

func (f *fake) say(id job.ID, log *answer.ClaimLog) {
	if log == nil {
		return
	}
	for i, line := range log.Lines {
		switch at := int(log.From) - 1 + i; {
		case at == len(f.lines[id]):
			f.lines[id] = append(f.lines[id], line)
		case at > len(f.lines[id]):
			f.t.Errorf("line %d comes after %d", at+1, len(f.lines[id]))
		case f.lines[id][at] != line:
			f.t.Errorf("line %d was %q, and is %q", at+1, f.lines[id][at], line)
		}
	}
}

func (f *fake) finish(r *http.Request) any {
	ask := read[answer.FinishRequest](f, r)
	one := ask.Jobs[0]
	f.say(one.ID, one.Log)
	f.ends[one.ID] = one
	if len(f.ends) == 4 {
		close(f.done)
	}
	return answer.Finished{Jobs: []client.FinishedJob{{ID: one.ID, State: job.Succeeded}}}
}

// TestRun has jobs that say much at the same time, one that is canceled, and more of them than there are
// slots; then the process is to end.
func TestRun(t *testing.T) {
	t.Parallel()
	f, c := newFake(t, 6)
	canceled := f.jobs[3].ID
	started := make(chan struct{})
	c.Do = func(ctx context.Context, j *Job) client.FinishJob {
		if j.ID == canceled {
			close(started)
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), ErrCanceled) {
				t.Errorf("stopped for %v", context.Cause(ctx))
			}
			return client.FinishJob{Error: &answer.ClaimFailure{Message: "stopped"}}
		}
		for n := range 100 {
			j.AddLog(fmt.Sprintf("%d %s", n, strings.Repeat("<", 200)))
			j.SetProgress(answer.ClaimProgress{Done: int64(n)})
		}
		for f.said(j.ID) == 0 { // each has its turn, however much the others say
			select {
			case <-ctx.Done():
				return client.FinishJob{}
			case <-time.After(10 * time.Millisecond):
			}
		}
		j.AddLog("last")
		return client.FinishJob{Result: json.RawMessage(`"<>"`)}
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, c) }()
	<-started
	f.mu.Lock()
	f.stops[canceled] = answer.StopCanceled
	f.mu.Unlock()
	<-f.done
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, one := range f.ends {
		lines := f.lines[id]
		switch {
		case id == canceled && (one.Error == nil || one.Error.Message != ErrCanceled.Error()):
			t.Errorf("canceled: %+v", one)
		case id != canceled && (len(lines) != 101 || lines[100] != "last" || string(one.Result) != `"<>"`):
			t.Errorf("%d lines, %s", len(lines), one.Result)
		}
	}
	if n := f.calls["/v1/claims/renew"]; n > 200 {
		t.Errorf("%d renewals", n)
	}
}

// said is how many lines of a job have come.
func (f *fake) said(id job.ID) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.lines[id])
}

// TestDrain ends a process whose job goes on: it is stopped after the grace, and released.
func TestDrain(t *testing.T) {
	t.Parallel()
	f, c := newFake(t, 1)
	id := f.jobs[0].ID
	ctx, end := context.WithCancel(t.Context())
	defer end()
	c.Grace = 10 * time.Millisecond
	c.Do = func(ctx context.Context, _ *Job) client.FinishJob {
		end()
		<-ctx.Done()
		return client.FinishJob{Error: &answer.ClaimFailure{Message: context.Cause(ctx).Error()}}
	}
	err := Run(ctx, c)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || !f.ends[id].Release || f.ends[id].Error != nil {
		t.Errorf("%+v, %v", f.ends[id], err)
	}
}

// TestRefused ends at what time doesn't mend, and at nothing else.
func TestRefused(t *testing.T) {
	t.Parallel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			http.Error(w, "a proxy's", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"code":"forbidden","detail":"no"}`))
	}))
	t.Cleanup(server.Close)
	c, err := client.New(client.Config{URL: server.URL, RetryFor: -1})
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), Config{Client: c, Types: []string{"a.b"}, Slots: 1, Worker: "w",
		Log: slog.New(slog.DiscardHandler)})
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Code != client.Forbidden || asked != 2 {
		t.Errorf("after %d requests: %v", asked, err)
	}
}

// TestLinesInRoom drops the oldest lines where more wait than a request has room for.
func TestLinesInRoom(t *testing.T) {
	t.Parallel()
	j := &Job{next: 1, news: make(chan struct{}, 1)}
	for n := range 3000 {
		j.AddLog(fmt.Sprint(n))
	}
	j.AddLog(strings.Repeat("ä", maxLine))
	log := j.rest()
	if len(log.Lines) != maxCount || log.From != 3001-maxCount+1 || log.Lines[0] != fmt.Sprint(log.From-1) ||
		len(log.Lines[maxCount-1]) > maxLine || !slices.Equal([]string{"2999"}, log.Lines[maxCount-2:maxCount-1]) {
		t.Errorf("%d lines from %d", len(log.Lines), log.From)
	}
}
