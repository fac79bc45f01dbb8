package client

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// How long one long-poll asks the server to wait: below the 30 s after which
// routers cut a silent request. The server may grant less.
const pollWait = 25 * time.Second

// An answer without news that came sooner than hasty was not waited for; the
// next question is held back by about as much, so that a server or a proxy
// that does not wait is not hammered.
const hasty = time.Second

// Wait returns the job once it has ended, however long that takes and through
// restarts of the server. When the context ends first it returns the job as it
// was last seen, and an error that wraps the context's cause.
func (c *Client) Wait(ctx context.Context, id job.ID) (job.Snapshot, error) {
	query := url.Values{"wait": {httpapi.FormatDuration(pollWait)}, "until": {httpapi.UntilDone}}
	var last job.Snapshot
	for {
		asked := time.Now()
		snap, err := c.poll(ctx, id, query, last.ID != "")
		if err != nil {
			return last, fmt.Errorf("wait for job %s: %w", id, err)
		}
		if last = snap; snap.Done {
			return snap, nil
		}
		if err := c.holdBack(ctx, asked); err != nil {
			return last, fmt.Errorf("wait for job %s: %w", id, err)
		}
	}
}

// Follow yields the job as it is now and then after each change, the last time
// when it has ended. Changes that come faster than they can be fetched are
// yielded as one. An error ends it; one that wraps the context's cause when the
// context has ended.
func (c *Client) Follow(ctx context.Context, id job.ID) iter.Seq2[job.Snapshot, error] {
	return func(yield func(job.Snapshot, error) bool) {
		var query url.Values // none: the first look does not wait
		var rev int64 = -1
		for {
			asked := time.Now()
			snap, err := c.poll(ctx, id, query, rev >= 0)
			if err != nil {
				yield(job.Snapshot{}, fmt.Errorf("follow job %s: %w", id, err))
				return
			}
			news := snap.Rev != rev
			rev = snap.Rev
			if news && !yield(snap, nil) || snap.Done {
				return
			}
			if !news {
				if err := c.holdBack(ctx, asked); err != nil {
					yield(job.Snapshot{}, fmt.Errorf("follow job %s: %w", id, err))
					return
				}
			}
			query = url.Values{"wait": {httpapi.FormatDuration(pollWait)}, "after": {strconv.FormatInt(rev, 10)}}
		}
	}
}

func (c *Client) poll(ctx context.Context, id job.ID, query url.Values, known bool) (job.Snapshot, error) {
	look := get(httpapi.JobPath(id), query)
	look.limit, look.known = pollWait+answerTimeout, known
	var snap job.Snapshot
	_, err := c.exchange(ctx, look, &snap)
	return snap, err
}

func (c *Client) holdBack(ctx context.Context, asked time.Time) error {
	if time.Since(asked) >= hasty {
		return nil
	}
	return c.sleep(ctx, hasty/2)
}
