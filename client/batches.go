package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/job"
)

// A Batch asks for a job that ends when the jobs that are submitted into it have: it is waited for, followed
// and canceled as any other.
type Batch struct {
	Name        string // what it is called; "" = nothing
	Labels      job.Labels
	ExpiresIn   time.Duration // when it ends at the latest; 0 = 7 days
	Retention   time.Duration // of it, and with it of its jobs, after its end
	CallbackURL string
	// Then runs when it has ended, unless a job didn't succeed and OnFailure isn't "run". Its input is what
	// became of the jobs, as lines of JSON (answer.BatchResult).
	Then      *Submission
	OnFailure string
	// Jobs are all that it is to have, 1000 at most: it is closed with them. nil = they come later, with
	// Submission.Batch.
	Jobs []Submission

	// IdempotencyKey makes a repeat return the first batch. "" = one is drawn for each call.
	IdempotencyKey string
}

// OpenBatch makes a batch, and the jobs that it was given, for each of which it answers.
func (c *Client) OpenBatch(ctx context.Context, b Batch) (job.Snapshot, []BatchAnswer, error) {
	return c.OpenBatchJSON(ctx, b, nil)
}

// OpenBatchJSON is OpenBatch with what comes then as JSON, as in POST /v1/jobs; nil = b says.
func (c *Client) OpenBatchJSON(ctx context.Context, b Batch, then json.RawMessage) (job.Snapshot,
	[]BatchAnswer, error) {
	text, err := b.json(then)
	if err != nil {
		return job.Snapshot{}, nil, fmt.Errorf("open a batch: %w", err)
	}
	var opened answer.BatchOpened
	_, err = c.exchange(ctx, call{method: http.MethodPost, path: httpapi.PathBatches, safe: true,
		header: http.Header{"Content-Type": {httpapi.TypeJSON},
			httpapi.HeaderIdempotencyKey: {cmp.Or(b.IdempotencyKey, string(job.NewID(time.Now())))}},
		body: newBody(bytes.NewReader(text), int64(len(text)))}, &opened)
	if err != nil {
		return job.Snapshot{}, nil, fmt.Errorf("open a batch: %w", err)
	}
	return opened.Batch, opened.Jobs, nil
}

func (b Batch) json(then json.RawMessage) ([]byte, error) {
	spec := answer.BatchSpec{Name: b.Name, Labels: b.Labels, CallbackURL: b.CallbackURL,
		OnFailure: b.OnFailure, Then: then}
	if b.ExpiresIn > 0 {
		spec.ExpiresIn = httpapi.FormatDuration(b.ExpiresIn)
	}
	if b.Retention > 0 {
		spec.Retention = httpapi.FormatDuration(b.Retention)
	}
	if b.Then != nil {
		text, err := b.Then.json(httpapi.InBody)
		if err != nil {
			return nil, err
		}
		spec.Then = text
	}
	for _, s := range b.Jobs {
		text, err := s.json(httpapi.InLine)
		if err != nil {
			return nil, err
		}
		spec.Jobs = append(spec.Jobs, text)
	}
	return json.Marshal(spec)
}

// CloseBatch lets no more jobs into a batch, which ends when those that are there have, and returns it as it
// is now. A second time it does nothing.
func (c *Client) CloseBatch(ctx context.Context, id job.ID) (job.Snapshot, error) {
	return c.snapshot(ctx, "close batch", id, call{method: http.MethodPost, path: httpapi.BatchPath(id) + "/close",
		safe: true})
}

// BatchJobs are the jobs of a batch, in the order in which they were made; of one whose record is gone there
// is only the id, and no state. It ends with the first error.
func (c *Client) BatchJobs(ctx context.Context, id job.ID) iter.Seq2[job.Snapshot, error] {
	return func(yield func(job.Snapshot, error) bool) {
		for cursor := ""; ; {
			page, err := ask[answer.BatchPage](ctx, c, "list the jobs of batch "+string(id), httpapi.BatchPath(id)+"/jobs",
				url.Values{"cursor": {cursor}, "limit": {"500"}})
			if err != nil {
				yield(job.Snapshot{}, err)
				return
			}
			for _, one := range page.Gone {
				page.Jobs = append(page.Jobs, job.Snapshot{ID: one})
			}
			for _, snap := range page.Jobs {
				if !yield(snap, nil) {
					return
				}
			}
			if cursor = page.Next; cursor == "" {
				return
			}
		}
	}
}
