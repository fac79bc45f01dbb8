package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"longshore/handlers"
	"longshore/internal/cgroup"
	"longshore/internal/family"
	"longshore/internal/functions"
	"longshore/internal/functions/host"
	"longshore/internal/httpapi"
	"longshore/internal/isolate"
	"longshore/internal/jobstore"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
)

// functionSet is what a worker has for functions; nil where it serves none.
type functionSet struct {
	*host.Set
	folders  *isolate.Folders
	groups   *cgroup.Set // nil where there are none
	slots    chan int    // numbers of attempts that may run at once
	draining chan struct{}
	changed  chan struct{} // others are served than before
	deploys  *deploys      // nil where no deployed ones are served
	warden   warden        // closed last: it looks after the work folders
}

// openFunctions loads the functions of a worker.
func (w *worker) openFunctions() error {
	c := w.config
	if c.Functions == "" && !c.servesDeployed() {
		return nil
	}
	folders, err := isolate.OpenFolders("")
	if err != nil {
		return fmt.Errorf("make folder of work folders: %w", err)
	}
	slots := w.config.slots()
	groups, err := cgroup.Open()
	if err != nil {
		w.log.InfoContext(context.Background(), "programs of functions run in no control groups", "reason", err)
	}
	f := &functionSet{folders: folders, groups: groups, draining: make(chan struct{}),
		changed: make(chan struct{}, 1),
		slots:   make(chan int, slots[job.LaneIO]+slots[job.LaneCPU])}
	for n := range cap(f.slots) {
		f.slots <- n
	}
	if c.servesDeployed() {
		f.deploys = w.openDeploys()
	}
	f.Set = host.Open(host.Config{Folder: c.Functions, Deployed: f.deploys.folder(), Warm: c.FunctionsWarm,
		Taken: func(typ string) bool { _, ok := w.registry.Lookup(typ); return ok },
		Changed: func() {
			select {
			case f.changed <- struct{}{}:
			default:
			}
		},
		Host: functions.Host{Slots: slots, Memory: c.ChildMemory, MaxOutput: c.MaxOutput,
			KillGrace: c.KillGrace, Grace: w.graceOf, Draining: f.draining, Base: folders.Path(), Log: w.log,
			User: c.FunctionsUser, Getenv: os.Getenv, Groups: groups}})
	f.warden.folders = []string{folders.Path()}
	if w.pool != nil {
		f.warden.folders = append(f.warden.folders, w.pool.Path())
	}
	w.functions = f
	return nil
}

func (f *functionSet) close() error {
	err := f.Set.Close()
	if f.groups != nil {
		err = errors.Join(err, f.groups.Close())
	}
	return errors.Join(err, f.folders.Close())
}

// A warden outlives the worker, which the kernel may kill: it ends what functions have
// started and removes the work folders. Its process is started with the first job of a
// function, and anew if it was killed.
type warden struct {
	mu      sync.Mutex
	folders []string
	guard   *family.Guard
	failed  bool // told once
}

// watch makes sure that the process is there.
func (w *warden) watch(ctx context.Context, log *slog.Logger) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.guard != nil {
		select {
		case <-w.guard.Ended():
			_ = w.guard.Close() // it has ended: nothing to tell
			w.guard = nil
		default:
			return
		}
	}
	guard, err := isolate.Guard(w.folders...)
	if err != nil {
		if !w.failed {
			log.WarnContext(ctx, "what functions start may outlive a worker that is killed", "error", err)
		}
		w.failed = true
		return
	}
	w.guard = guard
}

func (w *warden) close() error {
	if w.guard == nil {
		return nil
	}
	return w.guard.Close()
}

// graceOf is how long an attempt gets that is stopped: where the lease is over, another
// worker may start the job any moment.
func (w *worker) graceOf(cause error) time.Duration {
	_, grace := w.stopChild(cause)
	return grace
}

// followFunctions looks at the folders until ctx ends, and tells who must know.
func (w *worker) followFunctions(ctx context.Context) {
	if w.config.FollowFunctions {
		go w.functions.Watch(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.functions.changed:
		}
		w.server.SetTypes(w.types())
		select {
		case w.republish <- struct{}{}:
		default:
		}
	}
}

// errUnfit says that a payload was accepted by another version of a function than the
// one here, which doesn't take it.
var errUnfit = errors.New("payload does not fit this version of the function")

// unfitPause is how long such a job waits for a worker of the other version.
const unfitPause = 5 * time.Second

// callFunction runs one attempt of a function.
func (a *attempt) callFunction(ctx context.Context, run *handlers.Run) ([]byte, error) {
	f := a.worker.functions
	if err := a.checkFit(ctx); err != nil {
		return nil, err
	}
	f.warden.watch(ctx, a.worker.log)
	folder, err := f.folders.New()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", functions.ErrNotStarted, err)
	}
	slot := <-f.slots
	defer func() {
		f.slots <- slot
		if err := f.folders.Remove(folder); err != nil {
			a.logger().WarnContext(ctx, "work folder stays until the worker's end", "error", err)
		}
	}()
	lines := lineLog{log: a.logger()}
	deadline := time.Now().Add(a.started.Timeout)
	fa := &functions.Attempt{Run: run, HasInput: a.started.Spec.Input != nil,
		MaxAttempts: a.started.MaxAttempts, Deadline: deadline, Payload: payloadOf(a.started.Spec),
		Folder: folder, Slot: slot, Log: func(l functions.Line) {
			l.Text = a.hide(l.Text)
			a.log.add(l.Level, l.Text)
			lines.add(ctx, l)
		}}
	if in := a.started.Spec.Input; in != nil {
		fa.InputType, fa.InputName = in.ContentType, in.Filename
	}
	o := a.use.Run(ctx, fa)
	lines.end(ctx)
	a.usage = o.Usage
	if o.Err == nil {
		o.Err = a.submitLines(ctx, o.Submit)
	}
	return o.Result, o.Err
}

func payloadOf(s jobstore.Spec) []byte {
	if len(s.Payload) == 0 {
		return []byte("{}")
	}
	return s.Payload
}

// checkFit checks the payload once more, by the version that is served here. One that
// it refuses may be for another version, which a deployment has brought to other workers
// or will bring to this one: the definition that is published is the newest.
func (a *attempt) checkFit(ctx context.Context) error {
	here, accepted := a.use.Function.Version, a.started.Function
	switch {
	case here > 0 && here < accepted:
		a.worker.functions.deploys.notify()
		return fmt.Errorf("%w: version %d is here, and the job was accepted for %d", functions.ErrNotStarted, here,
			accepted)
	case here > 0 && here == accepted: // it was checked by the same definition
		return nil
	}
	err := a.use.Check(a.started.Spec.Payload)
	if err == nil {
		return nil
	}
	if here > 0 { // the numbers say that it is the newer one
		return changedFor(err)
	}
	ours, failed := json.Marshal(a.use.Info)
	if failed == nil {
		var published map[string]string
		if published, failed = a.worker.sys.Store.Types(ctx, tasks.MaxDefinition); failed == nil &&
			published[a.started.Type] == string(ours) {
			return changedFor(err)
		}
	}
	return fmt.Errorf("%w: %w", errUnfit, err)
}

func changedFor(err error) error {
	return handlers.FailWith(job.PayloadRefused,
		fmt.Errorf("the function has changed and does not take this payload: %w", err))
}

// submitLines submits the jobs that a function has asked for. Each has a key of the
// job's id and its place, so that a repeat submits nothing twice.
func (a *attempt) submitLines(ctx context.Context, lines []json.RawMessage) error {
	if len(lines) == 0 {
		return nil
	}
	w := a.worker
	catalog, err := w.catalog(ctx)
	if err != nil {
		return err
	}
	drafts := make([]submit.Draft, len(lines))
	self, err := w.sys.Store.Get(ctx, a.ticket.ID)
	if err != nil {
		return fmt.Errorf("whose the job is: %w", err)
	}
	for i, line := range lines {
		drafts[i] = submit.Read(httpapi.Line{Number: int64(i + 1), Text: line,
			TooLong: len(line) > httpapi.MaxBatchLine})
		if r := &drafts[i].Request; drafts[i].Err == nil && r.ID == "" {
			r.IdempotencyKey = functions.SubmitKey(a.ticket.ID, i+1)
		}
		drafts[i].Request.Inherit(&self)
	}
	submitter := w.sys.Submitter(w.keeper, catalog, 0, 0)
	for _, answer := range submitter.SubmitMany(ctx, drafts) {
		if err := functions.Submitted(answer, func() {
			a.logger().WarnContext(ctx, "submit line differs from that of an earlier attempt, which stays",
				"line", answer.Line)
		}); err != nil {
			return err
		}
	}
	return nil
}

// catalog knows the types that may be submitted now.
func (w *worker) catalog(ctx context.Context) (*tasks.Catalog, error) {
	catalog, err := tasks.NewBuiltIn()
	if err != nil {
		return nil, err
	}
	for _, info := range w.infos() {
		if err := catalog.Add(info); err != nil {
			return nil, err
		}
	}
	if err := w.sys.LoadTypes(ctx, catalog); err != nil {
		w.log.WarnContext(ctx, "some published types are not known", "error", err)
	}
	return catalog, nil
}

// maxLog bounds what an attempt may write into the worker's log, in bytes.
const maxLog = 256 << 10

// A lineLog puts a function's lines into the worker's log.
type lineLog struct {
	log     *slog.Logger
	size    int
	dropped int
}

func (l *lineLog) add(ctx context.Context, line functions.Line) {
	if l.size += len(line.Text) + 1; l.size > maxLog {
		l.dropped++
		return
	}
	l.log.Log(ctx, line.Level, line.Text) //nolint:sloglint // the function's own words
}

func (l *lineLog) end(ctx context.Context) {
	if l.dropped > 0 {
		l.log.WarnContext(ctx, "more lines of the function's log were dropped", "lines", l.dropped,
			"kept_bytes", maxLog)
	}
}
