package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/job"
)

// What operators ask for, and are told.
type (
	// A JobFilter selects jobs; see GET /v1/jobs.
	JobFilter = answer.JobFilter
	// Counts are how many jobs there are.
	Counts = answer.Counts
	// A Waiting tells why a job doesn't start.
	Waiting = answer.Waiting
	// Stats are numbers of the last hour or day.
	Stats = answer.Stats
	// Failures are failed jobs, in groups that failed alike.
	Failures = answer.Failures
	// A Timeline is what happened to a job.
	Timeline = answer.Timeline
	// A BulkRequest asks for the same for many jobs.
	BulkRequest = answer.BulkRequest
	// A DryRun is what a bulk request would do.
	DryRun = answer.DryRun
	// An Operation is something that is done to many jobs, or told to workers.
	Operation = answer.Operation
	// A BulkChange is what many jobs are to have otherwise.
	BulkChange = answer.BulkChange
	// A Pause holds jobs of a queue, or of a type, back.
	Pause = answer.Pause
	// A PauseRequest says why, and for how long.
	PauseRequest = answer.PauseRequest
	// A WorkerDetail is one worker process that is alive.
	WorkerDetail = answer.WorkerDetail
	// A GoneWorker is one that has ended.
	GoneWorker = answer.GoneWorker
	// A Profile is what a process held when its memory went short.
	Profile = answer.Profile
	// An AlertList is what is wrong now, what was, and who is told.
	AlertList = answer.AlertList
	// An AlertMessage is an alert as it is listed, and as its receivers get it.
	AlertMessage = answer.AlertMessage
	// An AlertTest is what became of test messages.
	AlertTest = answer.AlertTest
	// A WorkerMessage goes with what workers are told.
	WorkerMessage = answer.WorkerMessage
)

// A RetryRequest says what a retry has other than the job before. The zero value is the same job again.
type RetryRequest struct {
	Payload  json.RawMessage            `json:"payload,omitempty"` // instead of the old one
	Set      map[string]json.RawMessage `json:"set,omitempty"`     // top-level fields that are other ones
	Priority job.Priority               `json:"priority,omitempty"`
	Again    bool                       `json:"-"` // although the job was retried before
}

// RetryWith is Retry with changes. The error of a job that was retried before has the code already_retried.
func (c *Client) RetryWith(ctx context.Context, id job.ID, r RetryRequest) (job.Snapshot, error) {
	query := url.Values{}
	if r.Again {
		query.Set("again", "true")
	}
	call, err := call{method: http.MethodPost, path: httpapi.RetryPath(id), query: query}.withJSON(r)
	if err != nil {
		return job.Snapshot{}, fmt.Errorf("retry job %s: %w", id, err)
	}
	return c.snapshot(ctx, "retry", id, call)
}

// ask gets what a path answers.
func ask[T any](ctx context.Context, c *Client, what, path string, query url.Values) (T, error) {
	var found T
	if _, err := c.exchange(ctx, get(path, query), &found); err != nil {
		return found, fmt.Errorf("%s: %w", what, err)
	}
	return found, nil
}

// Count tells how many jobs there are, of one type or, for "", of all.
func (c *Client) Count(ctx context.Context, kind string) (Counts, error) {
	return ask[Counts](ctx, c, "count jobs", httpapi.PathCount, values("type", kind))
}

// Stats tells how many jobs came, ended and waited in a window, "1h" or "24h", of one type or, for "", of all.
func (c *Client) Stats(ctx context.Context, window, kind string) (Stats, error) {
	return ask[Stats](ctx, c, "ask for numbers", httpapi.PathStats, values("window", window, "type", kind))
}

// values is a query of names and values; one without a value is left out.
func values(pairs ...string) url.Values {
	query := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return query
}

// Failures groups the newest failed jobs; of a filter its type, code, since, until and worker count.
func (c *Client) Failures(ctx context.Context, f JobFilter) (Failures, error) {
	return ask[Failures](ctx, c, "group failures", httpapi.PathFailures,
		values("type", f.Type, "code", f.Code,
			"since", f.Since, "until", f.Until, "worker", f.Worker))
}

// Timeline tells what happened to a job.
func (c *Client) Timeline(ctx context.Context, id job.ID) (Timeline, error) {
	return ask[Timeline](ctx, c, "timeline", httpapi.JobPath(id)+"/timeline", nil)
}

// DryRun tells what Bulk would do.
func (c *Client) DryRun(ctx context.Context, b BulkRequest) (found DryRun, err error) {
	b.DryRun = true
	if err := c.post(ctx, httpapi.PathBulk, b, &found); err != nil {
		return found, fmt.Errorf("bulk %s: %w", b.Action, err)
	}
	return found, nil
}

// Bulk begins to do the same to many jobs.
func (c *Client) Bulk(ctx context.Context, b BulkRequest) (o Operation, err error) {
	b.DryRun = false
	if err := c.post(ctx, httpapi.PathBulk, b, &o); err != nil {
		return o, fmt.Errorf("bulk %s: %w", b.Action, err)
	}
	return o, nil
}

// Operation is an operation as it is now, or, with a wait, as soon as it has moved on from a revision.
func (c *Client) Operation(ctx context.Context, id job.ID, after int64,
	wait time.Duration) (Operation, error) {
	query := url.Values{}
	if wait > 0 {
		query.Set("wait", httpapi.FormatDuration(wait))
		query.Set("after", strconv.FormatInt(after, 10))
	}
	return ask[Operation](ctx, c, "operation", operationPath(id), query)
}

func operationPath(id job.ID) string {
	return httpapi.PathOperations + "/" + url.PathEscape(string(id))
}

// Operations lists the newest operations.
func (c *Client) Operations(ctx context.Context) ([]Operation, error) {
	list, err := ask[answer.OperationList](ctx, c, "list operations", httpapi.PathOperations, nil)
	return list.Operations, err
}

// CancelOperation ends an operation; what it has done stays done.
func (c *Client) CancelOperation(ctx context.Context, id job.ID) (o Operation, err error) {
	call := call{method: http.MethodPost, path: operationPath(id) + "/cancel", safe: true}
	if _, err := c.exchange(ctx, call, &o); err != nil {
		return o, fmt.Errorf("cancel operation: %w", err)
	}
	return o, nil
}

// pausePath is where a queue, as io-default or queue:mailers, or else a type is paused and resumed.
func pausePath(name string) string {
	if whole, ok := strings.CutPrefix(name, httpapi.WholeQueue); ok {
		return httpapi.PathQueues + "/" + url.PathEscape(whole)
	}
	for _, l := range job.Lanes {
		for _, p := range job.Priorities {
			if name == string(l)+"-"+string(p) {
				return httpapi.PathQueues + "/" + string(l) + "/" + string(p)
			}
		}
	}
	return httpapi.PathTypes + "/" + url.PathEscape(name)
}

// Pause holds jobs of a queue, as io-default or whole as queue:mailers, or else of a type, back.
func (c *Client) Pause(ctx context.Context, name string, r PauseRequest) (made Pause, err error) {
	if err := c.post(ctx, pausePath(name)+"/pause", r, &made); err != nil {
		return made, fmt.Errorf("pause %s: %w", name, err)
	}
	return made, nil
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context, name string) error {
	_, done, err := c.send(ctx, call{method: http.MethodPost, path: pausePath(name) + "/resume"})
	if err != nil {
		return fmt.Errorf("resume %s: %w", name, err)
	}
	done()
	return nil
}

// Pauses lists what is paused.
func (c *Client) Pauses(ctx context.Context) ([]Pause, error) {
	list, err := ask[answer.PauseList](ctx, c, "list pauses", httpapi.PathPauses, nil)
	return list.Pauses, err
}

// WorkerDetails lists the workers that are alive; bad ones only, if that is asked.
func (c *Client) WorkerDetails(ctx context.Context, bad bool) ([]WorkerDetail, error) {
	query := url.Values{}
	if bad {
		query.Set("health", "bad")
	}
	list, err := ask[answer.WorkerDetails](ctx, c, "list workers", httpapi.PathWorkers, query)
	return list.Workers, err
}

// GoneWorkers lists those that ended since a time, or a duration ago; "" = in the last 14 days.
func (c *Client) GoneWorkers(ctx context.Context, since string) ([]GoneWorker, error) {
	list, err := ask[answer.GoneWorkers](ctx, c, "list workers that are gone", httpapi.PathWorkers+"/gone",
		values("since", since))
	return list.Workers, err
}

// Profiles lists the profiles of memory that are kept, the newest first.
func (c *Client) Profiles(ctx context.Context) ([]Profile, error) {
	list, err := ask[answer.ProfileList](ctx, c, "list profiles", httpapi.PathProfiles, nil)
	return list.Profiles, err
}

// Profile opens one part of a profile: heap, as go tool pprof reads it, or goroutines.
func (c *Client) Profile(ctx context.Context, id job.ID, part string) (*File, error) {
	return c.fetch(ctx, id, httpapi.PathProfiles+"/"+url.PathEscape(string(id))+"/"+url.PathEscape(part))
}

// Alerts tells what is wrong now, what was, and who is told.
func (c *Client) Alerts(ctx context.Context) (AlertList, error) {
	return ask[AlertList](ctx, c, "list alerts", httpapi.PathAlerts, nil)
}

// TestAlerts has a message sent to each receiver of alerts, and tells what became of it.
func (c *Client) TestAlerts(ctx context.Context) (tested AlertTest, err error) {
	_, err = c.exchangeOnce(ctx, call{method: http.MethodPost, path: httpapi.PathAlerts + "/test",
		limit: time.Minute}, &tested)
	if err != nil {
		return tested, fmt.Errorf("test alerts: %w", err)
	}
	return tested, nil
}

// TellWorker tells a worker, or for "all" each, to drain, resume or stop.
func (c *Client) TellWorker(ctx context.Context, id, message string,
	m WorkerMessage) (o Operation, err error) {
	path := httpapi.PathWorkers + "/" + url.PathEscape(id) + "/" + url.PathEscape(message)
	if err := c.post(ctx, path, m, &o); err != nil {
		return o, fmt.Errorf("tell worker %s to %s: %w", id, message, err)
	}
	return o, nil
}

// A LogLine is one line of a job's log; Dropped, if it is not 0, says how many lines up to this number
// were not
// kept. The last line of an ended job has End.
type LogLine struct {
	N          int64     `json:"n"`
	Attempt    int       `json:"attempt,omitempty"`
	At         time.Time `json:"at,omitzero"`
	Level      string    `json:"level,omitempty"`
	Msg        string    `json:"msg,omitempty"`
	Dropped    int64     `json:"dropped,omitempty"`
	End        bool      `json:"end,omitempty"`
	State      job.State `json:"state,omitempty"`
	Incomplete bool      `json:"incomplete,omitempty"` // the end: lines are missing that were not dropped
}

// Logs yields the lines of a job's log behind a number, and follows it to the job's end, if that is asked; a
// connection that breaks is made anew.
func (c *Client) Logs(ctx context.Context, id job.ID, after int64, follow bool) iter.Seq2[LogLine, error] {
	return func(yield func(LogLine, error) bool) {
		patience := c.newPatience()
		for {
			ended, stop, some := false, false, false
			call := logCall(id, after, follow)
			err := c.readLog(ctx, call, func(l LogLine) bool {
				after, ended, some = max(after, l.N), l.End, true
				stop = !yield(l, nil)
				return !stop
			})
			if stop || err == nil && (ended || !follow) {
				return
			}
			if some {
				patience.reset()
			}
			if err == nil && !some { // it was let go, perhaps for there are too many
				err = c.sleep(ctx, time.Second)
			} else if err != nil {
				err = patience.pause(ctx, call, err)
			}
			if err != nil {
				yield(LogLine{}, fmt.Errorf("log of job %s: %w", id, err))
				return
			}
		}
	}
}

func logCall(id job.ID, after int64, follow bool) call {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}}
	if follow {
		query.Set("follow", "true")
	}
	return get(httpapi.JobPath(id)+"/logs", query)
}

// readLog reads one answer; one that breaks off is no error.
func (c *Client) readLog(ctx context.Context, call call, take func(LogLine) bool) error {
	resp, done, err := c.send(ctx, call)
	if err != nil {
		return err
	}
	defer done()
	if resp.StatusCode != http.StatusOK {
		return errors.New("unexpected answer " + resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l LogLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return err
		}
		if !take(l) {
			return nil
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
