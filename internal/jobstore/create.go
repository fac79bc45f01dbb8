package jobstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/batch"
	"longshore/job"
)

// A Spec is what a job is to do: opaque to the scripts, kept in its record if
// its text is short and no upload changes it, else in a key of its own.
type Spec struct {
	Payload json.RawMessage `json:"p,omitempty"`
	Input   *Input          `json:"i,omitempty"`
	Upload  *Upload         `json:"u,omitempty"`
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
	Size        int64  `json:"n"` // bytes, declared at its creation
	Token       string `json:"k"` // the blob store's, for the piece that is there so far
	Metadata    string `json:"m,omitempty"`
	ContentType string `json:"t,omitempty"`
	Filename    string `json:"f,omitempty"`
	Client      string `json:"a,omitempty"` // address that it counts for, see OpenUpload
}

// Owner is the job whose record keeps the blob.
func (i *Input) Owner() job.ID {
	owner, _, _ := strings.Cut(i.Blob, "/")
	return job.ID(owner)
}

func (s Spec) encode() (string, error) {
	if s.Input == nil && s.Upload == nil && (len(s.Payload) == 0 || string(s.Payload) == "{}") {
		return "", nil
	}
	if s.Input == nil && s.Upload == nil { // checked JSON: nothing to look at again
		return `{"p":` + string(s.Payload) + "}", nil
	}
	b, err := json.Marshal(s)
	return string(b), err
}

// A NewJob is a job to be created.
type NewJob struct {
	ID   job.ID // drawn by DrawID, or chosen by the client
	Spec Spec

	Type        string
	Lane        job.Lane
	Priority    job.Priority
	RunAt       time.Time     // zero = at once
	ExpiresIn   time.Duration // to the start; 0 = never
	Timeout     time.Duration
	MaxAttempts int
	Retention   time.Duration
	RetryOf     job.ID
	CallbackURL string // told of the end; "" = none

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
	// Claim keeps a chosen id taken for this long even if its record goes; 0 = not chosen.
	Claim time.Duration
}

// Created is what Create did.
type Created struct {
	ID     job.ID // of the new job, or of the one that the key or id names
	New    bool
	Ticket job.Ticket // to be enqueued; Delivery 0 = the job waits for its input or its time
	Sent   bool       // the ticket is in the queue already
	// Upload is the fence of another upload that is under way, and that has the
	// key or the id which this one came with; "" = none.
	Upload string
	Pieces bool // it is one in pieces: nobody takes it over, but goes on with it

	at int64 // when the record was made, by Redis's clock; 0 = not told
}

// Snapshot returns the job as it was created from n; ok is false if only the
// record can tell.
func (c Created) Snapshot(n NewJob) (snap job.Snapshot, ok bool) {
	if !c.New || c.at == 0 {
		return snap, false
	}
	snap = job.Snapshot{ID: c.ID, Type: n.Type, State: n.state(), Rev: 1, Lane: n.Lane, Priority: n.Priority,
		MaxAttempts: n.MaxAttempts, RetryOf: n.RetryOf, CreatedAt: time.UnixMilli(c.at).UTC()}
	snap.Overall = job.Overall(snap.State, nil)
	if !n.RunAt.IsZero() {
		snap.RunAt = timeOf(n.RunAt.UnixMilli())
	}
	if n.ExpiresIn > 0 {
		snap.ExpiresAt = timeOf(c.at + n.ExpiresIn.Milliseconds())
	}
	return snap, true
}

// DrawID draws an id that lies in the shard of the idempotency key, so that
// one script can claim the key and create the record.
func DrawID(now time.Time, idempotencyKey string) job.ID {
	if idempotencyKey == "" {
		return job.NewID(now)
	}
	sum := sha256.Sum256([]byte(idempotencyKey))
	return job.NewIDIn(now, int(sum[15]&(job.Shards-1))) // the last digit of claimHash
}

func claimHash(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	var text [32]byte
	hex.Encode(text[:], sum[:16])
	return string(text[:])
}

// Create makes the record of a job, or finds the one that the idempotency key
// or the chosen id already names. It may be repeated with the same NewJob. A job
// whose input never came whole gives its key and id free. With UploadFrom an
// upload under way becomes this one: Created.ID is then its job's.
func (s *Store) Create(ctx context.Context, n NewJob) (Created, error) {
	args, err := s.createArgs(n)
	if err != nil {
		return Created{}, err
	}
	reply, err := s.creates.Do(ctx, s.key(n.ID), args...)
	if err != nil {
		return Created{}, err
	}
	return s.created(n, reply)
}

// Find returns the job that the idempotency key or the chosen id of a new one
// already names. Errors: job.ErrNotFound, ErrMismatch.
func (s *Store) Find(ctx context.Context, n NewJob) (job.ID, error) {
	id := n.ID
	if n.IdempotencyKey != "" {
		prior, err := s.rdb.Get(ctx, s.bases[n.ID.Shard()]+"i:"+claimHash(n.IdempotencyKey)).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return "", err
		}
		id = job.ID(prior)
	}
	if id == "" {
		return "", job.ErrNotFound
	}
	switch digest, err := s.rdb.HGet(ctx, s.key(id), "ih").Result(); {
	case errors.Is(err, redis.Nil):
		return "", job.ErrNotFound
	case err != nil:
		return "", err
	case digest != n.Digest:
		return "", ErrMismatch
	}
	return id, nil
}

// CreateMany is Create for many jobs; results and errors are in their order.
func (s *Store) CreateMany(ctx context.Context, jobs []NewJob) ([]Created, []error) {
	calls, results, errs := make([]*batch.Call, len(jobs)), make([]Created, len(jobs)), make([]error, len(jobs))
	all := make([]batch.Call, len(jobs))
	for i, n := range jobs {
		args, err := s.createArgs(n)
		if err != nil {
			errs[i] = err
			continue
		}
		all[i].Key, all[i].Args = s.key(n.ID), args
		calls[i] = &all[i]
	}
	live := make([]*batch.Call, 0, len(calls))
	for _, c := range calls {
		if c != nil {
			live = append(live, c)
		}
	}
	_ = batch.RunAll(ctx, s.rdb, s.scripts.create, bulkSize, live) // each call has its own error
	for i, c := range calls {
		if c == nil {
			continue
		}
		if errs[i] = c.Err; c.Err == nil {
			results[i], errs[i] = s.created(jobs[i], c.Reply)
		}
	}
	return results, errs
}

func (s *Store) createArgs(n NewJob) ([]any, error) {
	spec, err := n.Spec.encode()
	if err != nil {
		return nil, err
	}
	head := versionText + " " + queueName(n.Lane, n.Priority) + " " + strconv.Itoa(n.MaxAttempts) + " " +
		ms(n.Timeout) + " " + ms(n.Retention) + " 0 " + flag(n.CallbackURL != "") + " " + n.Type
	return []any{head, spec, s.createRest(n)}, nil
}

// state is the one that the job begins with.
func (n NewJob) state() job.State {
	switch {
	case n.UploadFence != "":
		return job.Uploading
	case !n.RunAt.IsZero():
		return job.Scheduled
	default:
		return job.Queued
	}
}

// createRest is what only some jobs have: a line each, as script create reads it.
func (s *Store) createRest(n NewJob) string {
	state, digest := n.state(), n.Digest
	if n.IdempotencyKey == "" && n.Claim == 0 {
		digest = "" // the id was drawn for this request: no other can have it
	}
	if state == job.Queued && n.Claim == 0 && n.ExpiresIn == 0 && n.RetryOf == "" && n.CallbackURL == "" {
		if n.IdempotencyKey == "" {
			return ""
		}
		if digest != "" { // the record would have no field for an empty one
			return "=" + claimHash(n.IdempotencyKey) + digest
		}
	}
	return string(state) + "\n" + unixMS(n.RunAt) + "\n" + ms(n.ExpiresIn) + "\n" + string(n.RetryOf) + "\n" +
		claimHash(n.IdempotencyKey) + "\n" + digest + "\n" + ms(n.Claim) + "\n" + n.UploadFence + "\n" + ms(s.lease) + "\n" +
		n.CallbackURL + "\n" + ms(n.UploadExpiry) + "\n" + n.UploadFrom
}

func (s *Store) created(n NewJob, reply []any) (Created, error) {
	if err := status(n.ID, reply); err != nil {
		return Created{}, err
	}
	c := Created{ID: n.ID}
	switch text(reply[0]) {
	case "taken":
		c.ID, c.New = job.ID(text(reply[1])), true
	case "created":
		c.New = true
		c.Ticket = job.Ticket{ID: n.ID, Delivery: integer(reply[1]), Type: n.Type, Lane: n.Lane, Priority: n.Priority}
		if len(reply) > 2 {
			c.at = integer(reply[2])
		}
		c.Sent = s.scripts.take != nil && c.Ticket.Delivery > 0
	default:
		c.ID = job.ID(text(reply[1]))
		if len(reply) > 3 {
			c.Upload, c.Pieces = text(reply[2]), integer(reply[3]) == 1
		}
	}
	return c, nil
}

// Uploaded says that the input of an uploading job is whole. Its progress is
// then that of a whole upload. The ticket is to be enqueued unless its delivery is 0. ErrLost means that the upload was
// given up meanwhile: its blob is to be deleted.
func (s *Store) Uploaded(ctx context.Context, id job.ID, fence string, spec Spec) (job.Ticket, error) {
	body, err := json.Marshal(spec)
	if err != nil {
		return job.Ticket{}, err
	}
	whole := 1.0
	progress, err := encodeProgress(&job.Progress{Phase: job.PhaseUpload, BytesDone: spec.Input.Size, BytesTotal: spec.Input.Size,
		Fraction: &whole, Reached: job.UploadShare})
	if err != nil {
		return job.Ticket{}, err
	}
	c := &batch.Call{Key: s.key(id), Args: []any{fence, string(body), progress}}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.uploaded, 1, []*batch.Call{c}); err != nil {
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

// queueName is the stored form of a lane and a priority: "io-high".
func queueName(l job.Lane, p job.Priority) string { return string(l) + "-" + string(p) }

func splitQueue(q string) (job.Lane, job.Priority) {
	lane, priority, _ := strings.Cut(q, "-")
	return job.Lane(lane), job.Priority(priority)
}
