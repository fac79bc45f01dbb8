// Package connect turns settings into a connected installation: Redis,
// records, queue and blobs. It is where programs and the worker meet the
// concrete technologies.
package connect

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/installation"
	"longshore/internal/access"
	accessstore "longshore/internal/access/store"
	"longshore/internal/alerts"
	"longshore/internal/blob"
	"longshore/internal/claims"
	"longshore/internal/functions/registry"
	"longshore/internal/janitor"
	"longshore/internal/jobstore"
	"longshore/internal/limits"
	"longshore/internal/loop"
	"longshore/internal/operate"
	"longshore/internal/overview"
	"longshore/internal/queue"
	"longshore/internal/redisdb"
	"longshore/internal/sealing"
	"longshore/internal/submit"
	"longshore/internal/tracing"
	"longshore/internal/version"
	"longshore/internal/webhook"
	"longshore/job"
	"longshore/tasks"
)

// Config says where an installation is.
type Config = installation.Config

// ErrSettings marks an error that other settings would mend, not time.
var ErrSettings = installation.ErrSettings

// A System is one connected installation.
type System struct {
	Redis redis.UniversalClient
	Store *jobstore.Store
	Queue *queue.Queue
	Blobs blob.Store
	Log   *slog.Logger
	// Access keeps who may come in.
	Access *accessstore.Store
	// Functions knows which functions are deployed.
	Functions *registry.Store
	// Callbacks sends signed callbacks; nil where no secret is set.
	Callbacks *webhook.Sender
	// Traces makes spans of jobs whose callers trace; nil makes none.
	Traces *tracing.Tracer
	// Alerts tells what is wrong; whoever looks after the installation runs it.
	Alerts *alerts.Desk
	// Prefix of all keys and channels.
	Prefix string
	// MinFreeSpace is the config's.
	MinFreeSpace int64
	// Sealer seals and opens secret values of payloads; nil: ACCESS_SECRET isn't set.
	Sealer *sealing.Sealer

	// Janitor looks after the installation; Background runs it.
	Janitor *janitor.Janitor

	// Limits bound what may wait. Its Run keeps them up to date.
	Limits *limits.Room

	// ClaimTypes are the types that programs claim over HTTP.
	ClaimTypes *claims.Types

	// Desk is where operators work; whoever can make retries sets its Retry.
	Desk *operate.Desk

	blobs place           // the same as Blobs
	plain *webhook.Sender // of alerts that aren't signed; nil = there is nobody to tell

	memory *redisdb.Memory
	jobs   census
}

// Open connects and checks that this Redis and this folder may be used.
func Open(ctx context.Context, c Config) (*System, error) { return open(ctx, c, nil) }

// A looker looks at an installation before anything is written of it; place is the id of where its blobs are.
type looker = func(ctx context.Context, sys *System, place string) error

// OpenVacant is Open for who puts a backup into an empty installation. look is called before anything is
// written of it: with records, access data, functions, limits and queues that can be read, and the id of
// the place where the blobs are.
func OpenVacant(ctx context.Context, c Config, look looker) (*System, error) {
	return open(ctx, c, look)
}

func open(ctx context.Context, c Config, look looker) (*System, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	rdb, err := redisdb.Open(redisdb.Config{URL: c.RedisURL, TLSInsecure: c.RedisTLSInsecure,
		Replicated: c.RedisReplicated, MaxConnections: c.MaxConnections})
	if err != nil {
		return nil, fmt.Errorf("%w: REDIS_URL: %w", ErrSettings, err)
	}
	sys := &System{Redis: rdb, Log: c.Log, Prefix: cmp.Or(c.Prefix, "longshore"),
		MinFreeSpace: c.MinFreeSpace, memory: redisdb.NewMemory(rdb), jobs: census{max: int64(c.MaxJobs)}}
	err = sys.open(ctx, c, look)
	if err != nil {
		return nil, errors.Join(err, sys.Close())
	}
	return sys, nil
}

func (s *System) open(ctx context.Context, c Config, look looker) error {
	warnings, err := redisdb.Check(ctx, s.Redis)
	for _, w := range warnings {
		s.Log.WarnContext(ctx, "redis is not set up as it should be", "problem", w)
	}
	if err != nil {
		if redisdb.Unavailable(err) {
			return barred(fmt.Errorf("connect to redis at %s: %w", redisdb.Address(c.RedisURL), err))
		}
		return fmt.Errorf("%w: redis at %s: %w", ErrSettings, redisdb.Address(c.RedisURL), err)
	}
	if s.Traces, err = tracing.Open(ctx, tracing.Config{URL: c.TracesURL, Service: "longshore-" + cmp.Or(c.Program, "direct"),
		Version: version.Build(), Rate: c.TraceRate, Log: c.Log}); err != nil {
		return fmt.Errorf("%w: OTEL_EXPORTER_OTLP_ENDPOINT: %w", ErrSettings, err)
	}
	s.Store = jobstore.New(s.Redis, jobstore.Config{Prefix: c.Prefix, Lease: c.Lease})
	if s.Queue, err = queue.New(s.Redis, queue.Config{Prefix: c.Prefix, Partitions: s.Store.Parts(),
		Log: c.Log}); err != nil {
		return fmt.Errorf("%w: PREFIX: %w", ErrSettings, err)
	}
	s.Store.OnForeign((&foreignLog{log: c.Log}).say)
	s.Access, s.Functions = accessstore.New(s.Redis, s.Prefix), registry.New(s.Redis, s.Prefix)
	s.ClaimTypes = &claims.Types{Redis: s.Redis, Prefix: s.Prefix, Channel: s.Functions.Channel(),
		Served: s.servedBy}
	s.Limits = limits.New(limits.Config{Redis: s.Redis, Prefix: s.Prefix, Store: s.Store, Queue: s.Queue,
		Log: c.Log, Note: s.Access.Note})
	if look != nil {
		if err := s.look(ctx, c, look); err != nil {
			return barred(err)
		}
	}
	if err := barred(s.openRecords(ctx)); err != nil {
		return err
	}
	_ = s.lookForRoom(ctx) // who may not look at the memory was warned just now
	if s.Sealer, err = sealing.New("longshore secrets of payloads, 1", c.AccessSecrets...); err != nil {
		return err
	}
	if len(c.CallbackSecrets)+len(c.CallbackKeys) > 0 {
		s.Callbacks, err = webhook.NewSender(webhook.Config{Secrets: c.CallbackSecrets, Keys: c.CallbackKeys,
			Allow: c.CallbackAllow, Ports: c.CallbackPorts})
		if err != nil {
			return fmt.Errorf("%w: callbacks: %w", ErrSettings, err)
		}
	}
	if err := barred(s.openBlobs(ctx, c)); err != nil {
		return err
	}
	s.Desk = operate.New(&operate.Desk{Redis: s.Redis, Prefix: s.Prefix, Store: s.Store, Queue: s.Queue,
		Blobs: s.Blobs, Log: c.Log})
	s.Queue.OnLost(func(ctx context.Context, w queue.WorkerInfo) { s.Desk.NoteGone(ctx, w, "lost") })
	if err := s.openAlerts(c); err != nil {
		return err
	}
	s.Janitor = janitor.New(janitor.Config{Mend: s.Desk.Mend, Profiles: s.Desk.ProfileFolders,
		Redis: s.Redis, Prefix: s.Prefix, Store: s.Store,
		Tickets: s.Queue, Blobs: s.blobs, Functions: s.Functions, Submitter: s.mender(), Log: s.Log,
		Forgets: c.RedisForgets})
	return nil
}

// openRecords makes sure that this release may use the records and the queues that there are.
func (s *System) openRecords(ctx context.Context) error {
	err := s.Store.Open(ctx)
	for _, never := range []error{jobstore.ErrFormat2, jobstore.ErrNewerFormat, jobstore.ErrPartitions} {
		if errors.Is(err, never) {
			return fmt.Errorf("%w: PREFIX %s: %w", ErrSettings, s.Prefix, err)
		}
	}
	if err != nil {
		return err
	}
	known := queue.Knows()
	if probed, err := s.Store.Probed(ctx, known); err != nil || probed {
		return err
	}
	if err := s.Queue.Probe(ctx); err != nil {
		switch {
		case errors.Is(err, queue.ErrOtherAsynq):
			return fmt.Errorf("%w: %w", ErrSettings, err)
		case redisdb.Reason(err) == redisdb.ReasonOutOfMemory:
			return nil // what is there must be worked off: the next start probes
		}
		return err
	}
	return s.Store.NoteProbe(ctx, known)
}

// barred marks an error that means that Redis doesn't let us in, or not do our
// work: time does not mend that.
func barred(err error) error {
	switch redisdb.Reason(err) {
	case redisdb.ReasonNoAuth:
		return fmt.Errorf(
			"%w: REDIS_URL: its user or password is wrong or missing (special characters must be percent-encoded): %w", ErrSettings, err)
	case redisdb.ReasonNoPermission:
		return fmt.Errorf("%w: REDIS_URL: its user may not do what is needed (as an ACL: ~* &* +@all): %w",
			ErrSettings, err)
	}
	return err
}

// Close lets go of everything. Nothing of the system may be in use.
func (s *System) Close() error {
	var err error
	s.Traces.Close()
	if s.blobs != nil {
		err = s.blobs.Close()
	}
	if s.Callbacks != nil {
		s.Callbacks.CloseIdleConnections()
	}
	if s.plain != nil {
		s.plain.CloseIdleConnections()
	}
	return errors.Join(err, s.Redis.Close())
}

// Overview reads the queues and the workers.
func (s *System) Overview(ctx context.Context) (overview.Overview, error) {
	o, err := overview.Look(ctx, s.Queue, s.Store)
	if err == nil {
		o.Paused, err = s.Desk.Paused(ctx)
	}
	return o, err
}

// Watch returns an overview that is kept.
func (s *System) Watch(ctx context.Context) *overview.Watch {
	return overview.NewWatch(ctx, s.Queue, s.Desk.Paused, s.Log)
}

// mender is a submitter that nobody comes in by: it mends uploads in pieces.
func (s *System) mender() *submit.Submitter {
	return submit.NewSubmitter(submit.Config{Store: s.Store, Blobs: s.Blobs, Log: s.Log,
		Traces: s.Traces})
}

// Cancel asks for a job's end. What is there of an upload that ends by it goes.
func (s *System) Cancel(ctx context.Context, by access.View, id job.ID) (job.Snapshot, error) {
	return s.CancelBy(ctx, by, id, "")
}

// CancelBy is Cancel, and notes who asked; "" = nobody says.
func (s *System) CancelBy(ctx context.Context, by access.View, id job.ID, who string) (job.Snapshot, error) {
	snap, err := s.Store.Views().CancelBy(ctx, by, id, who)
	if err == nil && snap.State == job.Canceled && snap.StartedAt == nil {
		// the job is canceled, whatever the blob store says
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := s.mender().DropPartial(ctx, id); err != nil {
			s.Log.WarnContext(ctx, "partial blob stays until orphans are swept", "job_id", id, "error", err)
		}
	}
	return snap, err
}

// Release lets a held job go; who is who does, "" = nobody says.
func (s *System) Release(ctx context.Context, by access.View, id job.ID, who string) (job.Snapshot, error) {
	return s.Store.Views().Release(ctx, by, id, who)
}

// CloseBatch lets no more jobs into a batch.
func (s *System) CloseBatch(ctx context.Context, by access.View, id job.ID,
	who string) (job.Snapshot, error) {
	return s.Store.Views().CloseBatch(ctx, by, id, who)
}

// BatchJobs reads some of the jobs of a batch.
func (s *System) BatchJobs(ctx context.Context, by access.View, id job.ID, cursor string,
	most int) ([]job.Reading,
	string, error) {
	return s.Store.Views().BatchJobs(ctx, by, id, cursor, most)
}

// Delete forgets an ended job and deletes its blobs.
func (s *System) Delete(ctx context.Context, by access.View, id job.ID) error {
	if err := s.Store.Views().Remove(ctx, by, id); err != nil {
		return err
	}
	return s.DeleteFiles(ctx, id)
}

// DeleteFiles deletes the blobs of a job that is gone.
func (s *System) DeleteFiles(ctx context.Context, id job.ID) error {
	return s.Blobs.Delete(ctx, jobstore.Folder(id))
}

// Submitter returns the way in. Its keeper's Run must be running while jobs with
// inputs are taken in.
func (s *System) Submitter(keeper *jobstore.Keeper, catalog *tasks.Catalog, retention time.Duration,
	maxInput int64) *submit.Submitter {
	return submit.NewSubmitter(submit.Config{Store: s.Store, Blobs: s.Blobs, Catalog: catalog,
		Keeper: keeper, Log: s.Log, Retention: retention, MaxInput: maxInput, Full: s.full,
		Callbacks: s.Callbacks != nil, Sealer: s.Sealer, Limits: s.Limits, Traces: s.Traces})
}

// PublishTypes tells the other programs which types the workers here run.
func (s *System) PublishTypes(ctx context.Context, infos []tasks.Info) error {
	definitions := map[string][]byte{}
	for _, info := range infos {
		body, err := json.Marshal(info)
		if err != nil {
			return fmt.Errorf("publish type %s: %w", info.Type, err)
		}
		definitions[info.Type] = body
	}
	return s.Store.PublishTypes(ctx, definitions)
}

// LoadTypes makes a catalog have the types that workers published, and those that are
// deployed: what a worker has goes before. One that can't be used is reported in the error,
// once, and hides no other.
func (s *System) LoadTypes(ctx context.Context, catalog *tasks.Catalog) error {
	published, err := s.Store.Types(ctx, tasks.MaxDefinition)
	if err != nil {
		return err
	}
	if published == nil {
		published = map[string]string{}
	}
	deployed, err := s.Functions.Current(ctx)
	if err != nil {
		return err
	}
	infos := map[string][]byte{}
	for typ, f := range deployed {
		if infos[typ], err = json.Marshal(f.Info); err != nil {
			return fmt.Errorf("definition of %s: %w", typ, err)
		}
	}
	claimed, err := s.ClaimTypes.All(ctx)
	if err != nil {
		return err
	}
	for typ, info := range claimed {
		infos[typ] = []byte(info)
	}
	if err := s.addDeployed(ctx, published, infos); err != nil {
		return err
	}
	return catalog.Publish(published)
}

// servedBy says who serves a type, but for those who claim jobs; "" = nobody.
func (s *System) servedBy(ctx context.Context, typ string) (string, error) {
	published, err := s.Store.Types(ctx, tasks.MaxDefinition)
	if err != nil {
		return "", err
	}
	if _, there := published[typ]; there {
		held, err := s.Store.HeldTypes(ctx, []string{typ})
		if err != nil || held[typ] {
			return "a worker", err
		}
	}
	deployed, err := s.Functions.Current(ctx)
	if _, there := deployed[typ]; there {
		return "a deployed function", err
	}
	return "", err
}

// addDeployed puts the definitions of deployed functions, and of what is claimed, beside those that workers
// published. They take what room these leave, and the place of those that no worker publishes any more: of
// a folder that is gone.
func (s *System) addDeployed(ctx context.Context, published map[string]string,
	deployed map[string][]byte) error {
	var both []string
	for typ := range deployed {
		if _, there := published[typ]; there {
			both = append(both, typ)
		}
	}
	held, err := s.Store.HeldTypes(ctx, both)
	if err != nil {
		return err
	}
	for _, typ := range slices.Sorted(maps.Keys(deployed)) {
		if _, there := published[typ]; there && held[typ] || !there && len(published) >= tasks.MaxPublished {
			continue
		}
		published[typ] = string(deployed[typ])
	}
	return nil
}

// RefreshTypes keeps a catalog up to date until ctx ends.
func (s *System) RefreshTypes(ctx context.Context, catalog *tasks.Catalog) error {
	return loop.Background(ctx, s.Log, 5*time.Second, "load published types",
		func(ctx context.Context) error {
			return s.LoadTypes(ctx, catalog)
		})
}

// Background runs what a process does beside its work, and the janitor, and returns
// when all of it has ended. Such work ends by ctx alone; an earlier end is logged.
func (s *System) Background(ctx context.Context, runs ...func(context.Context) error) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, run := range append(runs, s.Janitor.Run) {
		wg.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				s.Log.ErrorContext(ctx, "background work has ended", "error", err)
			}
		})
	}
}
