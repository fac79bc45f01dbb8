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
	"longshore/internal/access"
	"longshore/internal/access/gate"
	"longshore/internal/access/token"
	"longshore/internal/claims"
	"longshore/internal/connect"
	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/imaging"
	"longshore/internal/jobstore"
	"longshore/internal/limits"
	"longshore/internal/lock"
	"longshore/internal/metrics"
	"longshore/internal/overview"
	"longshore/internal/redisdb"
	"longshore/internal/sandbox"
	"longshore/internal/scaling"
	"longshore/internal/schedules"
	"longshore/internal/sdnotify"
	"longshore/internal/submit"
	"longshore/internal/tus"
	"longshore/internal/version"
	"longshore/internal/web"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

// Listen opens the port, or takes that which a supervisor has opened. Without a token
// only this machine may connect.
func Listen(h config.HTTP, s config.Sockets, log *slog.Logger) (net.Listener, error) {
	open := h.Closed()
	if !open {
		log.Warn("LONGSHORE_TOKEN is not set: only this machine may connect, and not through a proxy")
	}
	l, err := Inherited(s)
	if err != nil || l == nil {
		if err == nil {
			l, err = OpenPort(h.Port, open)
		}
		return l, err
	}
	if address, ok := l.Addr().(*net.TCPAddr); ok && !open && !address.IP.IsLoopback() {
		return nil, errors.Join(
			fmt.Errorf("%w: LONGSHORE_TOKEN is not set, and LISTEN_FDS is a socket that others can reach too",
				connect.ErrSettings), l.Close())
	}
	return l, nil
}

// Inherited is the socket that a supervisor has opened; nil: none.
func Inherited(s config.Sockets) (net.Listener, error) {
	l, err := sdnotify.Listener(s.FDs, s.PID)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", connect.ErrSettings, err)
	}
	return l, nil
}

// OpenPort opens a port; unless open is set only this machine may connect.
func OpenPort(port int, open bool) (net.Listener, error) {
	host := "127.0.0.1"
	if open {
		host = ""
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("%w: PORT: %w", connect.ErrSettings, err)
	}
	return l, nil
}

// Supervised tells a supervisor that this process starts, and then, until stop, that it
// lives. more may be nil; see sdnotify.Notifier.
func Supervised(s config.Supervisor,
	more func() (words []string, ok bool)) (above *sdnotify.Notifier, stop func()) {
	above = sdnotify.New(s.Notify, s.Patience())
	above.Say(sdnotify.Starting)
	ctx, end := context.WithCancel(context.Background())
	var beat sync.WaitGroup
	beat.Go(func() { above.Beat(ctx, more) })
	return above, func() {
		end()
		beat.Wait()
	}
}

// Web serves HTTP on a listener, on an installation, until ctx ends. above hears when it
// serves; nil = nobody. What comes through published says that a worker of this process has
// told its types; nil = there is none.
func Web(ctx context.Context, sys *connect.System, h config.HTTP, j config.Jobs,
	deploy config.Deployed, s config.Stop, l net.Listener, above *sdnotify.Notifier,
	published <-chan struct{},
) (err error) {
	catalog, err := tasks.NewBuiltIn()
	if err != nil {
		return err
	}
	if err := sys.LoadTypes(ctx, catalog); err != nil {
		sys.Log.WarnContext(ctx, "published types", "error", err)
	}
	keeper := jobstore.NewKeeper(sys.Store, sys.Log)
	locks := lock.New(sys.Redis, sys.Prefix)
	tokens, err := token.NewOwn(sys.Prefix, h.Access.Secrets(), sys.Access)
	if err != nil {
		return err
	}
	verifier := token.Verifier{Own: tokens}
	if a := h.Access; a.Issuer != "" {
		verifier.Foreign = token.NewForeign(token.ForeignConfig{Issuer: a.Issuer, Audience: a.Audience,
			JWKS:         a.JWKS,
			SubjectClaim: a.Subject, TenantClaim: a.Tenant, ScopeClaim: a.Scope, Scopes: scopesOf(a.Scopes),
			MaxLife: a.MaxLife, Log: sys.Log})
		defer verifier.Foreign.Close()
	}
	rules := gate.Config{Store: sys.Access, Root: h.Token.Reveal(), Closed: h.Closed(),
		Verifier: verifier, Reload: tokens.Reload, Log: sys.Log}
	persons, public, err := openPeople(ctx, sys, h, &rules)
	if err != nil {
		return err
	}
	guard := gate.New(rules)
	if persons != nil {
		persons.Refused = guard.Refused
	}
	deployed := make(chan struct{}, 1) // what is deployed has changed
	waiters := hub.New(listener{sys.Store, locks, keeper, sys.Access.Channel(), guard.Notify,
		sys.Functions.Channel(), func() {
			select {
			case deployed <- struct{}{}:
			default:
			}
		}, sys.Desk.HeardOfLog, sys.Limits}, sys.Log)
	deployments := newDeployments(sys, catalog, deploy)
	defer func() { err = errors.Join(err, deployments.Close()) }()
	submitter := sys.Submitter(keeper, catalog, j.Retention, int64(h.MaxUpload))
	submitter.UploadExpiry, submitter.Stopping = h.UploadExpiry, ctx.Done()
	submitter.MaxTimeout, submitter.MaxRetention, submitter.MaxAttempts = h.Ceilings.Timeout,
		h.Ceilings.Retention, h.Ceilings.Attempts
	submitter.MaxOpenUploads, submitter.MaxOpenUploadsPerAddress = h.MaxOpen, h.AddressOpen
	uploads, err := tus.New(tus.Config{Uploads: submitter, Lock: lockWith(locks),
		MaxSize: int64(h.MaxUpload)})
	if err != nil {
		return err
	}
	sys.Desk.Gone = sys.DeleteFiles
	sys.Desk.Retry = func(ctx context.Context, of access.View, id job.ID, by string) error {
		_, err := submitter.Retry(ctx, of, id, submit.Again{By: by})
		return err
	}
	desk := claims.New(claims.Config{Redis: sys.Redis, Prefix: sys.Prefix, Store: sys.Store, Queue: sys.Queue,
		Blobs: sys.Blobs, Batches: sys, Paused: sys.Desk.Paused, Sealer: sys.Sealer, Log: sys.Log})
	room := schedules.New(schedules.Config{Store: sys.Store, Submitter: submitter, Log: sys.Log})
	sweeper := sys.Janitor.Sweeper()
	sweeper.Ticks = room.Heard
	watch := sys.Watch(ctx)
	scale := &scaler{sys: sys, store: scaling.NewStore(sys.Redis, sys.Prefix),
		rule: scaling.Rule{Target: h.ScaleTarget}}
	process := metrics.NewProcess()
	if t := sys.Traces; t != nil {
		process.Spans(t.Sent, t.Dropped)
	}
	redisdb.Observe(sys.Redis, process.Calls("redis", "Redis").Done)
	server, err := web.New(web.Config{Version: version.Build(), Token: h.Token.Reveal(), Gate: guard,
		Origins: h.CORSOrigins, Public: public, People: persons,
		MaxWait: h.MaxWait, MaxWaiters: h.MaxWaiters, MaxWaitersPerAddress: h.AddressWaiters,
		MaxUpload: int64(h.MaxUpload), MaxConnections: h.MaxConns, MaxConnectionsPerAddress: h.AddressConns,
		MaxUploadsPerAddress: h.MaxPerAddress, MinUploadRate: int64(h.MinRate),
		MinFreeSpace: sys.MinFreeSpace, TrustedProxies: h.TrustedProxies, HSTS: h.HSTS,
		HireFire: h.HireFire.Reveal(), HireFireLatency: h.HireFireValue == "latency", Grace: s.Grace,
		Log: sys.Log},
		web.Deps{Submitter: submitter, Uploads: uploads, Direct: submitter,
			Records: records{sys.Store.Views(), sys},
			Hub:     waiters, Blobs: sys.Blobs, Catalog: catalog, Access: sys.Access, Minter: tokens,
			Functions: deployments, Operate: sys.Desk, Schedules: room, Limits: sys.Limits,
			Alerts: sys.Alerts, Claims: desk, ClaimTypes: sys.ClaimTypes,
			Queues:     func(ctx context.Context) ([]httpapi.QueueInfo, error) { return queues(ctx, sys) },
			Workers:    func(ctx context.Context) ([]httpapi.WorkerInfo, error) { return workers(ctx, sys) },
			WaitingFor: watch.WaitingFor, Scale: scale.Scale, Metrics: process.Text,
			Installation: metrics.NewInstallation(numbersOf(sys)).Text,
			Ready:        func(ctx context.Context) error { return sys.Redis.Ping(ctx).Err() },
			Whole:        sys.Store.Whole})
	if err != nil {
		return err
	}
	watched := watchMemory(sys, h.Memory, server)
	process.Memory(watched)
	process.Gauge("longshore_waiters", "Long-polls, streams and sockets that wait at this process.",
		func() float64 { return float64(server.Waiters()) })
	process.Gauge("longshore_connections", "Connections that clients have to this process, but for sockets.",
		func() float64 { return float64(server.Connections()) })
	// The background outlives the server: requests that end during the grace
	// still need it.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		sys.Background(background, keeper.Run, waiters.Run, guard.Run, sweeper.Run, room.Run,
			sys.Janitor.SweepOrphans, sys.WatchRoom, sys.Limits.Run, watch.Run, scale.Run, sys.Desk.Run,
			sys.Alerts.Run, desk.Run,
			func(ctx context.Context) error {
				if published != nil {
					return nil // a worker of this process watches
				}
				return watched.Run(ctx)
			},
			func(ctx context.Context) error { return sys.RefreshTypes(ctx, catalog) },
			func(ctx context.Context) error { return loadWhenTold(ctx, sys, catalog, published) },
			func(ctx context.Context) error { return loadWhenTold(ctx, sys, catalog, deployed) })
	})
	sys.Log.InfoContext(ctx, "web listens", "address", "http://"+l.Addr().String())
	above.Say(sdnotify.Ready)
	defer context.AfterFunc(ctx, func() { above.Say(sdnotify.Stopping) })()
	return server.Serve(ctx, l)
}

// scopesOf are what scopes of another issuer give; nil = our own names count.
func scopesOf(names config.ScopeMap) map[string]access.Scope {
	if names == nil {
		return nil
	}
	all := map[string]access.Scope{}
	for theirs, ours := range names {
		all[theirs], _ = access.ParseScopes(ours) // config knows the names
	}
	return all
}

// loadWhenTold loads the types each time that it is told of new ones, so that nobody waits
// for the next look.
func loadWhenTold(ctx context.Context, sys *connect.System, catalog *tasks.Catalog,
	published <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-published:
			if err := sys.LoadTypes(ctx, catalog); err != nil && ctx.Err() == nil {
				sys.Log.WarnContext(ctx, "published types", "error", err)
			}
		}
	}
}

// listener has the process's one subscription carry wishes for locks too, and
// which uploads were canceled.
type listener struct {
	*jobstore.Store
	locks  *lock.Locks
	keeper *jobstore.Keeper
	access string // channel of changes to access data
	notify func() // called for them
	// likewise of deployed functions
	functions string
	deployed  func()
	log       func(raw string)
	limits    *limits.Room
}

func (l listener) Listen(ctx context.Context, event func(job.Rev), reset func()) error {
	wanted, canceled := l.locks.Channel(), l.CancelChannel()
	logs := l.Store.LogChannel()
	channels := []string{wanted, canceled, l.access, l.functions, logs, l.limits.Channel()}
	return l.ListenToo(ctx, event, func() {
		reset()
		l.keeper.Notify("")
		l.notify()
		l.deployed()
		l.limits.Notify()
	}, channels, func(channel, text string) {
		switch channel {
		case logs:
			l.log(text)
		case canceled:
			l.keeper.Notify(job.ID(text))
		case l.access:
			l.notify()
		case l.functions:
			l.deployed()
		case l.limits.Channel():
			l.limits.Notify()
		default:
			l.locks.Asked(text)
		}
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
	jobstore.Views
	sys *connect.System
}

func (r records) CancelBy(ctx context.Context, by access.View, id job.ID, who string) (job.Snapshot, error) {
	return r.sys.CancelBy(ctx, by, id, who)
}

func (r records) Delete(ctx context.Context, by access.View, id job.ID) error {
	return r.sys.Delete(ctx, by, id)
}

func queues(ctx context.Context, sys *connect.System) ([]httpapi.QueueInfo, error) {
	o, err := sys.Overview(ctx)
	if err != nil {
		return nil, err
	}
	return o.Answer(), nil
}

// Signs are what a worker is told by others and tells them; each is as in worker.Config.
type Signs struct {
	Ready, Published func()
	Pulse            func(busy int)
	Quiet            <-chan bool
	FollowFunctions  bool
}

// Worker connects and runs the built-in types and functions until ctx ends.
func Worker(ctx context.Context, where worker.Connection, w config.Work, m config.Memory, r config.Recycle,
	d config.Deployed, s config.Stop, signs Signs) error {
	if lacks := sandbox.Missing(); lacks != "" && imaging.FindVips() != nil {
		where.Log.WarnContext(ctx, "vipsthumbnail reads clients' images without a whole sandbox", "missing",
			lacks)
	}
	lanes := make([]job.Lane, len(w.Lanes))
	for i, l := range w.Lanes {
		lanes[i] = job.Lane(l)
	}
	queues, err := job.ParseShares(w.Queues)
	if err != nil {
		return fmt.Errorf("QUEUES: %w", err) // the configuration was read by the same rules
	}
	leftBehind := w.LeftBehind
	if leftBehind == 0 {
		leftBehind = -1
	}
	return worker.Run(ctx, worker.Config{Connection: where, Lanes: lanes, Queues: queues,
		CPUConcurrency:    w.CPUConcurrency,
		StreamConcurrency: w.StreamConcurrency, ShutdownGrace: s.Grace, KillGrace: w.KillGrace,
		ChildMemory: int64(w.ChildMemory), MaxOutput: int64(w.MaxOutput), LeftBehind: leftBehind,
		MetricsAddr: string(w.MetricsAddr), Functions: w.Functions.Dir, FunctionsUser: w.SandboxUID,
		FunctionsWarm: w.FunctionsWarm, FollowFunctions: signs.FollowFunctions,
		FunctionsCache: int64(w.FunctionsCache), Deployed: string(d.Allowed), DeployedEnv: d.Env,
		DeployedNetwork: bool(d.Network), Version: version.Build(), MemoryAlarm: memoryAlarm(m),
		MaxRSS: int64(r.MaxRSS), MaxJobs: r.MaxJobs,
		Ready: signs.Ready, Published: signs.Published, Pulse: signs.Pulse, Quiet: signs.Quiet},
		handlers.BuiltIn())
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
	claimers, err := sys.Queue.Claimers(ctx)
	if err != nil {
		return nil, err
	}
	return overview.Workers(append(infos, claimers...)), nil
}
