package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// A Submission asks for one job. Zero values mean the type's policy.
type Submission struct {
	Type string
	// Payload is encoded as JSON; json.RawMessage goes as it is, nil is {}.
	Payload any
	// Fields are the payload's simple fields as texts; the server reads each as
	// its schema says. They take the place of Payload: only one may be set.
	Fields url.Values

	Priority    job.Priority
	Queue       string        // that it waits in; "" = default
	RunAt       time.Time     // not before; zero = at once
	Timeout     time.Duration // of one attempt
	ExpiresIn   time.Duration // to the start
	MaxAttempts int
	Retention   time.Duration // after the end
	// CallbackURL is posted the job, signed, when it has ended; "" = nobody is.
	CallbackURL string
	// Labels are what the job is found by: at most 8; nil = none.
	Labels job.Labels
	// After are jobs that have to end before it, at most 100; one that doesn't succeed ends it as canceled,
	// unless OnFailure is "run".
	After     []job.ID
	OnFailure string
	// Hold is why it is to wait until somebody releases it, at most 200 bytes; "" = it isn't.
	Hold string

	// Batch is one that the job is to be of, see OpenBatch, and Name what it is called there: others of it
	// may be after the name, and a repeat with it is the same job.
	Batch job.ID
	Name  string

	// LimitKey is what limits of jobs at once tell it apart by, as a customer: at most 256 bytes; "" = nothing.
	LimitKey string

	// DeleteInput has its own input deleted before the job is: job.DeleteOnSuccess, job.DeleteAtEnd, or
	// job.DeleteNever where the type's policy, which holds for "", is to delete it.
	DeleteInput string

	// UniqueKey makes it the only job of this key, of at most 256 bytes, until it has ended, or what
	// UniqueUntil says: "started", "removed". Where there is one Submit returns that job, or, with OnConflict
	// "refuse", an Error with Duplicate and the job's id; with "replace" that job, which has not begun, takes
	// payload, priority and RunAt of this one, and starts no later than MaxWait (1 h) after its creation.
	UniqueKey, UniqueUntil, OnConflict string
	MaxWait                            time.Duration

	// ID is the id of the job to be, drawn with job.NewID, so that the job can
	// be watched while its input is on the way; "" lets the server draw it.
	ID job.ID
	// IdempotencyKey makes a repeated submission return the first job. "" = one
	// is drawn for each call, which covers the repeats that the client makes.
	IdempotencyKey string

	// InputJob makes an output of a job that has succeeded the input, by
	// reference: nothing is copied. InputOutput names the output where there
	// are several. It is for Submit, with Payload.
	InputJob    job.ID
	InputOutput string

	// Of a file: what it is called and what it is. Both are only noted.
	Filename    string
	ContentType string
}

// Submit asks for a job of a type that takes no file and returns it as the
// server has accepted it, most often not started yet.
func (c *Client) Submit(ctx context.Context, s Submission) (job.Snapshot, error) {
	if s.Fields != nil {
		if s.InputJob != "" {
			return job.Snapshot{}, fmt.Errorf("submission of %s: InputJob goes with Payload, not with Fields",
				s.Type)
		}
		return c.submit(ctx, s, nil)
	}
	text, err := s.json(httpapi.InBody)
	if err != nil {
		return job.Snapshot{}, err
	}
	header := s.header()
	header.Set("Content-Type", httpapi.TypeJSON)
	var snap job.Snapshot
	_, err = c.exchange(ctx, call{
		method: http.MethodPost, path: httpapi.PathJobs, header: header,
		body: newBody(bytes.NewReader(text), int64(len(text))), safe: true,
	}, &snap)
	if err != nil {
		return job.Snapshot{}, fmt.Errorf("submit %s: %w", s.Type, err)
	}
	return snap, nil
}

var controls = httpapi.FieldsOf[Submission]()

// json is the submission as the JSON of a job without a file: the body of a request, or
// a line of a batch.
func (s Submission) json(in httpapi.Places) ([]byte, error) {
	wrong := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("encode the submission of %s: %w", s.Type, err)
	}
	payload, err := s.payload()
	if err != nil {
		return nil, err
	}
	head := struct {
		Type    string            `json:"type"`
		Payload json.RawMessage   `json:"payload,omitempty"`
		Input   *httpapi.InputRef `json:"input,omitempty"`
	}{Type: s.Type, Payload: payload}
	if s.InputJob != "" {
		head.Input = &httpapi.InputRef{Job: s.InputJob, Output: s.InputOutput}
	}
	text, err := json.Marshal(head)
	if err != nil {
		return wrong(err)
	}
	if text, err = controls.AppendJSON(text[:len(text)-1], &s, in); err != nil {
		return wrong(err)
	}
	return append(text, '}'), nil
}

// SubmitFile streams in to its end as the job's input, in constant memory. The
// size in bytes may be -1 where it is not known. A submission is repeated when
// the server can't take it only as long as in can be rewound (io.Seeker) or
// nothing was read yet. It returns once the server has the whole input.
func (c *Client) SubmitFile(ctx context.Context, s Submission, in io.Reader,
	size int64) (job.Snapshot, error) {
	return c.submit(ctx, s, newBody(in, size))
}

func (c *Client) submit(ctx context.Context, s Submission, b *body) (job.Snapshot, error) {
	query, err := s.query()
	if err != nil {
		return job.Snapshot{}, err
	}
	header := s.header()
	if b != nil {
		kind := s.ContentType
		if kind == "" {
			kind = "application/octet-stream"
		}
		header.Set("Content-Type", kind)
	}
	var snap job.Snapshot
	_, err = c.exchange(ctx, call{
		method: http.MethodPost, path: httpapi.SubmitPath(s.Type), query: query, header: header, body: b,
		safe: true,
	}, &snap)
	if err != nil {
		return job.Snapshot{}, fmt.Errorf("submit %s: %w", s.Type, err)
	}
	return snap, nil
}

func (s Submission) header() http.Header {
	if s.ID != "" {
		s.IdempotencyKey = "" // the id makes a repeat harmless by itself
	} else if s.IdempotencyKey == "" {
		s.IdempotencyKey = string(job.NewID(time.Now()))
	}
	h := http.Header{}
	for i, c := range httpapi.Controls {
		if text, given := controls.Text(&s, i); given && c.In&httpapi.InHeader != 0 {
			h.Set(c.Header, text)
		}
	}
	return h
}

func (s Submission) payload() (json.RawMessage, error) {
	if s.Payload == nil {
		return nil, nil
	}
	text, err := json.Marshal(s.Payload)
	if err != nil {
		return nil, fmt.Errorf("encode the payload of %s: %w", s.Type, err)
	}
	return text, nil
}

// query is the submission as parameters, where the body is the input.
func (s Submission) query() (url.Values, error) {
	q := url.Values{}
	payload, err := s.payload()
	if err != nil {
		return nil, err
	}
	if payload != nil {
		if s.Fields != nil {
			return nil, fmt.Errorf("submission of %s: Payload and Fields are both set", s.Type)
		}
		q.Set("payload", string(payload))
	}
	maps.Copy(q, s.Fields)
	for i, c := range httpapi.Controls {
		if text, given := controls.Text(&s, i); given && c.In&httpapi.InQuery != 0 {
			q.Set(c.Name, text)
		}
	}
	return q, nil
}
