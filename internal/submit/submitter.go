package submit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/internal/sealing"
	"longshore/internal/strictjson"
	"longshore/internal/tracing"
	"longshore/job"
	"longshore/tasks"
)

// Config of a Submitter.
type Config struct {
	Store   *jobstore.Store
	Blobs   blob.Store
	Catalog *tasks.Catalog
	// Keeper renews the leases of uploads; its Run must be running.
	Keeper    *jobstore.Keeper
	Log       *slog.Logger
	Retention time.Duration // of jobs that name none; 0 = 24 h
	MaxInput  int64         // bytes; 0 = no limit
	// Full says why no new job may come, for a client to read, and "" where one may: the
	// job store has little room left, or as many jobs as the operator wants. nil = never.
	// It is asked for each job, so it must know.
	Full func() string
	// Limits judges new jobs by what waits already; nil = nobody does.
	Limits Admitter
	// Patience is how long lines of a batch wait for room before they are refused; 0 = 25 s. It ends when
	// Stopping is closed; nil = never.
	Patience  time.Duration
	Stopping  <-chan struct{}
	Callbacks bool // there is a secret to sign callbacks with
	// Traces makes spans of jobs whose callers trace; nil makes none.
	Traces *tracing.Tracer
	// Sealer seals the values of payloads that are secret; nil = none is taken.
	Sealer *sealing.Sealer
	// MaxTimeout, MaxRetention and MaxAttempts are the most that a submission may ask
	// for; 0 = the most there is: tasks.MaxTimeout, 366 days, tasks.MaxMaxAttempts. What a type
	// or the installation has by default is cut down to them.
	MaxTimeout, MaxRetention time.Duration
	MaxAttempts              int
	// UploadExpiry ends an upload in pieces after this long without a byte; 0 = 24 h.
	UploadExpiry time.Duration
	// MaxOpenUploads bounds the uploads in pieces that are open in the installation,
	// MaxOpenUploadsPerAddress those of one client's; 0 = no limit.
	MaxOpenUploads, MaxOpenUploadsPerAddress int
}

// A Submitter takes jobs in. It is safe for concurrent use.
type Submitter struct{ Config }

// NewSubmitter returns a submitter.
func NewSubmitter(c Config) *Submitter {
	if c.Retention == 0 {
		c.Retention = 24 * time.Hour
	}
	if c.Patience == 0 {
		c.Patience = 25 * time.Second
	}
	if c.UploadExpiry == 0 {
		c.UploadExpiry = 24 * time.Hour
	}
	c.MaxTimeout = cmp.Or(c.MaxTimeout, tasks.MaxTimeout)
	c.MaxRetention = cmp.Or(c.MaxRetention, maxRetention)
	c.MaxAttempts = cmp.Or(c.MaxAttempts, tasks.MaxMaxAttempts)
	return &Submitter{c}
}

// Submit takes one job in and returns its snapshot. created is false if the
// idempotency key or the chosen id named a job that was there already. The
// error is an *httpapi.Error.
func (d *Submitter) Submit(ctx context.Context, r Request) (snap job.Snapshot, created bool, err error) {
	n, info, err := d.check(r)
	if err == nil {
		err = d.Room()
	}
	if err != nil {
		return job.Snapshot{}, false, err
	}
	defer d.trace(ctx, &n)(&err)
	if !r.referred() && (info.Input == tasks.InputRequired ||
		info.Input == tasks.InputOptional && r.Input != nil) {
		if err := d.checkAfter(ctx, r, &n); err != nil {
			return job.Snapshot{}, false, err
		}
		if err := d.admitUpload(ctx, &n); err != nil {
			return job.Snapshot{}, false, err
		}
		return d.submitInput(ctx, r, n)
	}
	done, err := d.admit(ctx, &n)
	if err != nil {
		return job.Snapshot{}, false, err
	}
	defer done()
	return d.submitWhole(ctx, r, n)
}

// submitWhole makes a job whose input is there, or that needs none.
func (d *Submitter) submitWhole(ctx context.Context, r Request, n jobstore.NewJob) (job.Snapshot, bool,
	error) {
	if err := d.checkAfter(ctx, r, &n); err != nil {
		return job.Snapshot{}, false, err
	}
	if r.referred() {
		return d.submitReference(ctx, r, n)
	}
	return d.create(ctx, n)
}

// Prepare makes what a request asks for ready, and makes no job. The error is an *httpapi.Error.
func (d *Submitter) Prepare(r Request) (jobstore.NewJob, error) {
	n, _, err := d.check(r)
	return n, err
}

// Room refuses new jobs while the job store is full, so that those that are there
// can end.
func (d *Submitter) Room() error {
	if d.Full == nil {
		return nil
	}
	why := d.Full()
	if why == "" {
		return nil
	}
	e := httpapi.NewError(httpapi.StoreFull, why+", try again later")
	e.RetryAfter = 5 * time.Second
	return e
}

// create makes the record of a job that has its input, or needs none, and
// its ticket.
func (d *Submitter) create(ctx context.Context,
	n jobstore.NewJob) (snap job.Snapshot, created bool, err error) {
	c, err := d.Store.Create(ctx, n)
	if err != nil {
		return job.Snapshot{}, false, refusal.Of(err)
	}
	snap, ok := c.Snapshot(n)
	if !ok {
		snap, err = d.snapshot(ctx, c.ID)
	}
	return snap, c.New, err
}

func (d *Submitter) snapshot(ctx context.Context, id job.ID) (job.Snapshot, error) {
	snap, err := d.Store.Get(ctx, id)
	if err != nil {
		return job.Snapshot{}, refusal.Of(err)
	}
	return snap, nil
}

// Limits of a request.
const (
	maxKey       = 255
	maxFilename  = 255
	maxRetention = 366 * 24 * time.Hour
	maxAhead     = 366 * 24 * time.Hour // of run_at and expires_in
	maxIDAge     = time.Hour
	maxIDAhead   = time.Minute // a client's clock may be ahead by this
)

// check validates a request and turns it into a new record.
func (d *Submitter) check(r Request) (jobstore.NewJob, tasks.Info, error) {
	var wrong []httpapi.Pointer
	bad := func(pointer, detail string) {
		wrong = append(wrong, httpapi.Pointer{Pointer: pointer, Detail: detail})
	}

	info, ok := d.Catalog.Lookup(r.Type)
	if !ok {
		bad("/type", "unknown type; /v1/types lists those there are")
		return jobstore.NewJob{}, info, httpapi.NotValid(wrong...)
	}
	if info.Input == tasks.InputRequired && !r.hasInput() {
		bad("/input", "this type works on a file: send it as the body of POST /v1/jobs/"+r.Type+
			", or name another job's output")
	}
	if info.Input == tasks.NoInput && r.hasInput() {
		bad("/input", "this type takes no file: its work is all in its payload")
	}
	if r.Input != nil && r.From != nil {
		bad("/input", "there is a file beside it")
	}
	if r.From != nil {
		if _, err := job.ParseID(string(r.From.Job)); err != nil {
			bad("/input/job", "expected a job's id")
		}
	}
	checkMember(&r, bad)
	now := time.Now()
	n := jobstore.NewJob{ID: r.ID, Type: r.Type, Priority: r.Priority, Queue: job.InQueue(r.Queue),
		RunAt:     r.RunAt,
		ExpiresIn: r.ExpiresIn, Timeout: r.Timeout, MaxAttempts: r.MaxAttempts, Retention: r.Retention,
		RetryOf: r.RetryOf, RetryBy: r.retryBy, RetryAgain: r.retryAgain,
		CallbackURL: r.CallbackURL, Labels: r.Labels, After: r.After, RunAnyway: r.OnFailure == runAnyway,
		Hold: r.Hold, LimitKey: r.LimitKey, Batch: r.Batch, Name: r.Name, Unique: r.unique(),
		IdempotencyKey: r.IdempotencyKey, Owner: r.Owner, Function: info.Version}
	d.checkPolicy(&n, info, now, bad)
	checkNames(&n, r, now, bad)
	checkWaits(&n, r, bad)
	checkUnique(&n, r, bad)
	n.DeleteInput = checkDelete(&r, info, bad)
	if why := d.checkCallback(r.CallbackURL); why != "" {
		bad("/callback_url", why)
	}
	if err := r.Labels.Check(); err != nil {
		bad("/labels", err.Error())
	}
	payload, err := d.checkPayload(r, wrong)
	if err != nil {
		return n, info, err
	}
	n.Lane, n.Spec.Payload = info.LaneFor(payload), payload
	if d.Limits != nil {
		d.Limits.Classify(&n)
	}
	if secrets := stillSecret(d.Catalog.Secrets(r.Type, payload), payload, r.sealed); len(secrets) > 0 {
		if d.Sealer == nil {
			return n, info, httpapi.InvalidAt("/payload"+secrets[0],
				"is a secret, which ACCESS_SECRET must be set for")
		}
		n.Spec.Sealed = secrets
		if n.Spec.Payload, payload, err = d.Sealer.Payload(r.Type, payload, secrets); err != nil {
			return n, info, httpapi.AsError(err)
		}
	}
	if r.IdempotencyKey != "" || r.ID != "" {
		n.Digest = digest(r, payload)
	}
	return n, info, nil
}

// checkPayload checks the payload of a request of which something else may be
// wrong: then no more is asked of the payload than its schema says, which costs
// little whatever it holds.
func (d *Submitter) checkPayload(r Request, wrong []httpapi.Pointer) ([]byte, error) {
	check := d.Catalog.Check
	if wrong != nil {
		check = d.Catalog.CheckSchema
	}
	payload, err := check(r.Type, r.Payload)
	var problems tasks.Problems
	switch {
	case errors.Is(err, strictjson.ErrSyntax):
		return nil, httpapi.NewError(httpapi.Invalid, "payload: "+err.Error()).
			WithStatus(http.StatusBadRequest)
	case errors.As(err, &problems):
		first := make([]httpapi.Pointer, len(problems), len(problems)+len(wrong))
		for i, p := range problems {
			first[i] = httpapi.Pointer{Pointer: "/payload" + p.Pointer, Detail: p.Detail}
		}
		wrong = append(first, wrong...)
	case err != nil:
		return nil, httpapi.AsError(err)
	}
	if wrong != nil {
		return nil, httpapi.NotValid(wrong...)
	}
	return payload, nil
}

// checkPolicy checks times and counts, and fills in the type's. It is the one place
// that knows the installation's ceilings. A retry asks for nothing: what the old job
// had is cut down to them.
func (d *Submitter) checkPolicy(n *jobstore.NewJob, info tasks.Info, now time.Time,
	bad func(pointer, detail string)) {
	if n.Priority == "" {
		n.Priority = job.Default
	}
	if !slices.Contains(job.Priorities, n.Priority) {
		bad("/priority", "expected "+job.PriorityNames())
	}
	if n.Queue != "" && !job.IsQueue(n.Queue) {
		bad("/queue", "expected "+job.QueueNames)
	}
	again := n.RetryOf != ""
	if n.Timeout == 0 || again {
		n.Timeout = min(cmp.Or(n.Timeout, info.Timeout()), d.MaxTimeout)
	}
	if n.Timeout < time.Millisecond || n.Timeout > d.MaxTimeout {
		bad("/timeout", "expected 1ms to "+httpapi.FormatDuration(d.MaxTimeout)+" (MAX_TIMEOUT)")
	}
	if n.MaxAttempts == 0 || again {
		n.MaxAttempts = min(cmp.Or(n.MaxAttempts, info.MaxAttempts), d.MaxAttempts)
	}
	if n.MaxAttempts < 1 || n.MaxAttempts > d.MaxAttempts {
		bad("/max_attempts", fmt.Sprintf("expected 1 to %d (MAX_ATTEMPTS)", d.MaxAttempts))
	}
	if n.Retention == 0 || again {
		n.Retention = min(cmp.Or(n.Retention, time.Duration(info.RetentionMS)*time.Millisecond, d.Retention),
			d.MaxRetention)
	}
	if n.Retention < time.Second || n.Retention > d.MaxRetention {
		bad("/retention", "expected 1s to "+httpapi.FormatDuration(d.MaxRetention)+" (MAX_RETENTION)")
	}
	if n.ExpiresIn < 0 || n.ExpiresIn > maxAhead {
		bad("/expires_in", "expected a duration up to 8784h")
	}
	if n.RunAt.After(now.Add(maxAhead)) {
		bad("/run_at", "expected a time within a year")
	}
	if !n.RunAt.After(now) {
		n.RunAt = time.Time{}
	}
	if n.ExpiresIn > 0 && n.RunAt.Sub(now) >= n.ExpiresIn { // of no RunAt this is far below 0
		bad("/expires_in", "expected an end after run_at: the job would expire before it may start")
	}
}

// checkDelete is when the job's input goes before the job. It goes only with the job whose own it is, and
// with one that runs again for that one.
func checkDelete(r *Request, info tasks.Info, bad func(pointer, detail string)) string {
	when := r.DeleteInput
	switch when {
	case "", job.DeleteNever, job.DeleteOnSuccess, job.DeleteAtEnd:
	default:
		bad("/delete_input", "expected never, on_success or at_end")
		return ""
	}
	if r.Input != nil && when == "" {
		when = info.DeleteInput
	}
	if when == "" || when == job.DeleteNever {
		return ""
	}
	if r.Input == nil && r.RetryOf == "" {
		bad("/delete_input", "the job has no input of its own")
	}
	return when
}

// checkNames checks the id, the key and the file's name.
func checkNames(n *jobstore.NewJob, r Request, now time.Time, bad func(pointer, detail string)) {
	if len(r.IdempotencyKey) > maxKey {
		bad("/headers/"+httpapi.HeaderIdempotencyKey, "expected at most 255 bytes")
	}
	if len(r.Filename) > maxFilename {
		bad("/filename", "expected at most 255 bytes")
	}
	if r.RetryOf != "" { // one script makes it and marks the old one
		n.ID = job.NewIDIn(now, r.RetryOf.Shard())
		return
	}
	switch {
	case r.ID == "" && r.UniqueKey != "":
		n.ID = jobstore.DrawUniqueID(now, r.Owner, r.UniqueKey)
		return
	case r.ID == "":
		n.ID = jobstore.DrawID(now, r.Owner, r.IdempotencyKey)
		return
	}
	if !r.IDUntil.IsZero() {
		n.Claim = max(time.Second, r.IDUntil.Sub(now)) + claimAfter
		return
	}
	switch why := checkID(r.ID, now); {
	case why != "":
		bad("/headers/"+httpapi.HeaderJob, why)
	case r.IdempotencyKey != "":
		bad("/headers/"+httpapi.HeaderJob, "a chosen id is its own idempotency key: send one of the two")
	default:
		n.Claim = max(time.Second, r.ID.Time().Add(maxIDAge).Sub(now))
	}
}
