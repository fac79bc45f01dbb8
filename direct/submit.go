package direct

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"longshore/client"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/loop"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
)

// Submit asks for one job of a definition's type, with its payload; what else the
// submission says goes as it is, but for Type, Payload and Fields. The type may be
// one that no worker has published yet: the job waits for one that serves it.
func Submit[P any](ctx context.Context, c *Client, d tasks.Definition[P], payload P,
	s Submission) (job.Snapshot, error) {
	s, err := typed(c, d, payload, s)
	if err != nil {
		return job.Snapshot{}, err
	}
	return c.Submit(ctx, s)
}

// SubmitFile is Submit for a type that works on a file; see Client.SubmitFile.
func SubmitFile[P any](ctx context.Context, c *Client, d tasks.Definition[P], payload P, s Submission,
	in io.Reader, size int64) (job.Snapshot, error) {
	s, err := typed(c, d, payload, s)
	if err != nil {
		return job.Snapshot{}, err
	}
	return c.SubmitFile(ctx, s, in, size)
}

func typed[P any](c *Client, d tasks.Definition[P], payload P, s Submission) (Submission, error) {
	if err := know(c, d); err != nil {
		return s, err
	}
	s.Type, s.Payload, s.Fields = d.Type, payload, nil
	return s, nil
}

// Submit asks for a job of a type that takes no file, or that takes another job's
// output, and returns it as it was accepted. A key is drawn where there is neither an
// ID nor an IdempotencyKey, so it is repeated while Redis is away.
func (c *Client) Submit(ctx context.Context, s Submission) (job.Snapshot, error) {
	r, err := c.request(s)
	if err != nil {
		return job.Snapshot{}, err
	}
	var snap job.Snapshot
	err = c.insist(ctx, func() (err error) {
		snap, _, err = c.submitter.Submit(ctx, r)
		return err
	})
	if err != nil {
		return job.Snapshot{}, fmt.Errorf("submit %s: %w", s.Type, err)
	}
	return snap, nil
}

// SubmitFile streams in to its end as the job's input, in constant memory. The size in
// bytes may be -1 where it is not known. It is tried once: in is used up then.
func (c *Client) SubmitFile(ctx context.Context, s Submission, in io.Reader,
	size int64) (job.Snapshot, error) {
	r, err := c.request(s)
	if err != nil {
		return job.Snapshot{}, err
	}
	r.Input, r.InputSize, r.Filename, r.ContentType = in, size, s.Filename, s.ContentType
	snap, _, err := c.submitter.Submit(ctx, r)
	if err != nil {
		return job.Snapshot{}, fmt.Errorf("submit %s: %w", s.Type, err)
	}
	return snap, nil
}

var (
	ofRequest    = httpapi.FieldsOf[submit.Request]()
	ofSubmission = httpapi.FieldsOf[Submission]()
)

// request is a submission as the submitter takes it.
func (c *Client) request(s Submission) (submit.Request, error) {
	r := submit.Request{Type: s.Type}
	httpapi.CopyControls(&r, ofRequest, &s, ofSubmission)
	r.Filename = "" // a file's
	if r.ID == "" && r.IdempotencyKey == "" {
		r.IdempotencyKey = string(job.NewID(time.Now()))
	}
	if s.InputJob != "" {
		r.From = &submit.Reference{Job: s.InputJob, Output: s.InputOutput}
	}
	var err error
	switch {
	case s.Payload != nil && s.Fields != nil:
		return r, fmt.Errorf("submission of %s: Payload and Fields are both set", s.Type)
	case s.Payload != nil:
		r.Payload, err = json.Marshal(s.Payload)
	case s.Fields != nil:
		r.Payload, err = c.catalog.FromQuery(s.Type, s.Fields)
	}
	if err != nil {
		return r, fmt.Errorf("submission of %s: %w", s.Type, err)
	}
	return r, nil
}

// SubmitBatch asks for many jobs of types that take no file, in constant memory, and
// yields an answer for each, in any order; Line counts from 1. Jobs that are refused
// hinder no other. An error ends it: what was not answered by then may have been
// taken or not.
func (c *Client) SubmitBatch(ctx context.Context, jobs iter.Seq[Submission]) iter.Seq2[BatchAnswer, error] {
	return func(yield func(BatchAnswer, error) bool) {
		next, stop := iter.Pull(jobs)
		defer stop()
		line := int64(0)
		for more := true; more; {
			var drafts []submit.Draft
			for len(drafts) < batchSize {
				s, ok := next()
				if !ok {
					more = false
					break
				}
				line++
				d := submit.Draft{Line: line}
				if d.Request, d.Err = c.request(s); d.Err != nil {
					d.Err = httpapi.NewError(httpapi.Invalid, d.Err.Error())
				}
				drafts = append(drafts, d)
			}
			if !c.submitDrafts(ctx, drafts, yield) {
				return
			}
		}
	}
}

// batchSize is how many jobs of a batch are kept until they are answered.
const batchSize = 4000

// SubmitLines is SubmitBatch for jobs that are JSON already, without line ends: the
// form of the body of POST /v1/jobs, with an id or an idempotency_key beside. Lines
// without either may become two jobs if Redis goes away. Empty lines are not answered.
func (c *Client) SubmitLines(ctx context.Context, lines [][]byte) iter.Seq2[BatchAnswer, error] {
	return func(yield func(BatchAnswer, error) bool) {
		drafts := make([]submit.Draft, 0, len(lines))
		for i, text := range lines {
			if len(bytes.TrimSpace(text)) > 0 {
				drafts = append(drafts, submit.Read(httpapi.Line{Number: int64(i) + 1, Text: text}))
			}
		}
		c.submitDrafts(ctx, drafts, yield)
	}
}

var errLeft = errors.New("the caller wants no more")

// submitDrafts takes drafts in and yields their answers. What can't be taken for the
// moment is submitted again. It returns false if that did not help, or the caller left.
func (c *Client) submitDrafts(ctx context.Context, drafts []submit.Draft,
	yield func(BatchAnswer, error) bool) bool {
	pause, until := 200*time.Millisecond, time.Now().Add(c.retryFor)
	for len(drafts) > 0 {
		var again []submit.Draft
		var refused *Error
		err := c.once(ctx, drafts, func(at int, a httpapi.BatchAnswer) error {
			if e := a.Refused(); e != nil && passing(e) {
				again, refused = append(again, drafts[at]), e
				return nil
			}
			if !yield(a, nil) {
				return errLeft
			}
			return nil
		})
		if len(again) > 0 && err == nil {
			if len(again) < len(drafts) { // it goes on
				pause, until = 200*time.Millisecond, time.Now().Add(c.retryFor)
			}
			wait := waitAfter(refused, pause)
			if time.Now().Add(wait).After(until) {
				err = refused
			} else if err = loop.Sleep(ctx, wait); err == nil {
				pause = min(2*pause, 2*time.Second)
			}
		}
		if err != nil {
			if !errors.Is(err, errLeft) {
				yield(BatchAnswer{}, fmt.Errorf("submit a batch: %w", err))
			}
			return false
		}
		drafts = again
	}
	return true
}

// once submits drafts and hands on the answer to each, with its place.
func (c *Client) once(ctx context.Context, drafts []submit.Draft,
	answer func(at int, a httpapi.BatchAnswer) error) error {
	read, at := false, 0
	return c.submitter.SubmitBatch(ctx, func() ([]submit.Draft, error) {
		if read {
			return nil, io.EOF
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		read = true
		return drafts, nil
	}, func(answers []httpapi.BatchAnswer) error {
		for _, a := range answers {
			if err := answer(at, a); err != nil {
				return err
			}
			at++
		}
		return nil
	})
}

// passing reports whether a refusal may be none when the same comes again.
func passing(e *Error) bool {
	return e.Code != httpapi.StoreReset && // that ends by an operator alone
		(e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests)
}

// Retry makes a new job like an ended one and returns it; the old one stays as it
// ended. It is tried once: a repeat would make another job.
func (c *Client) Retry(ctx context.Context, id job.ID) (job.Snapshot, error) {
	snap, err := c.submitter.Retry(ctx, access.Everything, id, submit.Again{})
	if err != nil {
		return job.Snapshot{}, fmt.Errorf("retry job %s: %w", id, err)
	}
	return snap, nil
}

// Types returns the kinds of work that are known, sorted by name.
func (c *Client) Types(context.Context) ([]client.TypeInfo, error) {
	var types []client.TypeInfo
	for _, i := range c.catalog.All() {
		types = append(types, client.TypeInfo{Type: i.Type, Doc: i.Doc, Lane: i.Lane, TimeoutMS: i.TimeoutMS,
			MaxAttempts: i.MaxAttempts,
			Input:       string(i.Input), ForbidOverlap: i.ForbidOverlap, Schema: i.Schema,
			RetentionMS: i.RetentionMS, Sandbox: i.Sandbox, Version: i.Version})
	}
	return types, nil
}
