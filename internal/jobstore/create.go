package jobstore

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/internal/batch"
	"longshore/internal/redisdb"
	"longshore/job"
)

// A Spec is what a job is to do: opaque to the scripts. A short payload without a file stands in its
// record, all else in a key of its own.
type Spec struct {
	Payload json.RawMessage `json:"p,omitempty"`
	// Sealed are JSON Pointers to the payload's values that are sealed, each a text. Such a payload
	// stands in another member: a process of an older release, which would take the seals for the
	// values, finds none.
	Sealed []string `json:"s,omitempty"`
	Input  *Input   `json:"i,omitempty"`
	// Gather is a batch: the input is what became of its jobs, which the worker gathers before it starts.
	Gather job.ID  `json:"g,omitempty"`
	Upload *Upload `json:"u,omitempty"`
}

// An Input is the file that a job works on: its own, or by reference another
// job's input or output, which Store.Use keeps there.
type Input struct {
	Blob        string `json:"b"`
	Size        int64  `json:"n"`
	SHA256      string `json:"h"` // "" of an input that came in pieces
	ContentType string `json:"t,omitempty"`
	Filename    string `json:"f,omitempty"`
}

// An Upload is an input that comes in pieces, over many requests.
type Upload struct {
	Size        int64  `json:"n"`           // bytes, declared at its creation
	Token       string `json:"k"`           // the blob store's, for the piece that is there so far
	Direct      bool   `json:"d,omitempty"` // its parts go straight to the blob store
	Metadata    string `json:"m,omitempty"`
	ContentType string `json:"t,omitempty"`
	Filename    string `json:"f,omitempty"`
	Client      string `json:"a,omitempty"` // address that it counts for, see OpenUpload
	// Maker is who began it, where that one may look at or end no other's; "" = whoever sees the job may.
	Maker string `json:"o,omitempty"`
}

// Owner is the job whose record keeps the blob; "" of none.
func (i *Input) Owner() job.ID {
	folder, _, _ := strings.Cut(i.Blob, "/")
	owner, _ := ParseFolder(folder)
	return owner
}

// folderMark tells the files of this format's jobs from those of format 2, whose processes would delete
// what has no record that they can read.
const folderMark = "3-"

// Folder is what the names of a job's blobs begin with, up to the first slash.
func Folder(id job.ID) string { return folderMark + string(id) }

// ParseFolder tells whose blobs a folder has: of a job, or of one of format 2, whose folder was its id
// alone.
func ParseFolder(name string) (job.ID, error) {
	return job.ParseID(strings.TrimPrefix(name, folderMark))
}

type specFields Spec

// A sealedSpec is a spec with a payload of which some is sealed.
type sealedSpec struct {
	specFields
	Payload json.RawMessage `json:"q,omitempty"`
}

// encode is the spec as key p: has it; "" of one that says nothing.
func (s Spec) encode() (string, error) {
	if s.Input == nil && s.Upload == nil && s.Gather == "" && (len(s.Payload) == 0 || string(s.Payload) == "{}") {
		return "", nil
	}
	if len(s.Sealed) > 0 {
		kept := sealedSpec{specFields: specFields(s), Payload: s.Payload}
		kept.specFields.Payload = nil
		b, err := json.Marshal(kept)
		return string(b), err
	}
	if s.Input == nil && s.Upload == nil && s.Gather == "" { // checked JSON: nothing to look at again
		return `{"p":` + string(s.Payload) + "}", nil
	}
	b, err := json.Marshal(s)
	return string(b), err
}

// place says where what a job is to do is kept: in its record, or apart.
func (n *NewJob) place() (within, apart string, err error) {
	spec := n.Spec
	if spec.Input == nil && spec.Upload == nil && spec.Gather == "" && n.UploadFence == "" && len(spec.Payload) <= shortPayload &&
		len(spec.Sealed) == 0 {
		if string(spec.Payload) == "{}" {
			return "", "", nil
		}
		return string(spec.Payload), "", nil
	}
	apart, err = spec.encode()
	return "", apart, err
}

// A NewJob is a job to be created.
type NewJob struct {
	ID   job.ID // drawn by DrawID, or chosen by the client
	Spec Spec

	Type        string
	Lane        job.Lane
	Priority    job.Priority
	Queue       string        // its name; "" = the default one
	RunAt       time.Time     // zero = at once
	ExpiresIn   time.Duration // to the start; 0 = never
	Timeout     time.Duration
	MaxAttempts int
	Retention   time.Duration
	RetryOf     job.ID // lies in the same shard
	RetryBy     string // who retries, for that job's story
	RetryAgain  bool   // although it was retried before
	CallbackURL string // told of the end; "" = none
	Function    int64  // number of the deployed function's version that it is for; 0 = none
	// After are jobs that have to end before it, each once; one that doesn't succeed ends it,
	// unless RunAnyway.
	After     []job.ID
	RunAnyway bool
	Hold      string // why it waits until it is released; "" = it doesn't
	// Limits are the classes of those that hold for it (limits.Room names them); LimitKey is what it
	// gave them to tell it apart by.
	Limits   []string
	LimitKey string
	Unique   Unique
	Owner    access.Owner
	Labels   job.Labels // to find it by
	// Traceparent is whose trace the job is of, as W3C's header; "" = none. With TraceApart its runs are
	// traces of their own, which name that one.
	Traceparent string
	TraceApart  bool
	// DeleteInput says whether its input goes sooner than the job: job.DeleteOnSuccess, job.DeleteAtEnd; "" = it doesn't.
	DeleteInput string
	// Batch is the one that the job is of, "" = none; Name is what it is called there, or of what a batch
	// is called.
	Batch job.ID
	Name  string
	// Then is the id of the job that comes when a batch has ended, "" = none. It is set for those of type
	// job.BatchType alone.
	Then job.ID

	// UploadFence, if set, makes the job uploading: it holds a lease under this
	// fence until Uploaded, and Spec is given there.
	UploadFence string
	// UploadExpiry makes that an upload in pieces: it has no lease, which one
	// process would have to renew, but ends this long after the last Beat.
	// Spec.Upload says more. 0 = the upload is one request.
	UploadExpiry time.Duration
	// UploadFrom is the fence of an upload under way (Created.Upload) that this one,
	// with the same key or id, takes over. "" = none.
	UploadFrom string

	IdempotencyKey string // "" = none
	// Digest stands for the request: a repeat with another digest is a mismatch.
	Digest string
	// Claim says that the id was chosen, and stays taken for this long, an hour at least, even if its
	// record goes; 0 = it was drawn.
	Claim time.Duration
}

// Place is where the job waits for a worker.
func (n *NewJob) Place() job.Place {
	return job.PlaceOf(n.Lane, n.Priority, n.Queue, n.Owner.Of(), n.Type)
}

// Created is what Create did.
type Created struct {
	ID  job.ID // of the new job, or of the one that the key or id names
	New bool
	// which is in its queue; Delivery 0 = there is none: the job waits for its input or its time
	Ticket job.Ticket
	// Upload is the fence of another upload that is under way, and that has the
	// key or the id which this one came with; "" = none.
	Upload string
	Pieces bool // it is one in pieces: nobody takes it over, but goes on with it

	at int64 // when the record was made, by Redis's clock; 0 = not told
}

// Snapshot returns the job as it was created from n; ok is false if only the
// record can tell.
func (c Created) Snapshot(n NewJob) (snap job.Snapshot, ok bool) {
	if !c.New || c.at == 0 || n.Type == job.BatchType || len(n.After) > 0 || len(n.Limits) > 0 {
		return snap, false
	}
	snap = job.Snapshot{ID: c.ID, Type: n.Type, State: n.state(), Rev: 1, Lane: n.Lane, Priority: n.Priority,
		Queue: n.Queue, MaxAttempts: n.MaxAttempts, RetryOf: n.RetryOf,
		Labels: n.Labels, LimitKey: n.LimitKey,
		Batch: n.Batch, Name: n.Name, DeleteInput: n.DeleteInput, Traceparent: n.Traceparent,
		CreatedAt: time.UnixMilli(c.at).UTC()}
	tellOwner(&snap, n.Owner)
	if n.Hold != "" {
		snap.Hold = &job.Hold{Why: n.Hold}
	}
	snap.Overall = job.Overall(snap.State, nil)
	if n.Function > 0 {
		snap.Function = &job.FunctionRun{Version: n.Function}
	}
	if !n.RunAt.IsZero() {
		snap.RunAt = timeOf(n.RunAt.UnixMilli())
	}
	if n.ExpiresIn > 0 {
		snap.ExpiresAt = timeOf(c.at + n.ExpiresIn.Milliseconds())
	}
	return snap, true
}

// Create makes the record of a job, or finds the one that the idempotency key
// or the chosen id already names. It may be repeated with the same NewJob. A job
// whose input never came whole gives its key and id free. With UploadFrom an
// upload under way becomes this one: Created.ID is then its job's.
func (s *Store) Create(ctx context.Context, n NewJob) (Created, error) {
	if err := s.Enroll(ctx, n.Queue); err != nil {
		return Created{}, err
	}
	reply, err := s.creates.Do(ctx, s.base(n.ID), &n)
	if err != nil {
		return Created{}, err
	}
	c, err := s.created(n, reply)
	if err == nil && c.New {
		s.enterNew(ctx, &n)
	}
	return c, err
}

// Find returns the job that the idempotency key or the chosen id of a new one
// already names. Errors: job.ErrNotFound, ErrMismatch.
func (s *Store) Find(ctx context.Context, n NewJob) (job.ID, error) {
	id, digest := n.ID, ""
	if n.IdempotencyKey != "" {
		prior, err := s.rdb.Get(ctx, s.base(n.ID)+"i:"+claimHash(n.Owner, n.IdempotencyKey)).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return "", err
		}
		if len(prior) < 16 {
			return "", job.ErrNotFound
		}
		id, digest = job.FromRaw(prior[:16]), prior[16:]
	}
	if id == "" {
		return "", job.ErrNotFound
	}
	core, err := s.rdb.Get(ctx, s.key(id)).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return "", job.ErrNotFound
	case err != nil:
		return "", err
	}
	if n.IdempotencyKey == "" {
		r, err := parseRecord(core)
		if err != nil {
			return "", fmt.Errorf("%s: %w: %w", id, job.ErrDamaged, err)
		}
		if digest = r.digest; digest == "" {
			return "", job.ErrNotFound
		}
	}
	if digest != n.digest() {
		return "", ErrMismatch
	}
	return id, nil
}

// CreateMany is Create for many jobs; results and errors are in their order.
func (s *Store) CreateMany(ctx context.Context, jobs []NewJob) ([]Created, []error) {
	calls, results, errs := make([]*batch.Call, 0, len(jobs)), make([]Created, len(jobs)),
		make([]error, len(jobs))
	all := make([]batch.Call, len(jobs))
	for i := range jobs {
		all[i].Key, all[i].Args = s.base(jobs[i].ID), []any{&jobs[i]}
		if all[i].Err = s.Enroll(ctx, jobs[i].Queue); all[i].Err == nil {
			calls = append(calls, &all[i])
		}
	}
	_ = batch.ReadAll(ctx, s.rdb, s.createCalls, bulkSize, calls) // each call has its own error
	for i := range all {
		c := &all[i]
		if errs[i] = c.Err; c.Err == nil {
			if results[i], errs[i] = s.created(jobs[i], c.Reply); results[i].New {
				s.enterNew(ctx, &jobs[i])
			}
		}
	}
	return results, errs
}

// createCalls makes the jobs of one call, whose partition is the same: those that are new
// and queued at once the short way, in one call, and if one of them is there already
// all of them the long way.
func (s *Store) createCalls(ctx context.Context, rdb redis.UniversalClient, calls []*batch.Call) {
	ctx = redisdb.Replicated(ctx) // it is acknowledged
	var short, long []*batch.Call
	args := make([]any, 0, 4*len(calls))
	for _, c := range calls {
		n, _ := c.Args[0].(*NewJob)
		if !n.plain() {
			long = append(long, c)
			continue
		}
		within, apart, err := n.place()
		if err != nil {
			c.Err = err
			continue
		}
		flags, parts := n.parts(apart)
		args = append(args, n.names(), flagBytes(flags)+parts+within, s.heads.said(n),
			apart)
		short = append(short, c)
	}
	if len(short) > 0 {
		reply, err := s.scripts.create.Run(ctx, rdb, []string{calls[0].Key}, args...).Result()
		first, _ := reply.([]any)
		switch {
		case err != nil:
			for _, c := range short {
				c.Err = err
			}
		case len(first) == 2:
			for _, c := range short {
				c.Reply = []any{"created", int64(1), first[0]}
			}
		default:
			long = append(long, short...)
		}
	}
	s.longCalls(ctx, rdb, s.scripts.createLong, long, s.createArgs)
}

// longCalls runs the long way for some items of a call.
func (s *Store) longCalls(ctx context.Context, rdb redis.UniversalClient, script *redis.Script,
	calls []*batch.Call, args func(c *batch.Call) ([]any, error)) {
	if len(calls) == 0 {
		return
	}
	items := make([]*batch.Call, 0, len(calls))
	whose := make([]*batch.Call, 0, len(calls))
	for _, c := range calls {
		list, err := args(c)
		if err != nil {
			c.Err = err
			continue
		}
		items, whose = append(items, &batch.Call{Key: c.Key, Args: list}), append(whose, c)
	}
	if len(items) > 0 {
		batch.Script(script)(ctx, rdb, items)
	}
	for i, item := range items {
		whose[i].Reply, whose[i].Err = item.Reply, item.Err
	}
}

// plain tells that the short way of creation may do.
func (n *NewJob) plain() bool {
	return n.UploadFence == "" && n.RunAt.IsZero() && n.ExpiresIn == 0 && n.RetryOf == "" &&
		n.CallbackURL == "" && len(n.Labels) == 0 && n.Batch == "" && !n.waits() && len(n.Limits) == 0 && n.LimitKey == "" && n.Unique.Key == "" && n.DeleteInput == "" && n.Owner.Subject == "" && n.Claim <= claimMS*time.Millisecond
}

// names is the first text of the short way: the id in both spellings, the idempotency
// key's hash and the digest, and a mark of an id that was chosen.
func (n *NewJob) names() string {
	raw := n.ID.Raw()
	said := raw + hex.EncodeToString([]byte(raw))
	if n.IdempotencyKey != "" {
		said += claimHash(n.Owner, n.IdempotencyKey) + n.digest()
	}
	if n.Claim > 0 {
		said += "c"
	}
	return said
}

// digest is the request's, where its key or id was chosen: no other request can have one that was drawn.
func (n *NewJob) digest() string {
	switch {
	case n.IdempotencyKey == "" && n.Claim == 0:
		return ""
	case n.Digest == "":
		return noDigest
	}
	return digestBytes(n.Digest)
}

const noDigest = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// createArgs are a job's texts of the long way.
func (s *Store) createArgs(c *batch.Call) ([]any, error) {
	n, _ := c.Args[0].(*NewJob)
	within, apart, err := n.place()
	if err != nil {
		return nil, err
	}
	flags, parts := n.parts(apart)
	fence := ""
	if n.UploadFence != "" {
		fence = readFence(n.UploadFence)
	}
	from := ""
	if n.UploadFrom != "" {
		from = readFence(n.UploadFrom)
	}
	return []any{n.ID.Raw(), claimHash(n.Owner, n.IdempotencyKey), n.digest(), string(n.state()),
		s.heads.said(n), flagBytes(flags), parts, within, apart, unixMS(n.RunAt),
		ms(n.ExpiresIn), n.RetryOf.Raw(), fence, ms(s.lease), n.CallbackURL, ms(n.UploadExpiry),
		from, ms(n.Claim), n.RetryBy, flagText(n.RetryAgain), n.rare()}, nil
}

// state is the one that the job begins with.
func (n NewJob) state() job.State {
	switch {
	case n.UploadFence != "":
		return job.Uploading
	case n.waits():
		return job.Awaiting
	case !n.RunAt.IsZero():
		return job.Scheduled
	default:
		return job.Queued
	}
}

func (s *Store) created(n NewJob, reply []any) (Created, error) {
	if err := status(n.ID, reply); err != nil {
		return Created{}, err
	}
	c := Created{ID: n.ID}
	switch text(reply[0]) {
	case "taken":
		c.ID, c.New = job.FromRaw(text(reply[1])), true
	case "created":
		c.New = true
		c.Ticket = job.Ticket{ID: n.ID, Delivery: integer(reply[1]), Type: n.Type, Lane: n.Lane,
			Priority: n.Priority, Queue: n.Queue}
		if len(reply) > 2 {
			c.at = integer(reply[2])
		}
	default:
		c.ID = job.FromRaw(text(reply[1]))
		if len(reply) > 3 {
			c.Upload, c.Pieces = writeFence(text(reply[2])), integer(reply[3]) == 1
		}
	}
	return c, nil
}

// Uploaded says that the input of an uploading job is whole. Its progress is
// then that of a whole upload. The ticket's delivery is 0 where the job waits for its time. ErrLost means
// that the upload was given up meanwhile: its blob is to be deleted.
func (s *Store) Uploaded(ctx context.Context, id job.ID, fence string, spec Spec) (job.Ticket, error) {
	body, err := spec.encode()
	if err != nil {
		return job.Ticket{}, err
	}
	whole := 1.0
	progress, err := encodeProgress(&job.Progress{Phase: job.PhaseUpload, BytesDone: spec.Input.Size,
		BytesTotal: spec.Input.Size,
		Fraction:   &whole, Reached: job.UploadShare})
	if err != nil {
		return job.Ticket{}, err
	}
	c := s.call(id, readFence(fence), body, progress)
	if err := batch.RunAll(redisdb.Replicated(ctx), s.rdb, s.scripts.uploaded, 1,
		[]*batch.Call{c}); err != nil {
		return job.Ticket{}, err
	}
	if err := status(id, c.Reply); err != nil {
		return job.Ticket{}, err
	}
	t, _ := ticketOf(c.Reply[2])
	if job.State(text(c.Reply[1])) != job.Queued {
		t.Delivery = 0
	}
	return t, nil
}
