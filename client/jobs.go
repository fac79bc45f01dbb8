package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/internal/loop"
	"longshore/job"
)

// A TypeInfo describes one kind of work that the server accepts.
type TypeInfo = answer.TypeInfo

// A QueueInfo is the state of one queue.
type QueueInfo = answer.QueueInfo

// A WorkerInfo is one worker process.
type WorkerInfo = answer.WorkerInfo

// Get returns a job as it is now.
func (c *Client) Get(ctx context.Context, id job.ID) (job.Snapshot, error) {
	return c.snapshot(ctx, "look up", id, get(httpapi.JobPath(id), nil))
}

// Cancel asks for a job's end and returns it as it is now: a running job ends
// within seconds, any other at once. Canceling a job that has ended, or twice,
// does nothing.
func (c *Client) Cancel(ctx context.Context, id job.ID) (job.Snapshot, error) {
	return c.snapshot(ctx, "cancel", id, call{method: http.MethodPost, path: httpapi.CancelPath(id),
		safe: true})
}

// Release lets a job go that is held and returns it as it is now. A second time it does nothing; one that was
// never held, or has ended, is an *Error with the code conflict.
func (c *Client) Release(ctx context.Context, id job.ID) (job.Snapshot, error) {
	return c.snapshot(ctx, "release", id, call{method: http.MethodPost, path: httpapi.ReleasePath(id), safe: true})
}

// A Change is what a job that waits is to have otherwise; of one that has ended only Retention can be.
// What is absent stays.
type Change = answer.JobChange

// Change has a job that waits wait otherwise and returns it. rev is the revision that it is to have, 0 = any:
// the error of one that has another has the code precondition_failed, that of one that has begun meanwhile
// already_started. What is so already is no change, so a repeat does no harm.
func (c *Client) Change(ctx context.Context, id job.ID, change Change, rev int64) (job.Snapshot, error) {
	call, err := call{method: http.MethodPatch, path: httpapi.JobPath(id), safe: true}.withJSON(change)
	if err != nil {
		return job.Snapshot{}, fmt.Errorf("change job %s: %w", id, err)
	}
	if rev != 0 {
		call.header.Set("If-Match", strconv.Quote(strconv.FormatInt(rev, 10)))
	}
	return c.snapshot(ctx, "change", id, call)
}

// Retry makes a new job like an ended one and returns it; the old one stays as
// it ended. It is not repeated by itself: a repeat would make another job.
func (c *Client) Retry(ctx context.Context, id job.ID) (job.Snapshot, error) {
	return c.snapshot(ctx, "retry", id, call{method: http.MethodPost, path: httpapi.RetryPath(id)})
}

// Callback tells how the delivery of a job's webhook goes. The error of a job
// that was submitted without one has the code not_found.
func (c *Client) Callback(ctx context.Context, id job.ID) (job.Callback, error) {
	var cb job.Callback
	if _, err := c.exchange(ctx, get(httpapi.CallbackPath(id), nil), &cb); err != nil {
		return job.Callback{}, fmt.Errorf("look up the callback of job %s: %w", id, err)
	}
	return cb, nil
}

// ResendCallback has the webhook of a job that has ended sent once more, and tells how its delivery goes.
// One that is still to be delivered is due at once.
func (c *Client) ResendCallback(ctx context.Context, id job.ID) (job.Callback, error) {
	var cb job.Callback
	call := call{method: http.MethodPost, path: httpapi.ResendPath(id), safe: true}
	if _, err := c.exchange(ctx, call, &cb); err != nil {
		return job.Callback{}, fmt.Errorf("resend the callback of job %s: %w", id, err)
	}
	return cb, nil
}

func (c *Client) snapshot(ctx context.Context, verb string, id job.ID, call call) (job.Snapshot, error) {
	var snap job.Snapshot
	if _, err := c.exchange(ctx, call, &snap); err != nil {
		return job.Snapshot{}, fmt.Errorf("%s job %s: %w", verb, id, err)
	}
	return snap, nil
}

// Delete removes an ended job with its files.
func (c *Client) Delete(ctx context.Context, id job.ID) error {
	_, done, err := c.send(ctx, call{method: http.MethodDelete, path: httpapi.JobPath(id)})
	if err != nil {
		return fmt.Errorf("delete job %s: %w", id, err)
	}
	done()
	return nil
}

// A Filter selects jobs of a list. The zero value means all.
type Filter struct {
	State  job.State
	Type   string
	Narrow JobFilter // further conditions; its state and type don't count
}

// List yields the jobs that match, newest first, fetching page after page. The
// first error ends it.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[job.Snapshot, error] {
	return loop.Pages(func(cursor string) ([]job.Snapshot, string, error) {
		page, err := c.ListPage(ctx, f, pageSize, cursor)
		return page.Jobs, page.Next, err
	})
}

const pageSize = 100

// Types returns the kinds of work that the server accepts, sorted by name.
func (c *Client) Types(ctx context.Context) ([]TypeInfo, error) {
	var list httpapi.TypeList
	if _, err := c.exchange(ctx, get(httpapi.PathTypes, nil), &list); err != nil {
		return nil, fmt.Errorf("list types: %w", err)
	}
	return list.Types, nil
}

// Queues returns the state of the queues.
func (c *Client) Queues(ctx context.Context) ([]QueueInfo, error) {
	var list httpapi.QueueList
	if _, err := c.exchange(ctx, get(httpapi.PathQueues, nil), &list); err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	return list.Queues, nil
}

// A Page is a part of a list, newest first. Next is the cursor of the next
// page, "" on the last one; it is opaque. The server looks at a bounded number of
// jobs for a page, so one with a filter may be short, or empty, and not Complete:
// those that are asked for may come on the pages behind it.
type Page struct {
	Jobs     []job.Snapshot `json:"jobs"`
	Next     string         `json:"next,omitempty"`
	Scanned  int            `json:"scanned"`  // jobs that the server looked at; 0 from one that doesn't tell
	Complete bool           `json:"complete"` // there are no more
}

// ListPage returns at most limit jobs (1 to 1000) that match, from a cursor on;
// "" begins with the newest. It asks once: see Page for one that is short.
func (c *Client) ListPage(ctx context.Context, f Filter, limit int, cursor string) (Page, error) {
	query := f.query(limit)
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	var list httpapi.JobList
	if _, err := c.exchange(ctx, get(httpapi.PathJobs, query), &list); err != nil {
		return Page{}, fmt.Errorf("list jobs: %w", err)
	}
	page := Page{Jobs: list.Jobs, Next: list.Next, Complete: list.Next == ""} // as older servers mean it
	if list.Scanned != nil {
		page.Scanned = *list.Scanned
	}
	return page, nil
}

func (f Filter) query(limit int) url.Values {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if f.State != "" {
		query.Set("state", string(f.State))
	}
	if f.Type != "" {
		query.Set("type", f.Type)
	}
	n := f.Narrow
	for name, value := range map[string]string{"code": n.Code, "group": n.Group, "worker": n.Worker, "label": n.Label,
		"retried": n.Retried, "since": n.Since, "until": n.Until, "created_since": n.CreatedSince,
		"id_prefix": n.IDPrefix, "queue": n.Queue} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// Ready reports whether the server can do its work now, as its load balancer
// asks it. Unlike the rest it needs no token, and is not repeated.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.Status(ctx)
	return err
}

// Status is Ready, and what a server that is ready says: "ok", or "store_reset" where its Redis has lost
// data, and nobody has accepted that yet.
func (c *Client) Status(ctx context.Context) (string, error) {
	var s httpapi.Status
	if _, err := c.exchangeOnce(ctx, get(httpapi.PathReady, nil), &s); err != nil {
		return "", fmt.Errorf("ask whether the server is ready: %w", err)
	}
	return s.Status, nil
}

// Clock returns the server's time of day, to the second. Like Ready it needs no token.
func (c *Client) Clock(ctx context.Context) (time.Time, error) {
	var s httpapi.Status
	header, err := c.exchangeOnce(ctx, get(httpapi.PathHealth, nil), &s)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the server's time: %w", err)
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the server's time: %w", err)
	}
	return now, nil
}

// Version returns the server's version, from its description of itself.
func (c *Client) Version(ctx context.Context) (string, error) {
	var d struct {
		Info struct{ Version string }
	}
	if _, err := c.exchangeOnce(ctx, get(httpapi.PathOpenAPI, nil), &d); err != nil {
		return "", fmt.Errorf("ask for the server's version: %w", err)
	}
	return d.Info.Version, nil
}

// Workers returns the worker processes that gave a sign of life lately; nil
// from a server that doesn't tell them.
func (c *Client) Workers(ctx context.Context) ([]WorkerInfo, error) {
	var list httpapi.QueueList
	if _, err := c.exchange(ctx, get(httpapi.PathQueues, nil), &list); err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return list.Workers, nil
}
