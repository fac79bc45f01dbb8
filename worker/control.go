package worker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"longshore/internal/memory"
	"longshore/internal/operate"
)

// errOperator says that an operator told this worker to stop.
var errOperator = errors.New("worker was told to stop")

// steer does what operators say, until ctx ends: it beats every few seconds, and looks at once when it is
// notified.
func (w *worker) steer(ctx context.Context) {
	beat := time.NewTicker(operate.BeatEvery)
	defer beat.Stop()
	started, due := time.Now(), time.Now()
	done := map[string]bool{} // answered, though perhaps nobody has heard it
	for {
		lag := max(0, time.Since(due))
		if err := w.beatOnce(ctx, started, lag, done); err != nil && ctx.Err() == nil {
			w.log.DebugContext(ctx, "no beat", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case due = <-beat.C:
		case <-w.notified:
			due = time.Now()
		}
	}
}

// knowPauses learns what is paused before the first job is taken: a pause outlives restarts.
func (w *worker) knowPauses(ctx context.Context) {
	_ = w.ask(ctx, func(ctx context.Context) error { // it ends with ctx, or when the pauses are known
		paused, err := w.sys.Desk.PausedTypes(ctx)
		if err == nil || ctx.Err() != nil {
			w.server.SetPaused(paused)
			return nil
		}
		return err
	})
}

func (w *worker) beatOnce(ctx context.Context, started time.Time, lag time.Duration,
	done map[string]bool) error {
	ctx, cancel := context.WithTimeout(ctx, operate.BeatEvery)
	defer cancel()
	paused, err1 := w.sys.Desk.PausedTypes(ctx)
	if err1 == nil {
		w.server.SetPaused(paused)
	}
	messages, err2 := w.sys.Desk.Beat(ctx, w.sys.Store.WorkerID(), w.beat(started, lag))
	errs := []error{err1, err2, w.sys.Desk.NoteRuns(ctx, w.took.take())}
	for _, m := range messages {
		refused := ""
		if key := string(m.Operation); !done[key] {
			refused = w.obey(ctx, m)
			done[key] = true
		}
		errs = append(errs, w.sys.Desk.Obeyed(ctx, w.sys.Store.WorkerID(), m, refused))
		if m.Action == "stop" && refused == "" {
			w.stopped.Store(true)
			w.restart(errOperator)
		}
	}
	if len(done) > maxDone {
		clear(done)
	}
	return errors.Join(errs...)
}

// maxDone is how many messages are remembered: they last a minute.
const maxDone = 1000

// obey does what a message says, and tells why it doesn't.
func (w *worker) obey(ctx context.Context, m operate.Message) (refused string) {
	switch m.Action {
	case "drain":
		w.quiet(ctx, true)
	case "resume":
		if w.recycles() != "" && !w.held.Load() {
			return "it finishes what it runs, to start itself anew"
		}
		w.quiet(ctx, false)
	case "stop": // once it has said so
	case "log-level":
		if w.config.LogLevel == nil {
			return "its log has no level that can be set"
		}
		w.config.LogLevel(m.Level)
	default:
		return "it knows no such message"
	}
	w.log.InfoContext(ctx, "worker does what an operator says", "message", m.Action, "operation", m.Operation)
	return ""
}

// beat is what is told of this worker now.
func (w *worker) beat(started time.Time, lag time.Duration) operate.Beat {
	b := operate.Beat{RSS: memory.Resident(), Live: w.memory.Live(), Jobs: w.ended.Load(),
		Recycle: w.recycles(), LagMS: lag.Milliseconds(), Started: started.UnixMilli()}
	if a, _, ok := w.memory.Alarm(); ok {
		b.Alarm = a.String()
	}
	w.running.Range(func(key, _ any) bool {
		a := key.(*attempt)
		b.Runs = append(b.Runs, operate.BeatRun{Job: a.ticket.ID, Type: a.started.Type,
			Attempt: a.started.Attempt,
			Since:   a.began.UnixMilli(), Limit: a.started.Timeout.Milliseconds()})
		return true
	})
	b.Busy = len(b.Runs)
	slices.SortFunc(b.Runs, func(a, b operate.BeatRun) int { return cmp.Compare(a.Since, b.Since) })
	b.Runs = b.Runs[:min(len(b.Runs), operate.MaxBeatRuns)]
	return b
}

// noteEnd tells that this worker ends, and how.
func (w *worker) noteEnd(ctx context.Context, again bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	why := "stopped"
	switch {
	case again:
		why = "recycled"
		if err := w.sys.Desk.DoneRecycling(ctx, w.sys.Store.WorkerID()); err != nil {
			w.log.DebugContext(ctx, "others recycle later", "error", err)
		}
	case w.server.IsQuiet():
		why = "drained"
	}
	w.sys.Desk.NoteGone(ctx, w.server.Info(true), why)
}
