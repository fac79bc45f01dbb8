package jobstore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/batch"
	"longshore/job"
)

// Config of a Store.
type Config struct {
	Prefix string        // of all keys and channels; "" = "longshore"
	Lease  time.Duration // of a run or an upload; 0 = 8 s, at least 3 s

	// Partitions of the records, 1 to 16; 0 = 16 on a Cluster, else 1. It can't change for an
	// installation: see Meta.
	Partitions int

	// Turned takes the time, in milliseconds, from a key of each partition, P:{k}:clock: tests turn it. Edit
	// changes the scripts: they leave rules out.
	Turned bool
	Edit   func(script string) string
}

// Limits of a call: how many jobs it moves at most, and how long the sweeper's
// and the keeper's may take.
const (
	groupSize   = 64
	bulkSize    = 200
	callTimeout = 5 * time.Second
)

// A Store keeps the records. It is safe for concurrent use.
type Store struct {
	rdb     redis.UniversalClient
	prefix  string
	lease   time.Duration
	turned  bool
	scripts scripts

	bases                     []string // "P:{k}:", of each partition
	worker                    string   // number of this process, 4 bytes, with which its fences begin
	heads                     heads
	enrolled                  enrolled // queues
	creates, starts, finishes *batch.Batcher
	reads                     *batch.Batcher // of lone jobs, by many callers

	kept  func(context.Context) (Life, error) // see Kept
	known atomic.Pointer[Life]                // what the last Vouch without a loss has found

	foreign func(context.Context, int64) // see OnForeign

	restoring string // the backup that this process puts here, see BeginRestore

	// when this process published types first, in ms by Redis's clock; 0 = not yet
	publishes atomic.Int64
}

// New returns a store on a client, which stays the caller's to close.
func New(rdb redis.UniversalClient, c Config) *Store {
	if c.Prefix == "" {
		c.Prefix = "longshore"
	}
	if c.Lease == 0 {
		c.Lease = 8 * time.Second
	}
	now := redisTime
	if c.Turned {
		now = turnedTime
	}
	if c.Partitions == 0 {
		c.Partitions = 1
		if batch.Cluster(rdb) {
			c.Partitions = job.Shards
		}
	}
	s := &Store{rdb: rdb, prefix: c.Prefix, turned: c.Turned, lease: c.Lease,
		worker: drawWorker()}
	for k := range c.Partitions {
		s.bases = append(s.bases, c.Prefix+":{"+strconv.Itoa(k)+"}:")
	}
	s.load(words{prefix: c.Prefix, now: now, parts: c.Partitions, edit: c.Edit})
	return s
}

// load makes the scripts, and lets the moves and reads of many callers share
// their calls: when thousands wait, their reads come together too.
func (s *Store) load(w words) {
	s.scripts = loadScripts(w)
	s.creates = batch.NewMover(s.rdb, s.createCalls, groupSize)
	s.starts = batch.New(s.rdb, s.scripts.start, groupSize)
	s.finishes = batch.NewMover(s.rdb, s.finishCalls, groupSize)
	s.reads = batch.NewReader(s.rdb, s.readCalls, groupSize)
}

// Errors of moving a job.
var (
	// ErrStale says that a ticket is void: the job is gone, ended, running or
	// queued under another delivery. Nothing was changed.
	ErrStale = errors.New("ticket is stale")
	// ErrLost says that the fence is no longer the job's: what the run did doesn't count.
	ErrLost = errors.New("run has lost its job")
	// ErrSuspect says that the job has cost workers before and needs room among the suspects.
	ErrSuspect = errors.New("job is a suspect")
	// ErrUnserved says that the caller doesn't serve the job's type.
	ErrUnserved = errors.New("type is not served here")
	// ErrMismatch says that the idempotency key or the id belongs to another request.
	ErrMismatch = errors.New("another request has this key")
	// ErrClaimed says that the chosen id was used within its hour by a job that is gone.
	ErrClaimed = errors.New("id was used before")
)

// Answered reports whether an error is the store's own answer, so that asking
// again would bring the same.
func Answered(err error) bool {
	for _, answer := range []error{ErrStale, ErrLost, ErrSuspect, ErrUnserved, job.ErrNotFound,
		job.ErrDamaged} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// fenceSize is the length of a fence: 96 random bits, which only need to
// differ among the starts of one job. Programs write it in base64, records as it is.
const fenceSize = 12

const noFence = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// NewFence draws the token of one run or upload.
func NewFence() string { return writeFence(newFences(1)) }

// newFences draws many as records have them, one behind the other.
func newFences(n int) string {
	b := make([]byte, n*fenceSize)
	rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return string(b)
}

func writeFence(raw string) string {
	if raw == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(raw))
}

// readFence is a fence as records have it; of what is none, one that nobody has.
func readFence(fence string) string {
	raw, err := base64.RawURLEncoding.DecodeString(fence)
	if err != nil || len(raw) != fenceSize {
		return "no fence ...."[:fenceSize]
	}
	return string(raw)
}

// part is the partition that holds the records of an id.
func (s *Store) part(id job.ID) int { return id.Shard() % len(s.bases) }

func (s *Store) base(id job.ID) string { return s.bases[s.part(id)] }

func (s *Store) key(id job.ID) string { return s.base(id) + "j:" + id.Raw() }

// Parts is the number of partitions.
func (s *Store) Parts() int { return len(s.bases) }

// call is one job's part of a script call, whose first text is its id.
func (s *Store) call(id job.ID, args ...any) *batch.Call {
	return &batch.Call{Key: s.base(id), Args: append([]any{id.Raw()}, args...)}
}

// status turns the first word of a reply into an error; nil for "ok".
func status(id job.ID, reply []any) error {
	word, _ := reply[0].(string)
	switch word {
	case "ok", "created", "taken", "exists", "raised", "cancel":
		return nil
	case "gone":
		return job.ErrNotFound
	case "stale":
		return ErrStale
	case "none":
		return job.ErrNoCallback
	case "lost":
		return ErrLost
	case "suspect":
		return ErrSuspect
	case "unserved":
		return ErrUnserved
	case "mismatch":
		return ErrMismatch
	case "fixed":
		return ErrFixed
	case "nobatch":
		return ErrNoBatch
	case "sealed":
		return ErrBatchClosed
	case "claimed":
		return ErrClaimed
	case "duplicate":
		return &DuplicateError{ID: job.FromRaw(text(reply[1]))}
	case "open":
		return job.ErrNotEnded
	case "used":
		return job.ErrInUse
	case "erased":
		return job.ErrInputGone
	case "moved":
		return ErrMoved
	case "retried":
		return &RetriedError{As: job.ID(text(reply[1])), By: text(reply[2])}
	case "damaged", "future", "refused":
		return fmt.Errorf("%s: %w", id, job.ErrDamaged)
	default:
		return fmt.Errorf("move of %s: script says %q", id, word)
	}
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func integer(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case string:
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	}
	return 0
}

func ms(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func unixMS(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// ticketOf reads { id, delivery, queue, type }.
func ticketOf(v any) (job.Ticket, bool) {
	f, _ := v.([]any)
	if len(f) != 4 {
		return job.Ticket{}, false
	}
	t := job.Ticket{ID: job.FromRaw(text(f[0])), Delivery: integer(f[1]), Type: text(f[3])}
	at := job.ParsePlace(text(f[2]))
	t.Lane, t.Priority, t.Queue = at.Lane, at.Priority, at.Queue
	return t, true
}

// texts are those of a list in a reply.
func texts(list []any) []string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = text(v)
	}
	return all
}
