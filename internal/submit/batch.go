package submit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/internal/tracing"
	"longshore/job"
	"longshore/tasks"
)

// A Batch asks for a job that ends when the jobs that are submitted into it have. Of Request it has who, the
// id or key, labels, times and the callback.
type Batch struct {
	Request

	// Then is what comes when all have ended, nil = nothing; OnFailure, of one of them, says whether it comes
	// all the same.
	Then *Request
	// Lines are the jobs of a batch that is closed at once; nil = they come later, until it is closed.
	Lines []Draft
	whole bool
}

const (
	batchExpires    = 7 * 24 * time.Hour // unless the request says when
	maxBatchExpires = 90 * 24 * time.Hour
	maxBatchJobs    = 1000 // in the request that makes it
)

// ReadBatch reads the JSON of a batch, as strictly as that of a job. The error is an *httpapi.Error.
func ReadBatch(text []byte) (Batch, error) {
	b := Batch{Request: Request{Type: job.BatchType}}
	o := &object{Request: &b.Request, in: httpapi.InBatch, more: b.member}
	if err := b.read(text, o); err != nil {
		return b, err
	}
	for name, given := range map[string]bool{"/type": b.Type != job.BatchType, "/payload": b.Payload != nil,
		"/input": b.From != nil} {
		if given {
			return b, httpapi.InvalidAt(name, "a batch does no work: what is to be done are its jobs")
		}
	}
	return b, nil
}

// member takes those that only a batch has.
func (b *Batch) member(name string, value []byte) (known bool, err error) {
	switch name {
	case "name":
		b.Name, err = httpapi.TextOf(value)
		return true, err
	case "then":
		if value[0] == 'n' {
			return true, nil
		}
		b.Then = &Request{}
		return true, b.Then.ReadBody(value)
	case "jobs":
		b.whole = true
		return true, b.lines(value)
	}
	return false, nil
}

// lines reads the jobs of a batch that comes whole.
func (b *Batch) lines(value []byte) error {
	var all []json.RawMessage
	if value[0] != '[' || json.Unmarshal(value, &all) != nil {
		return errors.New("expected an array of jobs")
	}
	if len(all) > maxBatchJobs {
		return fmt.Errorf("expected at most %d jobs; more are submitted one a line, with ?batch=", maxBatchJobs)
	}
	for i, one := range all {
		b.Lines = append(b.Lines, Read(httpapi.Line{Number: int64(i + 1), Text: one,
			TooLong: len(one) > httpapi.MaxBatchLine}))
	}
	return nil
}

// Permit says whose the batch, what comes then and its jobs are, and what of them may not be.
func (b *Batch) Permit(who *access.Principal, tenant string) error {
	if who != nil {
		if who.Grant != nil {
			return forbidden("a batch is for who made the token to open")
		}
		b.Owner = access.Owner{Tenant: tenant, Subject: who.Subject}
	}
	if b.ID != "" {
		if why := checkID(b.ID, time.Now()); why != "" {
			return httpapi.InvalidAt("/headers/"+httpapi.HeaderJob, why)
		}
	}
	if b.Then != nil {
		if err := b.Then.Permit(who, tenant); err != nil {
			return under("/then", httpapi.AsError(err))
		}
	}
	for i := range b.Lines {
		if l := &b.Lines[i]; l.Err == nil {
			l.Err = l.Request.Permit(who, tenant)
		}
	}
	return nil
}

// under moves where a refusal points to.
func under(place string, e *httpapi.Error) *httpapi.Error {
	moved := *e
	moved.Errors = slices.Clone(e.Errors)
	for i := range moved.Errors {
		moved.Errors[i].Pointer = place + moved.Errors[i].Pointer
	}
	return &moved
}

// OpenBatch makes a batch, what comes then, and the jobs that it was given, for each of which it answers. A
// repeat with the same key or id goes on where the first was cut. The error is an *httpapi.Error.
func (d *Submitter) OpenBatch(ctx context.Context, b Batch) (snap job.Snapshot, created bool,
	answers []httpapi.BatchAnswer, err error) {
	n, err := d.checkBatch(&b)
	if err != nil {
		return job.Snapshot{}, false, nil, err
	}
	if err := d.Room(); err != nil {
		return job.Snapshot{}, false, nil, err
	}
	defer d.trace(ctx, &n)(&err)
	ctx = context.WithoutCancel(ctx) // half a batch is no use to anybody
	c, err := d.Store.OpenBatch(ctx, n)
	if err != nil {
		return job.Snapshot{}, false, nil, refusal.Of(err)
	}
	if snap, err = d.snapshot(ctx, c.ID); err != nil {
		return snap, false, nil, err
	}
	if b.Then != nil && snap.Jobs != nil && !snap.Done { // once it has ended, what came then may be gone
		if err := d.createThen(ctx, &b, c.ID, snap.Jobs.Then); err != nil {
			return job.Snapshot{}, false, nil, err
		}
	}
	if !b.whole {
		return snap, c.New, nil, nil
	}
	for i := range b.Lines {
		r := &b.Lines[i].Request
		if r.Batch = c.ID; r.Name == "" && r.IdempotencyKey == "" && r.ID == "" {
			r.line = i + 1 // so that a repeat finds it
		}
	}
	g := d.checkMany(b.Lines)
	d.createMany(ctx, g, d.Patience)
	answers = g.answers
	for i := range answers { // a repeat takes in what something passing has refused
		if answers[i].Status == http.StatusTooManyRequests || answers[i].Status >= 500 {
			return snap, c.New, answers, nil
		}
	}
	snap, err = d.Store.Views().CloseBatch(ctx, access.View{Tenant: b.Owner.Of()}, c.ID, "")
	if err != nil {
		return job.Snapshot{}, false, nil, refusal.Of(err)
	}
	return snap, c.New, answers, nil
}

// checkBatch turns a request into the record of a batch, and checks what comes then.
func (d *Submitter) checkBatch(b *Batch) (jobstore.NewJob, error) {
	var wrong []httpapi.Pointer
	bad := func(pointer, detail string) {
		wrong = append(wrong, httpapi.Pointer{Pointer: pointer, Detail: detail})
	}
	now := time.Now()
	n := jobstore.NewJob{ID: b.ID, Type: job.BatchType, Lane: job.LaneIO, ExpiresIn: b.ExpiresIn,
		Retention:   b.Retention,
		CallbackURL: b.CallbackURL, Labels: b.Labels, Name: b.Name, IdempotencyKey: b.IdempotencyKey,
		Owner: b.Owner}
	if n.ExpiresIn == 0 {
		n.ExpiresIn = batchExpires
	}
	d.checkPolicy(&n, tasks.Info{MaxAttempts: 1, TimeoutMS: 1000}, now, bad)
	checkNames(&n, b.Request, now, bad)
	if n.ExpiresIn < time.Second || n.ExpiresIn > maxBatchExpires {
		bad("/expires_in", "expected a duration from 1s to 2160h")
	}
	if b.Name != "" && !httpapi.IsName(b.Name) {
		bad("/name", nameExpected)
	}
	if why := d.checkCallback(b.CallbackURL); why != "" {
		bad("/callback_url", why)
	}
	if b.OnFailure != "" && b.Then == nil {
		bad("/on_failure", "says when then runs: there is none")
	}
	if wrong != nil {
		return n, httpapi.NotValid(wrong...)
	}
	if b.Then != nil {
		if _, err := d.checkThen(b, n.ID); err != nil {
			return n, under("/then", httpapi.AsError(err))
		}
		n.Then = jobstore.DrawID(now, b.Owner, "")
	}
	if b.IdempotencyKey != "" || b.ID != "" {
		n.Digest = digest(b.Request, b.said())
	}
	return n, nil
}

// said is what of a batch is not in its request.
func (b *Batch) said() []byte {
	text := []byte(b.Name + "\x00" + b.OnFailure + "\x00" + strconv.Itoa(len(b.Lines)))
	if b.Then != nil {
		text = append(text, digest(*b.Then, b.Then.Payload)...)
	}
	for i := range b.Lines {
		text = append(text, digest(b.Lines[i].Request, b.Lines[i].Request.Payload)...)
	}
	return text
}

// checkThen is check for what comes when a batch has ended: it is after it, and gets what became of its jobs
// as its input if its type takes one.
func (d *Submitter) checkThen(b *Batch, id job.ID) (jobstore.NewJob, error) {
	r := *b.Then
	for pointer, given := range map[string]bool{"/after": len(r.After) > 0, "/batch": r.Batch != "", "/id": r.ID != "",
		"/idempotency_key": r.IdempotencyKey != "", "/input": r.hasInput(), "/batch_name": r.Name != "",
		"/on_failure": r.OnFailure != "", "/unique_key": r.UniqueKey != ""} {
		if given {
			return jobstore.NewJob{}, httpapi.InvalidAt(pointer, "is the batch's to say")
		}
	}
	if info, ok := d.Catalog.Lookup(r.Type); ok && info.Input != tasks.NoInput {
		r.gather = id
	}
	r.After, r.OnFailure = []job.ID{id}, b.OnFailure
	n, _, err := d.check(r)
	n.Spec.Gather = r.gather
	return n, err
}

// createThen makes the job that comes when a batch has ended. It is registered with the batch, so that the
// records are there that it works on.
func (d *Submitter) createThen(ctx context.Context, b *Batch, id, then job.ID) error {
	n, err := d.checkThen(b, id)
	if err != nil || then == "" {
		return err
	}
	n.ID, n.Traceparent = then, tracing.From(ctx)
	if err := d.Store.Use(ctx, id, then); err != nil {
		return refusal.Of(err)
	}
	if _, err = d.Store.Create(ctx, n); err != nil {
		return refusal.Of(err)
	}
	return nil
}

const nameExpected = "expected 1 to 64 of A-Z, a-z, 0-9, dot, dash and underscore, and no job's id"

// checkMember checks what a job says of the batch that it is to be of: a name there is its key.
func checkMember(r *Request, bad func(pointer, detail string)) {
	named := func(id job.ID) bool { _, err := job.ParseID(string(id)); return err != nil }
	if r.Batch == "" {
		if r.Name != "" {
			bad("/batch_name", "is for a job of a batch")
		}
		if i := slices.IndexFunc(r.After, named); i >= 0 {
			bad("/after/"+strconv.Itoa(i), "expected a job's id; names are for jobs of a batch")
		}
		return
	}
	if _, err := job.ParseID(string(r.Batch)); err != nil {
		bad("/batch", "expected a batch's id")
		return
	}
	switch {
	case r.Name != "" && r.UniqueKey != "":
		bad("/unique_key", "a batch_name is its own key: send one of the two")
	case r.Name == "" && r.line > 0 && r.UniqueKey == "":
		r.IdempotencyKey = jobstore.NameKey(r.Batch, "#"+strconv.Itoa(r.line))
	case r.Name == "":
	case !httpapi.IsName(r.Name):
		bad("/batch_name", nameExpected)
	case r.ID != "":
		bad("/batch_name", "is its own key: send it, or an id")
	default: // whatever key the request has, which clients draw by themselves
		r.IdempotencyKey = jobstore.NameKey(r.Batch, r.Name)
	}
}

// resolveNames puts the ids of jobs of the same batch in the place of their names.
func (d *Submitter) resolveNames(ctx context.Context, r *Request, n *jobstore.NewJob) error {
	var names []string
	var at []int
	for i, id := range r.After {
		if _, err := job.ParseID(string(id)); err != nil {
			names, at = append(names, string(id)), append(at, i)
		}
	}
	if len(names) == 0 {
		return nil
	}
	ids, err := d.Store.Named(ctx, r.Owner, r.Batch, names)
	if err != nil {
		return refusal.Of(err)
	}
	r.After = slices.Clone(r.After)
	for i, id := range ids {
		if id == "" {
			return httpapi.InvalidAt("/after/"+strconv.Itoa(at[i]), "no earlier job of the batch has this name")
		}
		r.After[at[i]] = id
	}
	slices.Sort(r.After)
	r.After = slices.Compact(r.After)
	n.After = r.After
	return nil
}
