package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
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
		snap, later, err := c.poll(ctx, id, query, last.ID != "")
		if err != nil {
			return last, fmt.Errorf("wait for job %s: %w", id, err)
		}
		if last = snap; snap.Done {
			return snap, nil
		}
		if err := c.holdBack(ctx, asked, later); err != nil {
			return last, fmt.Errorf("wait for job %s: %w", id, err)
		}
	}
}

// Follow yields the job as it is now and then after each change, the last time
// when it has ended. Changes that come faster than they can be fetched are
// yielded as one. The server streams the changes; where that can't be had, for
// an older server or a proxy that holds streams back, Follow asks by long-poll.
// It goes on from where it was through restarts of the server. An error ends
// it; one that wraps the context's cause when the context has ended.
func (c *Client) Follow(ctx context.Context, id job.ID) iter.Seq2[job.Snapshot, error] {
	return func(yield func(job.Snapshot, error) bool) {
		f := &follower{client: c, id: id, rev: -1, yield: yield}
		if err := f.run(ctx); err != nil {
			yield(job.Snapshot{}, fmt.Errorf("follow job %s: %w", id, err))
		}
	}
}

// A follower is one call of Follow.
type follower struct {
	client *Client
	id     job.ID
	rev    int64 // the last one yielded; -1 = none
	yield  func(job.Snapshot, error) bool
	over   bool // the job has ended, or the caller wants no more
	silent int  // streams in a row that brought no news
}

// maxSilent is after how many streams without news a follower takes to polling.
// A stream that no proxy spoils ends without news only when the server stops or
// is full.
const maxSilent = 3

// run looks at the job, and waits for the next look at a stream, which yields
// what it brings. So each break of a stream is followed by a plain look, which
// tells what is wrong, if anything is.
func (f *follower) run(ctx context.Context) error {
	for {
		query := url.Values(nil) // none: the look does not wait
		polling := f.silent >= maxSilent && f.rev >= 0
		if polling {
			query = url.Values{"wait": {httpapi.FormatDuration(pollWait)},
				"after": {strconv.FormatInt(f.rev, 10)}}
		}
		asked := time.Now()
		snap, later, err := f.client.poll(ctx, f.id, query, f.rev >= 0)
		if err != nil {
			return err
		}
		news := f.tell(snap)
		if f.over {
			return nil
		}
		if polling {
			if !news {
				err = f.client.holdBack(ctx, asked, later)
			}
		} else {
			err = f.stream(ctx)
		}
		if f.over || err != nil {
			return err
		}
	}
}

// tell yields a snapshot if it is news.
func (f *follower) tell(snap job.Snapshot) (news bool) {
	if news = snap.Rev != f.rev; news {
		f.rev = snap.Rev
		f.over = !f.yield(snap, nil)
	}
	f.over = f.over || snap.Done
	return news
}

// How long a stream may bring no byte: first until its answer has begun, which
// our server sends at once, then more than two of its heartbeats.
const (
	firstByte = 5 * time.Second
	silence   = 40 * time.Second
)

var (
	errHeldBack = errors.New("the stream does not begin")
	errSilent   = errors.New("the stream is silent")
)

// stream yields what one stream of events brings. It returns an error only if
// ctx has ended: what else ends a stream is left to the look that follows, and
// counted.
func (f *follower) stream(ctx context.Context) error {
	streaming, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pulse := &pulse{cancel: cancel}
	pulse.timer = time.AfterFunc(firstByte, func() { cancel(errHeldBack) })
	defer pulse.stop()
	before, begun := f.rev, time.Now()
	retry, err := f.read(streaming, pulse)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	cause := context.Cause(streaming)
	switch {
	case f.over:
		return nil
	case errors.Is(err, errUnusable), errors.Is(cause, errHeldBack):
		f.silent = maxSilent
		return nil
	case f.rev != before, time.Since(begun) > silence/2 && !errors.Is(cause, errSilent):
		f.silent = 0
	default:
		f.silent++
	}
	if retry == 0 {
		return nil // it was cut: the server restarts, and the look waits for it
	}
	return f.client.sleep(ctx, retry)
}

// errUnusable says that an answer is no stream of a Longshore's events.
var errUnusable = errors.New("no stream of events")

// read opens a stream, and yields what it brings. It returns when to come back,
// if the server has said so and ended the stream by itself.
func (f *follower) read(ctx context.Context, pulse *pulse) (retry time.Duration, err error) {
	call := get(httpapi.EventsPath(f.id), url.Values{"after": {strconv.FormatInt(f.rev, 10)}})
	call.header = http.Header{"Accept": {httpapi.TypeEvents},
		httpapi.HeaderLastEventID: {strconv.FormatInt(f.rev, 10)}}
	resp, done, err := f.client.send(ctx, call)
	if err != nil {
		var e *Error
		if errors.As(err, &e) && (e.Status == 0 || transient(e.Status)) {
			return 0, err
		}
		return 0, errUnusable
	}
	defer done()
	if resp.StatusCode == http.StatusNoContent {
		return 0, nil // it has ended meanwhile
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != httpapi.TypeEvents {
		return 0, errUnusable
	}
	pulse.Reader = resp.Body
	events := newEventReader(pulse)
	for {
		e, err := events.next()
		if errors.Is(err, io.EOF) {
			return events.retry, nil
		}
		if err != nil {
			return 0, err
		}
		if e.name != "state" {
			continue // "missing" among them: the look tells it
		}
		var snap job.Snapshot
		if json.Unmarshal(e.data, &snap) != nil || snap.ID != f.id || snap.Rev < 1 {
			return 0, errUnusable
		}
		if f.tell(snap); f.over {
			return 0, nil
		}
	}
}

// A pulse ends a stream that brings no byte for too long.
type pulse struct {
	io.Reader
	cancel context.CancelCauseFunc
	timer  *time.Timer
	begun  bool
}

func (p *pulse) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	switch {
	case n > 0 && !p.begun:
		p.begun = true
		p.stop()
		p.timer = time.AfterFunc(silence, func() { p.cancel(errSilent) })
	case n > 0:
		p.timer.Reset(silence)
	}
	return n, err
}

func (p *pulse) stop() { p.timer.Stop() }

// poll looks the job up. later is when the server wants to be asked again, if
// it did not wait because too many do; 0 = as soon as one likes.
func (c *Client) poll(ctx context.Context, id job.ID, query url.Values,
	known bool) (snap job.Snapshot, later time.Duration, err error) {
	look := get(httpapi.JobPath(id), query)
	look.limit, look.known = pollWait+answerTimeout, known
	header, err := c.exchange(ctx, look, &snap)
	return snap, retryAfter(header.Get("Retry-After")), err
}

func (c *Client) holdBack(ctx context.Context, asked time.Time, later time.Duration) error {
	if later > 0 {
		return c.sleep(ctx, later)
	}
	if time.Since(asked) >= hasty {
		return nil
	}
	return c.sleep(ctx, hasty/2)
}
