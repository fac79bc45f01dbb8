package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"longshore/handlers"
	"longshore/installation"
	"longshore/internal/connect"
	"longshore/internal/family"
	"longshore/internal/isolate"
	"longshore/internal/jobstore"
	"longshore/internal/memory"
	"longshore/internal/metrics"
	"longshore/internal/queue"
	"longshore/internal/webhook"
	"longshore/job"
	"longshore/tasks"
)

// Connection says where the installation is.
type Connection = installation.Config

// Config of a worker process.
type Config struct {
	Connection

	Lanes             []job.Lane    // empty = all
	Queues            []job.Share   // empty = all, alike
	CPUConcurrency    int           // slots of lane cpu; 0 = cores
	StreamConcurrency int           // slots of lane io; 0 = 8 × cores
	ShutdownGrace     time.Duration // from the end of Run's context to its return; 0 = 25 s
	KillGrace         time.Duration // for a handler to return after its context ended; 0 = 2 s

	// ChildMemory is what one job of lane cpu may use, in bytes; 0 = 512 MiB.
	ChildMemory int64
	// MaxOutput is what one run may write, all its outputs together, in bytes;
	// 0 = 10 GiB. A run that writes more fails with output_limit.
	MaxOutput int64
	// LeftBehind is how many handlers of lane io that go on though their context
	// has ended are too many, for nothing can stop them: then Run takes nothing
	// more, lets run what runs, and returns ErrLeftBehind. 0 = 3, negative = never.
	LeftBehind int

	// MaxRSS and MaxJobs have the worker start anew: once its resident memory is over so many bytes (not in
	// its first ten minutes), or it has run so many jobs, both give or take a tenth, it finishes what it
	// runs, within ten minutes, gives the rest back and Run returns ErrRecycle. 0 = never.
	MaxRSS  int64
	MaxJobs int
	// MemoryAlarm is the resident memory, in bytes, over which there is an alarm; 0 = none. Memory that
	// only grows is alarmed anyway.
	MemoryAlarm int64

	// ChildEnv names the variables of this process's environment that handlers of
	// lane cpu get too, as DATABASE_URL. Their processes have few others (docs/isolation.md):
	// what a program has by accident no job shall read.
	ChildEnv []string

	// MetricsAddr is where GET /metrics is answered for Prometheus, as "127.0.0.1:9100"; "" =
	// nowhere, and nothing is counted. While the address is in use the worker works all the same.
	MetricsAddr string

	// Functions is a folder of functions: each folder in it with a program is a type
	// (docs/functions.md); "" = none. It need not be there. Those of lane cpu take its
	// slots, and ChildMemory is what one may use that says nothing else.
	Functions string
	// FollowFunctions makes changes of the folder count for the next job, as is meant for
	// development; else it is read at the start.
	FollowFunctions bool
	// FunctionsUser is the number of the first of the users that programs of functions
	// run as, one for each slot, where the worker is root; 0 = they run as the worker's.
	FunctionsUser int
	// FunctionsWarm is how many processes of functions of mode lambda are kept between
	// jobs, of all functions together; 0 = as many as there are slots. Jobs that run may
	// have more.
	FunctionsWarm int

	// Deployed says which functions are served that come over the API: "wasm", modules only;
	// "all", programs too; "" or "off", none.
	Deployed string
	// DeployedEnv names the variables that they may get, and DeployedNetwork lets them connect.
	DeployedEnv     []string
	DeployedNetwork bool
	// FunctionsCache bounds what is kept of them on disk that nobody uses, in bytes; 0 = 1 GiB.
	FunctionsCache int64

	// Quiet makes the worker take nothing more and finish what runs (true), or take
	// again (false): as often as it is told. A channel that is closed tells
	// nothing more; nil = never. The worker lives on until Run's context ends.
	Quiet <-chan bool
	// LogLevel sets how much is logged, as an operator wishes: debug, info, warn or error; nil = it
	// can't be set.
	LogLevel func(level string)
	// Version is the program's, for operators.
	Version string
	// Pulse is called every two seconds while the worker goes on, draining included, with
	// the number of jobs that run: for a supervisor. It must not block; nil = nobody wants to know.
	Pulse func(busy int)
	// Ready is called once the worker takes tickets; nil = nobody wants to know.
	Ready func()
	// Published is called when the types that are served here, or others than before,
	// have been told to all; nil = nobody wants to know.
	Published func()
}

// Run connects, serves the registry's types and returns when ctx has ended and
// all is finished or given back. An error that other settings would mend wraps
// ErrSettings.
func Run(ctx context.Context, c Config, r *handlers.Registry) error {
	sys, err := connect.Open(ctx, c.Connection)
	if err != nil {
		return err
	}
	return errors.Join(serve(ctx, sys, c, r), sys.Close())
}

// ErrLeftBehind says that handlers of lane io that nothing can stop take this
// process's time: it should end, and be started anew.
var ErrLeftBehind = errors.New(
	"handlers that ignore the end of their context go on: the worker must be started anew")

// ErrSettings marks an error that other settings would mend, not time.
var ErrSettings = installation.ErrSettings

// serve is Run on an installation that is connected.
func serve(ctx context.Context, sys *connect.System, c Config, r *handlers.Registry) error {
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrSettings, err)
	}
	if err := checkMain(r); err != nil {
		return err
	}
	if err := isolate.CheckEnv(c.ChildEnv); err != nil {
		return fmt.Errorf("%w: ChildEnv: %w", ErrSettings, err)
	}
	c = c.withDefaults()
	w := &worker{
		config: c, sys: sys, registry: r, log: sys.Log,
		republish: make(chan struct{}, 1), notified: make(chan struct{}, 1),
		keeper:   jobstore.NewKeeper(sys.Store, sys.Log),
		pacer:    jobstore.NewPacer(sys.Store, sys.Log),
		suspects: jobstore.NewSuspects(c.slots()[job.LaneIO] + c.slots()[job.LaneCPU]),
	}
	if sys.Callbacks != nil {
		// An attempt that is cut needs time to be given back.
		w.callbacks = webhook.NewDeliverer(sys.Store, sys.Callbacks, sys.Log,
			max(0, c.ShutdownGrace-time.Second))
		w.callbacks.Traces = sys.Traces
	}
	if n := c.slots()[job.LaneCPU]; n > 0 && len(childTypes(r)) > 0 {
		pool, err := isolate.Open(isolate.Config{Slots: n, Child: isolate.Child{Memory: c.ChildMemory,
			Env: c.ChildEnv}, Log: sys.Log})
		if err != nil {
			return fmt.Errorf("start children: %w", err)
		}
		w.pool = pool
		for _, name := range c.ChildEnv {
			if _, set := os.LookupEnv(name); !set {
				sys.Log.WarnContext(ctx, "a variable that children are to get is not set", "name", name)
			}
		}
	}
	w.costs = map[job.Lane]*spent{}
	for _, lane := range job.Lanes {
		w.costs[lane] = &spent{}
	}
	w.memory = w.newMemory()
	w.measure()
	if err := w.openFunctions(); err != nil {
		return err
	}
	w.server = sys.Queue.NewServer(sys.Store, w.types(), c.slots())
	w.server.SetShares(c.Queues)
	w.server.SetVersion(c.Version)
	err := w.run(ctx)
	if w.functions != nil {
		err = errors.Join(err, w.functions.close())
	}
	if w.pool != nil {
		err = errors.Join(err, w.pool.Close())
	}
	if w.functions != nil {
		err = errors.Join(err, w.functions.warden.close())
	}
	return err
}

func (c Config) withDefaults() Config {
	if len(c.Lanes) == 0 {
		c.Lanes = job.Lanes
	}
	if c.CPUConcurrency == 0 {
		c.CPUConcurrency = runtime.GOMAXPROCS(0)
	}
	if c.StreamConcurrency == 0 {
		c.StreamConcurrency = 8 * runtime.GOMAXPROCS(0)
	}
	if c.ShutdownGrace == 0 {
		c.ShutdownGrace = 25 * time.Second
	}
	if c.KillGrace == 0 {
		c.KillGrace = 2 * time.Second
	}
	if c.LeftBehind == 0 {
		c.LeftBehind = 3
	}
	if c.MaxOutput == 0 {
		c.MaxOutput = 10 << 30
	}
	if c.ChildMemory == 0 {
		c.ChildMemory = 512 << 20
	}
	if c.FunctionsCache == 0 {
		c.FunctionsCache = 1 << 30
	}
	return c
}

func (c Config) slots() map[job.Lane]int {
	slots := map[job.Lane]int{}
	if slices.Contains(c.Lanes, job.LaneIO) {
		slots[job.LaneIO] = c.StreamConcurrency
	}
	if slices.Contains(c.Lanes, job.LaneCPU) {
		slots[job.LaneCPU] = c.CPUConcurrency
	}
	return slots
}

type worker struct {
	config    Config
	sys       *connect.System
	registry  *handlers.Registry
	log       *slog.Logger
	keeper    *jobstore.Keeper
	pacer     *jobstore.Pacer
	server    *queue.Server
	callbacks *webhook.Deliverer // nil where nothing can sign them
	pool      *isolate.Pool      // of children for lane cpu; nil where nothing needs them
	functions *functionSet       // nil where none are served
	republish chan struct{}      // other types are served than before
	notified  chan struct{}      // an operator has said something
	followers followers          // of logs

	suspects    *jobstore.Suspects // jobs that cost workers before, and how many of them may run
	suspectGate sync.Mutex         // held by the one that asks to start

	running sync.Map // *attempt → struct{}
	left    atomic.Int64
	restart context.CancelCauseFunc // ends Run with a cause of its own
	giveUp  context.Context

	memory    *memory.Watch
	ended     atomic.Int64 // jobs
	recycling atomic.Pointer[string]
	held      atomic.Bool // an operator has said drain while it recycled
	stopped   atomic.Bool // an operator has said stop

	costs   map[job.Lane]*spent
	metrics *metrics.Set  // nil: nobody asks
	counts  *metrics.Jobs // likewise
	took    runTimes      // of runs that ended since the last beat
}

// types are those that can be run here.
func (w *worker) types() []string {
	var names []string
	for _, name := range w.registry.Types() {
		if entry, _ := w.registry.Lookup(name); entry.Info.Lane != job.LaneCPU || w.pool != nil {
			names = append(names, name)
		}
	}
	if w.functions != nil {
		names = append(names, w.functions.Types()...)
	}
	return names
}

// infos are the definitions of all that is served here or known from Go code.
func (w *worker) infos() []tasks.Info {
	var infos []tasks.Info
	for _, name := range w.registry.Types() {
		entry, _ := w.registry.Lookup(name)
		infos = append(infos, entry.Info)
	}
	if w.functions != nil {
		infos = append(infos, w.functions.Infos()...)
	}
	return infos
}

// run starts everything in the order of the data's way and ends it in the
// reverse order.
func (w *worker) run(ctx context.Context) error {
	ctx, w.restart = context.WithCancelCause(ctx)
	defer w.restart(nil)
	// The background lives until the last run has ended: leases must be kept
	// and ends recorded while the worker drains.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	// giveUp ends the patience with a Redis that doesn't answer.
	giveUp, abandon := context.WithCancel(background)
	w.giveUp = giveUp
	defer abandon()

	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { w.listen(background) })
	wg.Go(func() { w.serveMetrics(background) })
	wg.Go(func() { w.tellCosts(background) })
	wg.Go(func() { w.watchMemory(background) })
	published := make(chan struct{})
	wg.Go(func() { w.publish(background, sync.OnceFunc(func() { close(published) })) })
	wg.Go(func() {
		w.sys.Background(background, w.keeper.Run, w.pacer.Run, w.sys.Janitor.Sweeper().Run,
			w.sys.Janitor.SweepOrphans, w.sys.Alerts.Run)
	})

	delivering, last := context.WithCancel(ctx)
	defer last()
	if w.callbacks != nil {
		wg.Go(func() {
			if err := w.callbacks.Run(delivering); err != nil {
				w.log.ErrorContext(ctx, "delivery of callbacks has ended", "error", err)
			}
		})
	}

	if w.functions != nil {
		wg.Go(func() { family.ReapOrphans(background) })
	}
	drained := make(chan struct{})
	wg.Go(func() { w.drain(ctx, drained, abandon) })
	defer close(drained)

	select { // who is told that this worker is there may look for its types
	case <-published:
	case <-ctx.Done():
	}
	w.knowPauses(ctx)
	w.log.InfoContext(ctx, "worker takes jobs", "lanes", w.config.Lanes, "cpu_slots", w.config.CPUConcurrency,
		"io_slots", w.config.StreamConcurrency, "types", len(w.types()))
	if w.config.Ready != nil {
		w.config.Ready()
	}
	if err := w.sys.Desk.Recycled(ctx); err != nil {
		w.log.DebugContext(ctx, "others recycle later", "error", err)
	}
	wg.Go(func() { w.hush(ctx) })
	wg.Go(func() { w.steer(background) })
	wg.Go(func() { w.recycleWhenDue(ctx) })
	if w.config.Pulse != nil {
		wg.Go(func() { w.pulse(background) })
	}
	if w.functions != nil {
		wg.Go(func() { w.followFunctions(ctx) })
		wg.Go(func() { w.followDeployed(ctx) })
	}
	err := w.server.Run(ctx, w.handle)
	recycled := errors.Is(context.Cause(ctx), ErrRecycle) && !w.stopped.Load()
	w.noteEnd(background, recycled)
	w.log.InfoContext(background, "worker has stopped")
	switch {
	case recycled:
		err = errors.Join(err, ErrRecycle)
	case errors.Is(context.Cause(ctx), ErrLeftBehind):
		err = errors.Join(err, ErrLeftBehind)
	}
	return err
}

// publish tells the other programs the types served here; again now and then,
// for a Redis that lost them. tried is called each time, also where it failed.
func (w *worker) publish(ctx context.Context, tried func()) {
	const often, seldom = time.Second, time.Minute
	var before []string // what was published last
	for {
		pause := seldom
		now, err := w.publishNow(ctx, before)
		if err != nil {
			pause = often
		} else if before = now; w.config.Published != nil {
			w.config.Published()
		}
		tried()
		select {
		case <-ctx.Done():
			return
		case <-w.republish:
		case <-time.After(pause):
		}
	}
}

// publishNow tells the types served here, and which of those that it told before are not any more.
func (w *worker) publishNow(ctx context.Context, before []string) (now []string, err error) {
	infos := w.infos()
	for _, info := range infos {
		now = append(now, info.Type)
	}
	gone := slices.DeleteFunc(slices.Clone(before), func(t string) bool { return slices.Contains(now, t) })
	if err := w.sys.PublishTypes(ctx, infos); err != nil {
		return nil, err
	}
	return now, w.sys.Store.ReleaseTypes(ctx, gone)
}

// drain cancels what still runs when the grace nears its end, and ends the
// patience with Redis at its end.
func (w *worker) drain(ctx context.Context, drained <-chan struct{}, abandon func()) {
	select {
	case <-ctx.Done():
	case <-drained:
		return
	}
	if w.functions != nil {
		close(w.functions.draining)
	}
	w.log.InfoContext(ctx, "worker takes no more jobs and lets run what runs", "grace",
		w.config.ShutdownGrace)
	// What is canceled needs time to return and to be recorded.
	cut := max(0, w.config.ShutdownGrace-w.config.KillGrace-time.Second)
	if !wait(drained, cut) {
		w.running.Range(func(a, _ any) bool {
			a.(*attempt).stop(errShutdown)
			return true
		})
	}
	if !wait(drained, w.config.ShutdownGrace-cut) {
		abandon()
	}
}

// wait reports whether done was closed within d.
func wait(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
