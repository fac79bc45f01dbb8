package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/job"
)

// A BatchAnswer tells what became of one job of a batch. Line is its number in
// the batch, from 1; ID is that of the job, or Refused says why there is none.
type BatchAnswer = answer.BatchAnswer

// MaxBatch is the most lines that SubmitLines takes.
const MaxBatch = httpapi.MaxBatch

// batchSize is from how many bytes a request of SubmitBatch has enough.
const batchSize = 4 << 20

// SubmitBatch asks for many jobs of types that take no file, in constant
// memory, and yields an answer for each. Jobs that are refused hinder no other.
// What the server could not take for the moment, and what was not answered
// before a connection broke, is sent again; that is safe since each job without
// an ID or IdempotencyKey gets a key drawn here. An error ends it: jobs that
// were not answered by then may have been taken or not.
func (c *Client) SubmitBatch(ctx context.Context, jobs iter.Seq[Submission]) iter.Seq2[BatchAnswer, error] {
	return func(yield func(BatchAnswer, error) bool) {
		var lines [][]byte
		size, before := 0, int64(0) // bytes of lines, and jobs before them
		flush := func() bool {
			for a, err := range c.SubmitLines(ctx, lines) {
				a.Line += before
				if !yield(a, err) || err != nil {
					return false
				}
			}
			before, size, lines = before+int64(len(lines)), 0, lines[:0]
			return true
		}
		for s := range jobs {
			line, err := s.line()
			if err != nil {
				yield(BatchAnswer{}, err)
				return
			}
			lines, size = append(lines, line), size+len(line)
			if (len(lines) == MaxBatch || size >= batchSize) && !flush() {
				return
			}
		}
		flush()
	}
}

// line is the submission as a line of a batch.
func (s Submission) line() ([]byte, error) {
	if s.Fields != nil {
		return nil, fmt.Errorf("submission of %s: Fields can't go into a batch", s.Type)
	}
	if s.ID == "" && s.IdempotencyKey == "" {
		s.IdempotencyKey = string(job.NewID(time.Now()))
	}
	return s.json(httpapi.InLine)
}

// SubmitLines is SubmitBatch for at most MaxBatch jobs that are JSON already,
// without line ends: the form of the body of POST /v1/jobs, with an id or an
// idempotency_key beside. Lines without either may become two jobs if a
// connection breaks. Empty lines are not answered.
func (c *Client) SubmitLines(ctx context.Context, lines [][]byte) iter.Seq2[BatchAnswer, error] {
	return func(yield func(BatchAnswer, error) bool) {
		b := &batch{client: c, lines: lines, yield: yield}
		for i, line := range lines {
			if len(bytes.TrimSpace(line)) > 0 {
				b.open = append(b.open, i)
			}
		}
		p := c.newPatience()
		for len(b.open) > 0 {
			before := len(b.open)
			call, err := b.once(ctx)
			if b.left {
				return
			}
			if len(b.open) < before {
				p.reset()
			}
			if err == nil {
				continue
			}
			if err = p.pause(ctx, call, err); err != nil {
				yield(BatchAnswer{}, fmt.Errorf("submit a batch: %w", err))
				return
			}
		}
	}
}

// A batch is lines on their way, over all tries.
type batch struct {
	client *Client
	lines  [][]byte
	open   []int // those that have no answer yet
	yield  func(BatchAnswer, error) bool
	left   bool // the caller wants no more
}

// once sends the open lines and yields their answers. Without an error none is open.
func (b *batch) once(ctx context.Context) (call, error) {
	size := 0
	for _, i := range b.open {
		size += len(b.lines[i]) + 1
	}
	text := make([]byte, 0, size)
	for _, i := range b.open {
		text = append(append(text, b.lines[i]...), '\n')
	}
	call := call{method: http.MethodPost, path: httpapi.PathBatch, body: newBody(bytes.NewReader(text),
		int64(len(text))), safe: true,
		header: http.Header{"Content-Type": {httpapi.TypeNDJSON},
			"Accept": {httpapi.TypeNDJSON + ", " + httpapi.TypeProblem}}}

	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(batchIdle, func() { cancel(fmt.Errorf("no answer within %v", batchIdle)) })
	defer timer.Stop()
	resp, done, err := b.client.send(sending, call)
	if err != nil {
		if ctx.Err() == nil && sending.Err() != nil {
			err = b.client.unreachable(ctx, call, context.Cause(sending))
		}
		return call, err
	}
	defer done()
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != httpapi.TypeNDJSON {
		return call, fmt.Errorf("%w (HTTP %d, %s)", ErrForeign, resp.StatusCode, orNone(kind))
	}
	again, err := b.answers(resp.Body, func() { timer.Reset(batchIdle) })
	if err != nil && !errors.Is(err, ErrForeign) {
		if cause := context.Cause(sending); cause != nil {
			err = cause
		}
		err = b.client.unreachable(ctx, call, err)
	}
	if err == nil && again != nil {
		err = again
	}
	return call, err
}

// batchIdle is how long no answer of a batch may come.
const batchIdle = 60 * time.Second

// answers reads answers until all open lines have one. Those that are to be
// sent again stay open; refused is why the last of them was not taken.
func (b *batch) answers(in io.Reader, came func()) (refused, err error) {
	sent := b.open
	var again []int
	answered := 0
	defer func() { b.open = append(again, sent[answered:]...) }()
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 64<<10), maxProblem)
	scan.Split(wholeLines)
	for answered < len(sent) && scan.Scan() {
		came()
		a, err := httpapi.ParseBatchAnswer(scan.Bytes())
		if err != nil || a.Line != int64(answered)+1 {
			return refused, fmt.Errorf("%w (line %s)", ErrForeign, strconv.Itoa(answered+1))
		}
		i := sent[answered]
		answered++
		if e := a.Refused(); e != nil && transient(e.Status) && e.Code != StoreReset {
			again, refused = append(again, i), e
			continue
		}
		a.Line = int64(i) + 1
		if !b.yield(a, nil) {
			b.left = true
			return nil, nil
		}
	}
	if answered == len(sent) {
		return refused, nil
	}
	if err := scan.Err(); err != nil {
		return refused, err
	}
	return refused, io.ErrUnexpectedEOF // it stopped, or a proxy cut it
}

// wholeLines is bufio.ScanLines without a last line that has no end: where a server dies in the middle of
// one, that part of it is nobody's answer.
func wholeLines(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if atEOF && bytes.IndexByte(data, '\n') < 0 {
		return len(data), nil, nil
	}
	return bufio.ScanLines(data, atEOF)
}

// Poll returns those of up to 100 jobs that have another revision than the one
// given, and the ids of those that are not there (any more), as soon as there
// is one; after the wait, which the server may shorten, it returns none. Get tells of one that is missing
// whether it is gone or may be lost (StoreReset).
func (c *Client) Poll(ctx context.Context, revs []job.Rev,
	wait time.Duration) (moved []job.Snapshot, missing []job.ID, err error) {
	return c.pollMany(ctx, revs, wait, httpapi.UntilChange)
}

// PollDone is Poll for jobs that have ended, whatever their revision.
func (c *Client) PollDone(ctx context.Context, ids []job.ID,
	wait time.Duration) (ended []job.Snapshot, missing []job.ID, err error) {
	revs := make([]job.Rev, len(ids))
	for i, id := range ids {
		revs[i] = job.Rev{ID: id}
	}
	return c.pollMany(ctx, revs, wait, httpapi.UntilDone)
}

func (c *Client) pollMany(ctx context.Context, revs []job.Rev, wait time.Duration,
	until string) ([]job.Snapshot, []job.ID, error) {
	query := url.Values{"id": {httpapi.FormatRevs(revs)}, "until": {until}}
	if wait > 0 {
		query.Set("wait", httpapi.FormatDuration(wait))
	}
	look := get(httpapi.PathJobs, query)
	look.limit, look.known = wait+answerTimeout, true
	var list httpapi.JobList
	if _, err := c.exchange(ctx, look, &list); err != nil {
		return nil, nil, fmt.Errorf("wait for %d jobs: %w", len(revs), err)
	}
	return list.Jobs, list.Missing, nil
}
