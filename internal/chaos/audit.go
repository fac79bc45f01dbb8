//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"longshore/internal/chaos/history"
	"longshore/internal/chaos/load"
	"longshore/internal/chaos/machine"
	"longshore/internal/httpapi"
	"longshore/job"
)

// An auditor asks, when all faults are off, what became of everything.
type auditor struct {
	machine  *machine.Machine
	log      *history.Log
	programs string // folder
	http     *http.Client
}

// auditors is how many requests are under way at once.
const auditors = 8

// run asks for each job until it has ended or ctx has, then for all else.
func (a *auditor) run(ctx context.Context, jobs []load.Job) {
	// the last round is made whole
	asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Hour)
	defer cancel()
	for open := jobs; len(open) > 0; {
		last := ctx.Err() != nil
		open = a.round(asked, open, last)
		if last {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
	var all sync.WaitGroup
	for w := range auditors {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 8))
			for i := w; i < len(jobs); i += auditors {
				if jobs[i].Hook {
					a.callback(ctx, r, jobs[i].ID)
				}
			}
		})
	}
	all.Wait()
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	r := rand.New(rand.NewPCG(0, 9))
	a.list(detached, r)
	a.tickets(detached, r)
	for i := range min(5, len(jobs)) {
		a.commandLine(detached, r, jobs[i*len(jobs)/5].ID)
	}
	a.machine.CommandLines()
}

// get asks until it is answered by no 503, or ctx ends: then the status is 0.
func (a *auditor) get(ctx context.Context, r *rand.Rand, path string) (status int, body []byte, from int64) {
	for ctx.Err() == nil {
		from = a.log.Now()
		if _, base, ok := a.machine.Serving(r, ""); ok {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
			if err != nil {
				panic(err) // addresses are the programs' own
			}
			req.Header.Set("Authorization", "Bearer "+machine.Token)
			if resp, err := a.http.Do(req); err == nil {
				body, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if err == nil && resp.StatusCode != http.StatusServiceUnavailable {
					return resp.StatusCode, body, from
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return 0, nil, from
}

// round asks once for each of some jobs, and returns those that have not ended; the last one
// notes them too.
func (a *auditor) round(ctx context.Context, jobs []load.Job, last bool) (open []load.Job) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range auditors {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 9))
			for i := w; i < len(jobs); i += auditors {
				if !a.job(ctx, r, jobs[i], last) {
					mu.Lock()
					open = append(open, jobs[i])
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return open
}

// job notes how a job has ended, and what it made. It says false of one that has not, which it
// notes if it is asked for the last time.
func (a *auditor) job(ctx context.Context, r *rand.Rand, j load.Job, last bool) bool {
	e := history.Event{Kind: history.Final, Job: string(j.ID)}
	var s job.Snapshot
	var body []byte
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	e.Status, body, e.From = a.get(ctx, r, httpapi.JobPath(j.ID))
	if e.Status == http.StatusOK && json.Unmarshal(body, &s) != nil {
		e.Status = 0
	}
	if !last && (e.Status == 0 || e.Status == http.StatusOK && !s.Done) {
		return false
	}
	seen := load.Seen(&s, "")
	e.State, e.Rev, e.Attempt, e.Digest, e.N = seen.State, seen.Rev, seen.Attempt, seen.Digest,
		int64(len(s.Errors))
	if s.Error != nil {
		e.Code, e.Text = string(s.Error.Code), s.Error.Message
	}
	a.log.Add(e)
	if s.State == job.Succeeded {
		a.result(ctx, r, j)
	}
	return true
}

// result reads what a job made.
func (a *auditor) result(ctx context.Context, r *rand.Rand, j load.Job) {
	status, body, from := a.get(ctx, r, httpapi.ResultPath(j.ID))
	e := history.Event{Kind: history.Result, Job: string(j.ID), Type: j.Type, Status: status, From: from,
		Text: j.Want, Digest: string(body)}
	if len(body) > 1000 {
		sum := sha256.Sum256(body)
		e.Digest = hex.EncodeToString(sum[:])
	}
	a.log.Add(e)
}

// callback waits until a callback was delivered, or the time for that is over.
func (a *auditor) callback(ctx context.Context, r *rand.Rand, id job.ID) {
	var d struct {
		State string `json:"state"`
	}
	for ctx.Err() == nil {
		status, body, _ := a.get(ctx, r, httpapi.CallbackPath(id))
		if json.Unmarshal(body, &d) == nil && d.State == "delivered" || status == http.StatusNotFound {
			return // a job that is gone is I1's
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	a.log.Add(history.Event{Kind: history.Left, Way: "callback", Job: string(id), Text: "the callback is " +
		d.State})
}

// list notes all jobs that are there.
func (a *auditor) list(ctx context.Context, r *rand.Rand) {
	query := url.Values{"limit": {"100"}}
	for {
		status, body, _ := a.get(ctx, r, httpapi.PathJobs+"?"+query.Encode())
		var page httpapi.JobList
		if err := json.Unmarshal(body, &page); err != nil || status != http.StatusOK {
			a.log.Add(history.Event{Kind: history.Left, Way: "list",
				Text: fmt.Sprintf("the list can't be read: %d, %v", status, err)})
			return
		}
		for _, s := range page.Jobs {
			a.log.Add(history.Event{Kind: history.Listed, Job: string(s.ID), State: string(s.State)})
		}
		if page.Next == "" {
			return
		}
		query.Set("cursor", page.Next)
	}
}

// tickets looks whether any is left, a moment after all jobs have ended.
func (a *auditor) tickets(ctx context.Context, r *rand.Rand) {
	var left []string
	for range 30 {
		_, body, _ := a.get(ctx, r, httpapi.PathQueues)
		var list httpapi.QueueList
		if err := json.Unmarshal(body, &list); err != nil {
			left = []string{err.Error()}
			break
		}
		left = nil
		for _, q := range list.Queues {
			if q.Pending+q.Active > 0 {
				left = append(left, fmt.Sprintf("%s: %d pending, %d active", q.Queue, q.Pending, q.Active))
			}
		}
		if left == nil {
			return
		}
		<-time.After(500 * time.Millisecond)
	}
	for _, text := range left {
		a.log.Add(history.Event{Kind: history.Left, Way: "ticket", Text: text})
	}
}

// commandLine asks for a job by the command line.
func (a *auditor) commandLine(ctx context.Context, r *rand.Rand, id job.ID) {
	_, base, ok := a.machine.Serving(r, "")
	if !ok {
		return
	}
	cmd := exec.CommandContext(ctx, filepath.Join(a.programs, "enqueue"), "get", string(id), "--format",
		"json")
	cmd.Env = append(a.machine.Environ(), "LONGSHORE_URL="+base)
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return len(v) > 10 && v[:10] == "REDIS_URL=" })
	from := a.log.Now()
	out, err := cmd.Output()
	var s job.Snapshot
	if err != nil || json.Unmarshal(out, &s) != nil {
		code := strconv.Itoa(cmd.ProcessState.ExitCode())
		a.log.Add(history.Event{Kind: history.Left, Way: "command line", Job: string(id),
			Text: "enqueue get: exit code " + code})
		return
	}
	e := load.Seen(&s, "cli")
	e.From = from
	a.log.Add(e)
}
