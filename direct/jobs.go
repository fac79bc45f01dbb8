package direct

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"longshore/client"
	"longshore/internal/access"
	"longshore/internal/hub"
	"longshore/internal/loop"
	"longshore/internal/refusal"
	"longshore/internal/submit"
	"longshore/job"
)

// Get returns a job as it is now. The error of one that is not there is an *Error with
// the code client.NotFound.
func (c *Client) Get(ctx context.Context, id job.ID) (job.Snapshot, error) {
	return c.snapshot(ctx, "look up", id, c.sys.Store.Get)
}

// Cancel asks for a job's end and returns it as it is now: a running job ends within
// seconds, any other at once. Canceling a job that has ended, or twice, does nothing.
func (c *Client) Cancel(ctx context.Context, id job.ID) (job.Snapshot, error) {
	return c.snapshot(ctx, "cancel", id, func(ctx context.Context, id job.ID) (job.Snapshot, error) {
		return c.sys.Cancel(ctx, access.Everything, id)
	})
}

// Release lets a job go that is held and returns it as it is now. A second time it does nothing; one that was
// never held, or has ended, is an *Error with the code client.Conflict.
func (c *Client) Release(ctx context.Context, id job.ID) (job.Snapshot, error) {
	return c.snapshot(ctx, "release", id, func(ctx context.Context, id job.ID) (job.Snapshot, error) {
		return c.sys.Release(ctx, access.Everything, id, "")
	})
}

// Change has a job that waits wait otherwise and returns it, as client.Client.Change does.
func (c *Client) Change(ctx context.Context, id job.ID, change client.Change,
	rev int64) (job.Snapshot, error) {
	return c.snapshot(ctx, "change", id, func(ctx context.Context, id job.ID) (job.Snapshot, error) {
		text, err := json.Marshal(change)
		if err != nil {
			return job.Snapshot{}, err
		}
		wanted, err := submit.ReadChange(text)
		if err != nil {
			return job.Snapshot{}, err
		}
		var revs []int64
		if rev != 0 {
			revs = []int64{rev}
		}
		return c.submitter.Change(ctx, access.Everything, id, wanted, revs, "")
	})
}

func (c *Client) snapshot(ctx context.Context, verb string, id job.ID,
	do func(context.Context, job.ID) (job.Snapshot, error)) (job.Snapshot, error) {
	var snap job.Snapshot
	err := c.insist(ctx, func() (err error) {
		snap, err = do(ctx, id)
		return err
	})
	if err != nil {
		return job.Snapshot{}, fmt.Errorf("%s job %s: %w", verb, id, err)
	}
	return snap, nil
}

// Delete removes an ended job with its files.
func (c *Client) Delete(ctx context.Context, id job.ID) error {
	if err := c.sys.Delete(ctx, access.Everything, id); err != nil { // a repeat would not find it
		return fmt.Errorf("delete job %s: %w", id, refusal.Of(err))
	}
	return nil
}

// ListPage returns at most limit jobs (1 to 1000) that match, from a cursor on; ""
// begins with the newest. It looks once: see client.Page for one that is short.
func (c *Client) ListPage(ctx context.Context, f Filter, limit int, cursor string) (Page, error) {
	var page job.Page
	err := c.insist(ctx, func() (err error) {
		page, err = c.sys.Store.List(ctx, job.Filter{State: f.State, Type: f.Type, Limit: limit,
			Cursor: cursor})
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("list jobs: %w", refusal.Of(err))
	}
	return Page{Jobs: page.Jobs, Next: page.Next, Scanned: page.Scanned, Complete: page.Next == ""}, nil
}

// List yields the jobs that match, newest first, page after page. The first error ends it.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[job.Snapshot, error] {
	return loop.Pages(func(cursor string) ([]job.Snapshot, string, error) {
		page, err := c.ListPage(ctx, f, 100, cursor)
		return page.Jobs, page.Next, err
	})
}

// Wait returns the job once it has ended, however long that takes. When the context
// ends first it returns the job as it was last seen, and an error that wraps the
// context's cause.
func (c *Client) Wait(ctx context.Context, id job.ID) (job.Snapshot, error) {
	return c.await(ctx, "wait for", hub.Want{ID: id, Done: true}, func(job.Snapshot) bool { return true })
}

// Follow yields the job as it is now and then after each change, the last time when it
// has ended. Changes that come faster than they are looked at are yielded as one. An
// error ends it; one that wraps the context's cause when the context has ended.
func (c *Client) Follow(ctx context.Context, id job.ID) iter.Seq2[job.Snapshot, error] {
	return func(yield func(job.Snapshot, error) bool) {
		rev := int64(-1)
		_, err := c.await(ctx, "follow", hub.Want{ID: id}, func(snap job.Snapshot) bool {
			if snap.Rev == rev {
				return true
			}
			rev = snap.Rev
			return yield(snap, nil)
		})
		if err != nil {
			yield(job.Snapshot{}, err)
		}
	}
}

// parkFor is how long one wait at the hub lasts: its own looks make it none too long.
const parkFor = time.Minute

// await looks at a job, tells of it and waits for what is wanted, until it has ended
// or tell returns false.
func (c *Client) await(ctx context.Context, verb string, want hub.Want,
	tell func(job.Snapshot) bool) (last job.Snapshot, err error) {
	for {
		snap, err := c.snapshot(ctx, verb, want.ID, c.sys.Store.Get)
		if err != nil {
			return last, err
		}
		if last = snap; !tell(snap) || snap.Done {
			return last, nil
		}
		want.After = snap.Rev
		if _, err := c.wait(ctx, parkFor, want); err != nil {
			return last, fmt.Errorf("%s job %s: %w", verb, want.ID, err)
		}
	}
}

// wait waits at the hub. The error is that of ctx, if it has ended, or of the first look.
func (c *Client) wait(ctx context.Context, patience time.Duration,
	wants ...hub.Want) (moved []job.Rev, err error) {
	c.listen.Do(func() {
		c.running.Go(func() {
			if err := c.hub.Run(c.background); err != nil {
				c.log.WarnContext(ctx, "waiting by looks alone", "error", err)
			}
		})
	})
	err = c.insist(ctx, func() error {
		moved, err = c.hub.Wait(ctx, nil, patience, wants...)
		return err
	})
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return moved, err
}

// Poll returns those of the jobs that have another revision than the one given, and
// the ids of those that are not there (any more), as soon as there is one; after the
// wait it returns none.
func (c *Client) Poll(ctx context.Context, revs []job.Rev,
	wait time.Duration) (moved []job.Snapshot, missing []job.ID, err error) {
	wants := make([]hub.Want, len(revs))
	for i, r := range revs {
		wants[i] = hub.Want{ID: r.ID, After: r.Rev}
	}
	return c.poll(ctx, wants, wait)
}

// PollDone is Poll for jobs that have ended, whatever their revision.
func (c *Client) PollDone(ctx context.Context, ids []job.ID,
	wait time.Duration) (ended []job.Snapshot, missing []job.ID, err error) {
	wants := make([]hub.Want, len(ids))
	for i, id := range ids {
		wants[i] = hub.Want{ID: id, Done: true}
	}
	return c.poll(ctx, wants, wait)
}

func (c *Client) poll(ctx context.Context, wants []hub.Want,
	wait time.Duration) (found []job.Snapshot, missing []job.ID, err error) {
	var moved []job.Rev
	if wait > 0 {
		moved, err = c.wait(ctx, wait, wants...)
	} else {
		err = c.insist(ctx, func() (err error) {
			moved, err = c.hub.Look(ctx, wants...)
			return err
		})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("wait for %d jobs: %w", len(wants), err)
	}
	if len(moved) == 0 {
		return nil, nil, nil
	}
	ids := make([]job.ID, len(moved))
	for i, r := range moved {
		ids[i] = r.ID
	}
	var readings []job.Reading
	err = c.insist(ctx, func() (err error) {
		readings, err = c.sys.Store.GetMany(ctx, ids)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("wait for %d jobs: %w", len(wants), err)
	}
	for _, r := range readings {
		if r.Err != nil {
			missing = append(missing, r.ID)
			continue
		}
		found = append(found, r.Snapshot)
	}
	return found, missing, nil
}
