// Package janitor is what each process of an installation does for all of them: mend
// records and leases, delete the files of removed jobs, look after uploads in pieces,
// find orphans, tell of jobs that nobody serves and of a Redis that lost its data.
// Any number of processes may do it at once; none of them is the leader.
package janitor

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/blob"
	"longshore/internal/functions/registry"
	"longshore/internal/jobstore"
	"longshore/internal/queue"
	"longshore/internal/submit"
	"longshore/job"
)

// Blobs is a blob store that outlives the process, and knows which one it is.
type Blobs interface {
	blob.Store
	ID() string
	SweepTemp(ctx context.Context, before time.Time) (int, error)
}

// Config of a Janitor. All of it is needed.
type Config struct {
	Redis     redis.UniversalClient
	Prefix    string // of keys
	Store     *jobstore.Store
	Tickets   *queue.Queue
	Blobs     Blobs
	Functions *registry.Store   // of those that are deployed, whose blobs lie among the others
	Submitter *submit.Submitter // that nobody comes in by: it mends uploads in pieces
	// Profiles are the folders of blobs that profiles of memory have.
	Profiles func(context.Context) (map[string]bool, error)
	// Mend makes pauses what they should be.
	Mend func(context.Context) error
	// Forgets says that this Redis loses its data by design: that is no loss.
	Forgets bool
	Log     *slog.Logger
}

// A Janitor looks after an installation.
type Janitor struct {
	redis     redis.UniversalClient
	prefix    string
	store     *jobstore.Store
	tickets   *queue.Queue
	blobs     Blobs
	functions *registry.Store
	submitter *submit.Submitter
	mend      func(context.Context) error
	profiles  func(context.Context) (map[string]bool, error)
	log       *slog.Logger
	forgets   bool

	vouching sync.Mutex   // guards owed, and Store.Vouch
	owed     bool         // what is kept is to be written, which failed
	unread   atomic.Int64 // when the blob could not be read last, in Unix ns

	gone   chan job.ID // whose blobs are to be deleted
	inputs chan job.ID // of which the input is to be deleted
	looks  chan job.ID // uploads to be looked after
}

// New returns a Janitor that does nothing yet.
func New(c Config) *Janitor {
	j := &Janitor{redis: c.Redis, prefix: c.Prefix, store: c.Store, tickets: c.Tickets, blobs: c.Blobs,
		functions: c.Functions, mend: c.Mend, profiles: c.Profiles, submitter: c.Submitter, log: c.Log,
		forgets: c.Forgets,
		gone:    make(chan job.ID, maxGone),
		inputs:  make(chan job.ID, maxGone),
		looks:   make(chan job.ID, maxLooks)}
	if !c.Forgets && c.Store != nil {
		c.Store.Kept(j.kept)
	}
	return j
}

// Run does what every process does, until ctx ends. One that keeps leases runs the
// Sweeper and SweepOrphans too.
func (j *Janitor) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{j.watchData, j.deleteGone, j.deleteInputs,
		j.lookAfterUploads, j.mind} {
		wg.Go(func() { _ = run(ctx) }) // they end with ctx, and say what fails meanwhile
	}
	wg.Wait()
	return nil
}

// Sweeper returns what mends records and leases. What it finds to do for blobs Run does.
func (j *Janitor) Sweeper() *jobstore.Sweeper {
	return &jobstore.Sweeper{Store: j.store, Log: j.log, Gone: j.forget, Input: j.eraseSoon,
		Upload: j.lookAfter}
}
