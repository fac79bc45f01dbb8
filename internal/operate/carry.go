package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/loop"
	"longshore/internal/refusal"
	"longshore/job"
)

const (
	lookEvery  = time.Second
	pageSize   = 500
	retryWidth = 256 // retries under way: fewer don't fill the calls that they share
	fileWidth  = 64  // removals of files under way
	troubled   = time.Second
)

// claimScript takes an operation to carry it on, under a fence and a lease; its fields, nothing if it is done
// or somebody else's.
var claimScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local state, ends, fence, fin = unpack(redis.call('HMGET', KEYS[1], 'state', 'lease', 'fence', 'fin'))
if not state then return { 'gone' } end
if fin then return { 'done' } end
if ends and tonumber(ends) > now and fence ~= ARGV[1] then return { 'busy' } end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'lease', now + ARGV[2], 'state', 'running')
redis.call('HINCRBY', KEYS[1], 'rev', 1)
return { 'mine', unpack(redis.call('HGETALL', KEYS[1])) }`)

// stepScript notes how far an operation is: the cursor, what was moved, errors, an end; then codes and how
// many were skipped by each. It answers whether its end is asked for.
var stepScript = redis.NewScript("#!lua flags=allow-oom\n" + `
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 'lost' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'lease', now + ARGV[2], 'cursor', ARGV[3], 'errors', ARGV[5])
redis.call('HINCRBY', KEYS[1], 'moved', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'rev', 1)
for i = 7, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], 'sk:' .. ARGV[i], ARGV[i + 1]) end
if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], 'state', ARGV[6], 'fin', now) end
redis.call('HDEL', KEYS[1], 'page', 'next')
redis.call('PEXPIRE', KEYS[1], 604800000)
return redis.call('HEXISTS', KEYS[1], 'cr') == 1 and 'cancel' or 'ok'`)

// pageScript notes which jobs are moved next, and where the walk goes on behind them.
var pageScript = redis.NewScript("#!lua flags=allow-oom\n" + `
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 'lost' end
redis.call('HSET', KEYS[1], 'page', ARGV[2], 'next', ARGV[3])
return 'ok'`)

// Run carries operations on, with all other processes that do, until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	mine := &holding{ids: map[string]bool{}}
	sampled := int64(0)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		ids, err := d.Redis.ZRange(ctx, d.openKey(), 0, atOnce-1).Result()
		if err != nil && ctx.Err() == nil {
			d.Log.DebugContext(ctx, "operations can't be looked for", "error", err)
		}
		for _, id := range ids {
			if mine.add(id) {
				wg.Go(func() {
					defer mine.drop(id)
					d.carry(ctx, job.ID(id))
				})
			}
		}
		if minute := time.Now().Unix() / 60; minute != sampled {
			if err := d.Sample(ctx); err != nil && ctx.Err() == nil {
				d.Log.DebugContext(ctx, "numbers of a minute are missing", "error", err)
			} else {
				sampled = minute
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-d.kick:
		}
	}
}

// holding are the operations that this process has its hands on.
type holding struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (h *holding) add(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ids[id] {
		return false
	}
	h.ids[id] = true
	return true
}

func (h *holding) drop(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.ids, id)
}

// A carrying is one operation in one process's hands.
type carrying struct {
	*Desk
	id job.ID
	by string
	task
	same   string
	cursor string // where it was when it was claimed
	page   string // jobs that were being moved then, as raw ids, and where the walk goes on behind them
	next   string
	moved  int64 // before this page too
	replay bool  // the noted page is moved again: some of it may have been moved before a kill
	errors []answer.OperationError
}

// A page is what became of some jobs.
type page struct {
	moved   int64
	skipped map[string]int64
}

// carry carries an operation on until it is done, or until ctx ends.
func (d *Desk) carry(ctx context.Context, id job.ID) {
	c, err := d.claim(ctx, id)
	if err == nil && c != nil {
		err = c.walk(ctx)
	}
	if err != nil && ctx.Err() == nil {
		d.Log.WarnContext(ctx, "an operation stands, and is tried again", "operation", id, "error", err)
		if err := d.behind(ctx, id); err != nil {
			d.Log.DebugContext(ctx, "an operation keeps its place", "operation", id, "error", err)
		}
	}
}

// behind puts an operation behind the other ones: while it stands they get their turn.
func (d *Desk) behind(ctx context.Context, id job.ID) error {
	now, err := d.clock(ctx)
	if err != nil {
		return err
	}
	return d.Redis.ZAddXX(ctx, d.openKey(), member(id, now)).Err()
}

// claim takes an operation; nil if there is nothing to do here.
func (d *Desk) claim(ctx context.Context, id job.ID) (*carrying, error) {
	c := &carrying{Desk: d, id: id, by: "op:" + string(id)}
	said, err := claimScript.Run(ctx, d.Redis, []string{d.opKey(id)}, c.fence, leaseFor.Milliseconds()).
		StringSlice()
	if err != nil {
		return nil, err
	}
	switch said[0] {
	case "gone", "done":
		return nil, d.close(ctx, id)
	case "busy":
		return nil, nil
	}
	fields := map[string]string{}
	for pair := range slices.Chunk(said[1:], 2) {
		fields[pair[0]] = pair[1]
	}
	o := decode(id, fields)
	c.action, c.max, c.moved, c.errors, c.same = o.Action, o.Max, o.Moved, o.Errors, fields["same"]
	if fields["cr"] != "" { // one that stands comes to no step that would tell it
		return nil, c.step(ctx, fields["cursor"], page{}, canceled)
	}
	if o.Action == Retry && d.Retry == nil {
		// Given back at once: another process can.
		return nil, d.Redis.HSet(ctx, d.opKey(id), "lease", 0).Err()
	}
	if o.Filter == nil {
		return nil, c.step(ctx, "", page{}, failed)
	}
	c.filter, err = ParseFilter(*o.Filter, "/filter/")
	if err != nil { // of a newer release
		c.note(id, httpapi.AsError(err))
		return nil, c.step(ctx, "", page{}, failed)
	}
	if c.change, err = parseChange(o.Change); err != nil {
		c.note(id, httpapi.AsError(err))
		return nil, c.step(ctx, "", page{}, failed)
	}
	c.cursor, c.page, c.next = fields["cursor"], fields["page"], fields["next"]
	return c, nil
}

var (
	errTaken    = errors.New("another process carries the operation on")
	errCanceled = errors.New("the operation is canceled")
)

// walk does page after page. A page is noted before it is done and when it is: killed between, it is
// done again, which jobs that were moved by it know, though no index has them any more.
func (c *carrying) walk(ctx context.Context) error {
	if c.page != "" {
		var ids []job.ID
		for raw := range slices.Chunk([]byte(c.page), 16) {
			ids = append(ids, job.FromRaw(string(raw)))
		}
		c.replay = true
		if err := c.moveSome(ctx, ids, c.next); err != nil {
			return c.ended(ctx, c.next, err)
		}
		c.replay, c.cursor = false, c.next
	}
	w, err := c.Store.Walk(ctx, c.filter, c.cursor)
	if err != nil {
		return err
	}
	for {
		cursor := w.Cursor()
		if c.max > 0 && c.moved >= c.max {
			return c.step(ctx, cursor, page{}, succeeded)
		}
		ids, scanned, err := w.Next(ctx, pageSize)
		if err != nil {
			return err
		}
		if scanned == 0 {
			return c.step(ctx, cursor, page{}, succeeded)
		}
		if c.max > 0 {
			ids = ids[:min(int64(len(ids)), c.max-c.moved)] // none is left out that is not beyond it
		}
		if err := c.moveSome(ctx, ids, w.Cursor()); err != nil {
			return c.ended(ctx, w.Cursor(), err)
		}
	}
}

// ended is the end of a walk that was canceled; of another one it is the error.
func (c *carrying) ended(ctx context.Context, cursor string, err error) error {
	if errors.Is(err, errCanceled) {
		return c.step(ctx, cursor, page{}, canceled)
	}
	return err
}

// moveSome does a page, behind which the walk goes on at next.
func (c *carrying) moveSome(ctx context.Context, ids []job.ID, next string) error {
	var p page
	if len(ids) > 0 {
		raw := make([]byte, 0, 16*len(ids))
		for _, id := range ids {
			raw = append(raw, id.Raw()...)
		}
		said, err := pageScript.Run(ctx, c.Redis, []string{c.opKey(c.id)}, c.fence, raw, next).Text()
		if err != nil {
			return err
		}
		if said == "lost" {
			return errTaken
		}
		if p, err = c.do(ctx, ids); err != nil {
			return err
		}
	}
	return c.step(ctx, next, p, "")
}

// step notes how far the operation is.
func (c *carrying) step(ctx context.Context, cursor string, p page, end string) error {
	errs, err := json.Marshal(c.errors)
	if err != nil {
		return err
	}
	args := []any{c.fence, leaseFor.Milliseconds(), cursor, p.moved, string(errs), end}
	for _, code := range slices.Sorted(maps.Keys(p.skipped)) {
		args = append(args, code, p.skipped[code])
	}
	said, err := stepScript.Run(ctx, c.Redis, []string{c.opKey(c.id)}, args...).Text()
	if err != nil {
		return err
	}
	if said == "lost" {
		return errTaken
	}
	c.moved += p.moved
	if end != "" {
		c.Log.InfoContext(ctx, "operation ended", "operation", c.id, "action", c.action, "state", end,
			"moved", c.moved)
		return c.close(ctx, c.id)
	}
	if c.same != "" {
		if err := c.Redis.PExpire(ctx, c.sameKey(c.same), sameFor).Err(); err != nil {
			return err
		}
	}
	if said == "cancel" {
		return errCanceled
	}
	return nil
}

// do does it to some jobs. An error is one that may pass: nothing is known of the page.
func (c *carrying) do(ctx context.Context, ids []job.ID) (page, error) {
	var errs []error
	var err error
	switch c.action {
	case Cancel:
		errs, err = c.Store.CancelMany(ctx, ids, c.by, c.filter)
	case Delete:
		errs, err = c.remove(ctx, ids)
	case Change:
		errs, err = c.Store.ChangeMany(ctx, ids, c.change, c.by, c.filter)
	case Resend:
		errs, err = c.Store.ResendMany(ctx, ids, c.by, c.filter)
	default:
		errs, err = c.retry(ctx, ids)
	}
	p := page{skipped: map[string]int64{}}
	if err != nil {
		return p, err
	}
	for i, err := range errs {
		var retried *jobstore.RetriedError
		switch {
		case err == nil, errors.As(err, &retried) && retried.By == c.by:
			p.moved++
		case c.replay && c.action == Delete && errors.Is(err, job.ErrNotFound):
			p.moved++ // it was there when the page was noted
		case errors.Is(err, job.ErrNoCallback):
			p.skipped["no_callback"]++
		case errors.Is(err, jobstore.ErrMoved):
			p.skipped["moved_on"]++
		default:
			e := refusal.Of(err)
			p.skipped[string(e.Code)]++
			c.note(ids[i], e)
		}
	}
	return p, nil
}

// note keeps why a job was left as it is, of some jobs.
func (c *carrying) note(id job.ID, e *httpapi.Error) {
	if len(c.errors) < maxErrors {
		c.errors = append(c.errors, answer.OperationError{ID: id, Code: string(e.Code), Detail: e.Detail})
	}
}

func (c *carrying) remove(ctx context.Context, ids []job.ID) ([]error, error) {
	errs, err := c.Store.RemoveMany(ctx, ids, c.filter)
	if err != nil || c.Gone == nil {
		return errs, err
	}
	// Many at a time: one after the other they would outlast the lease where files are far away.
	many(fileWidth, len(ids), func(i int) {
		if errs[i] != nil {
			return
		}
		if err := c.Gone(ctx, ids[i]); err != nil {
			c.Log.DebugContext(ctx, "files of a deleted job stay until orphans are swept", "job_id", ids[i],
				"error", err)
		}
	})
	return errs, nil
}

// many calls f for each number below n, so many at a time.
func many(width, n int, f func(i int)) {
	turn := make(chan struct{}, width)
	var wg sync.WaitGroup
	for i := range n {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			f(i)
		})
	}
	wg.Wait()
}

// retry retries many at a time: their reads and creations share calls.
func (c *carrying) retry(ctx context.Context, ids []job.ID) ([]error, error) {
	errs := make([]error, len(ids))
	view := jobstore.ViewOf(c.filter)
	many(retryWidth, len(ids), func(i int) { errs[i] = c.Retry(ctx, view, ids[i], c.by) })
	for _, err := range errs {
		if err == nil {
			continue
		}
		if e := refusal.Of(err); e.Code == httpapi.Unavailable && !errors.Is(err, job.ErrDamaged) ||
			e.Code == httpapi.StoreFull {
			_ = loop.Sleep(ctx, troubled) // a trouble passes, or ctx ends: the page is tried again
			return nil, fmt.Errorf("retry: %w", err)
		}
	}
	return errs, nil
}
