package jobstore

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/batch"
	"longshore/job"
)

// Config of a Store.
type Config struct {
	Prefix string        // of all keys and channels; "" = "longshore"
	Lease  time.Duration // of a run or an upload; 0 = 8 s, at least 3 s

	// clockKey names a key that holds the time in milliseconds: simulations turn it.
	clockKey string

	// Tickets is ignored on a Cluster, where queues and records lie apart.
	Tickets TicketLua
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
	scripts scripts

	bases                     [job.Shards]string // "P:{k}:"
	creates, starts, finishes *batch.Batcher
	reads                     *batch.Batcher // of lone jobs, by many callers
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
	if c.clockKey != "" {
		now = fmt.Sprintf("return tonumber(redis.call('GET', '%s'))", c.clockKey)
	}
	s := &Store{rdb: rdb, prefix: c.Prefix, lease: c.Lease}
	if batch.Cluster(rdb) {
		c.Tickets = TicketLua{}
	}
	s.load(words{prefix: c.Prefix, now: now, tickets: c.Tickets})
	for k := range s.bases {
		s.bases[k] = c.Prefix + ":{" + strconv.Itoa(k) + "}:"
	}
	return s
}

// load makes the scripts, and lets the moves and reads of many callers share
// their calls: when thousands wait, their reads come together too.
func (s *Store) load(w words) {
	s.scripts = loadScripts(w)
	s.creates = batch.New(s.rdb, s.scripts.create, groupSize)
	s.starts = batch.New(s.rdb, s.scripts.start, groupSize)
	s.finishes = batch.New(s.rdb, s.scripts.finish, groupSize)
	s.reads = batch.NewReader(s.rdb, readRecords, groupSize)
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
	for _, answer := range []error{ErrStale, ErrLost, ErrSuspect, ErrUnserved, job.ErrNotFound, job.ErrDamaged} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// fenceSize is the length of a fence: 96 random bits, which only need to
// differ among the starts of one job.
const fenceSize = 16

// NewFence draws the token of one run or upload.
func NewFence() string { return newFences(1) }

// newFences draws many, one behind the other.
func newFences(n int) string {
	b := make([]byte, n*fenceSize/4*3)
	rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (s *Store) key(id job.ID) string { return s.bases[id.Shard()] + "j:" + string(id) }

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
	case "claimed":
		return ErrClaimed
	case "open":
		return job.ErrNotEnded
	case "used":
		return job.ErrInUse
	case "damaged", "future":
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
	t := job.Ticket{ID: job.ID(text(f[0])), Delivery: integer(f[1]), Type: text(f[3])}
	t.Lane, t.Priority = splitQueue(text(f[2]))
	return t, true
}
