package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	"longshore/config"
	"longshore/handlers"
	"longshore/internal/connect"
	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/imaging"
	"longshore/internal/jobstore"
	"longshore/internal/lock"
	"longshore/internal/overview"
	"longshore/internal/queue"
	"longshore/internal/sandbox"
	"longshore/internal/tus"
	"longshore/internal/web"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

// Listen opens the port. Without a token only this machine may connect.
func Listen(h config.HTTP, log *slog.Logger) (net.Listener, error) {
	host := ""
	if h.Token.Reveal() == "" {
		host = "127.0.0.1"
		log.Warn("LONGSHORE_TOKEN is not set: only this machine may connect, and not through a proxy")
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(h.Port)))
	if err != nil {
		return nil, fmt.Errorf("%w: PORT: %w", connect.ErrSettings, err)
	}
	return l, nil
}

// Web serves HTTP on a listener, on an installation, until ctx ends.
func Web(ctx context.Context, sys *connect.System, h config.HTTP, j config.Jobs, s config.Stop, l net.Listener) error {
	builtIn, err := tasks.BuiltIn()
	if err != nil {
		return err
	}
	catalog, err := tasks.NewCatalog(builtIn...)
	if err != nil {
		return err
	}
	if err := sys.LoadTypes(ctx, catalog); err != nil {
		sys.Log.WarnContext(ctx, "published types", "error", err)
	}
	keeper := jobstore.NewKeeper(sys.Store, sys.Log)
	locks := lock.New(sys.Redis, sys.Prefix)
	waiters := hub.New(listener{sys.Store, locks, keeper}, sys.Log)
	submitter := sys.Submitter(keeper, catalog, j.Retention, int64(h.MaxUpload))
	submitter.UploadExpiry = h.UploadExpiry
	submitter.MaxTimeout, submitter.MaxRetention, submitter.MaxAttempts = h.Ceilings.Timeout, h.Ceilings.Retention, h.Ceilings.Attempts
	submitter.MaxOpenUploads, submitter.MaxOpenUploadsPerAddress = h.MaxOpen, h.AddressOpen
	uploads, err := tus.New(tus.Config{Uploads: submitter, Lock: lockWith(locks), MaxSize: int64(h.MaxUpload)})
	if err != nil {
		return err
	}
	watch := sys.Watch(ctx)
	server, err := web.New(web.Config{Version: Version(), Token: h.Token.Reveal(), Origins: h.CORSOrigins,
		MaxWait: h.MaxWait, MaxWaiters: h.MaxWaiters, MaxWaitersPerAddress: h.AddressWaiters, MaxUpload: int64(h.MaxUpload),
		MaxConnections: h.MaxConns, MaxConnectionsPerAddress: h.AddressConns,
		MaxUploadsPerAddress: h.MaxPerAddress, MinUploadRate: int64(h.MinRate), MinFreeSpace: sys.MinFreeSpace,
		TrustedProxies: h.TrustedProxies, HSTS: h.HSTS, Grace: s.Grace, Log: sys.Log},
		web.Deps{Submitter: submitter, Uploads: uploads, Records: records{sys.Store, sys},
			Hub: waiters, Blobs: sys.Blobs, Catalog: catalog,
			Queues:     func(ctx context.Context) ([]httpapi.QueueInfo, error) { return queues(ctx, sys) },
			Workers:    func(ctx context.Context) ([]httpapi.WorkerInfo, error) { return workers(ctx, sys) },
			WaitingFor: watch.WaitingFor,
			Ready:      func(ctx context.Context) error { return sys.Redis.Ping(ctx).Err() }})
	if err != nil {
		return err
	}
	// The background outlives the server: requests that end during the grace
	// still need it.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		sys.Background(background, keeper.Run, waiters.Run, sys.Janitor.Sweeper().Run, sys.Janitor.SweepOrphans, sys.WatchRoom, watch.Run,
			func(ctx context.Context) error { return sys.RefreshTypes(ctx, catalog) })
	})
	sys.Log.InfoContext(ctx, "web listens", "address", "http://"+l.Addr().String())
	return server.Serve(ctx, l)
}

// listener has the process's one subscription carry wishes for locks too, and
// which uploads were canceled.
type listener struct {
	*jobstore.Store
	locks  *lock.Locks
	keeper *jobstore.Keeper
}

func (l listener) Listen(ctx context.Context, event func(job.Rev), reset func()) error {
	wanted, canceled := l.locks.Channel(), l.CancelChannel()
	return l.ListenToo(ctx, event, func() {
		reset()
		l.keeper.Bell("")
	}, []string{wanted, canceled}, func(channel, text string) {
		if channel == canceled {
			l.keeper.Bell(job.ID(text))
			return
		}
		l.locks.Asked(text)
	})
}

// lockWith gives tus its locks.
func lockWith(locks *lock.Locks) func(context.Context, job.ID, func()) (func() error, error) {
	return func(ctx context.Context, id job.ID, asked func()) (func() error, error) {
		held, err := locks.Lock(ctx, string(id), asked)
		if errors.Is(err, lock.ErrLocked) {
			return nil, fmt.Errorf("%w: %w", tus.ErrLocked, err)
		}
		if err != nil {
			return nil, err
		}
		return held.Unlock, nil
	}
}

// records gives web the records, and blobs that go with them.
type records struct {
	*jobstore.Store
	sys *connect.System
}

func (r records) Cancel(ctx context.Context, id job.ID) (job.Snapshot, error) {
	return r.sys.Cancel(ctx, id)
}

func (r records) Delete(ctx context.Context, id job.ID) error { return r.sys.Delete(ctx, id) }

func queues(ctx context.Context, sys *connect.System) ([]httpapi.QueueInfo, error) {
	o, err := sys.Overview(ctx)
	if err != nil {
		return nil, err
	}
	return Queues(o), nil
}

// Queues is how clients see the queues of an installation.
func Queues(o overview.Overview) []httpapi.QueueInfo {
	list := make([]httpapi.QueueInfo, len(o.Queues))
	for i, q := range o.Queues {
		list[i] = httpapi.QueueInfo{Queue: string(q.Lane) + "-" + string(q.Priority), Lane: q.Lane, Priority: q.Priority,
			Pending: q.Pending, Active: q.Active, LatencyMS: q.Latency.Milliseconds(), Paused: q.Paused}
		for _, p := range q.Parked {
			list[i].Parked = append(list[i].Parked, httpapi.ParkedInfo{Type: p.Type, Pending: p.Pending, Served: o.Served(p.Type, q.Lane)})
		}
	}
	return list
}

// Workers is how clients see worker processes.
func Workers(infos []queue.WorkerInfo) []httpapi.WorkerInfo {
	list := make([]httpapi.WorkerInfo, len(infos))
	for i, w := range infos {
		list[i] = httpapi.WorkerInfo{Host: w.Host, PID: w.PID, Slots: w.Slots, State: httpapi.WorkerTaking, Types: w.Types}
		if w.Draining {
			list[i].State = httpapi.WorkerDraining
		}
	}
	return list
}

// Worker connects and runs the built-in types until ctx ends. ready and
// quiet are as in worker.Config.
func Worker(ctx context.Context, where worker.Connection, w config.Work, s config.Stop, ready func(), quiet <-chan bool) error {
	if lacks := sandbox.Missing(); lacks != "" && imaging.FindVips() != nil {
		where.Log.WarnContext(ctx, "vipsthumbnail reads clients' images without a whole sandbox", "missing", lacks)
	}
	lanes := make([]job.Lane, len(w.Lanes))
	for i, l := range w.Lanes {
		lanes[i] = job.Lane(l)
	}
	leftBehind := w.LeftBehind
	if leftBehind == 0 {
		leftBehind = -1
	}
	return worker.Run(ctx, worker.Config{Connection: where, Lanes: lanes, CPUConcurrency: w.CPUConcurrency,
		StreamConcurrency: w.StreamConcurrency, ShutdownGrace: s.Grace, KillGrace: w.KillGrace,
		ChildMemory: int64(w.ChildMemory), MaxOutput: int64(w.MaxOutput), LeftBehind: leftBehind, Ready: ready, Quiet: quiet}, handlers.BuiltIn())
}

// Quiet returns what SIGTSTP (true) and SIGCONT (false) ask for, and a function
// that lets the signals mean again what they usually do.
func Quiet() (quiet <-chan bool, stop func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTSTP, syscall.SIGCONT)
	asked, end := make(chan bool), make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				select {
				case asked <- s == syscall.SIGTSTP:
				case <-end:
					return
				}
			case <-end:
				return
			}
		}
	}()
	return asked, func() {
		signal.Stop(signals)
		close(end)
	}
}

// Together runs functions until all have returned; the first to return ends the
// others' context.
func Together(ctx context.Context, runs ...func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make(chan error)
	for _, run := range runs {
		go func() { errs <- run(ctx) }()
	}
	var all error
	for range runs {
		all = errors.Join(all, <-errs)
		stop()
	}
	return all
}

// workers lists the worker processes that are alive.
func workers(ctx context.Context, sys *connect.System) ([]httpapi.WorkerInfo, error) {
	infos, err := sys.Queue.Workers(ctx)
	if err != nil {
		return nil, err
	}
	return Workers(infos), nil
}
