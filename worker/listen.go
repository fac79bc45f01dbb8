package worker

import (
	"context"
	"time"

	"longshore/internal/jobstore"
	"longshore/job"
)

// pulseEvery is the time between two calls of Config.Pulse.
const pulseEvery = 2 * time.Second

// pulse tells Config.Pulse how many jobs run.
func (w *worker) pulse(ctx context.Context) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		w.config.Pulse(w.busy(""))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// hush does what Config.Quiet asks for.
func (w *worker) hush(ctx context.Context) {
	for {
		select {
		case quiet, ok := <-w.config.Quiet:
			if !ok {
				return
			}
			w.quiet(ctx, quiet)
		case <-ctx.Done():
			return
		}
	}
}

// quiet has the worker take nothing more, or take again.
func (w *worker) quiet(ctx context.Context, quiet bool) {
	if w.recycles() != "" {
		w.held.Store(quiet)
		if !quiet {
			return // it takes again once it is started anew
		}
	}
	w.server.Quiet(quiet)
	if quiet {
		w.log.InfoContext(ctx, "worker is quiet: it takes no more jobs, finishes what runs and waits")
	} else {
		w.log.InfoContext(ctx, "worker takes jobs again")
	}
}

// listen hears what is for idle loops, and which jobs are to be canceled: one
// subscription for the process.
func (w *worker) listen(ctx context.Context) {
	tickets, cancels := w.sys.Queue.NotifyChannel(), w.sys.Store.CancelChannel()
	control, follow := w.sys.Desk.ControlChannel(), w.sys.Store.FollowChannel()
	channels := []string{tickets, cancels, control, follow}
	if w.functions != nil {
		channels = append(channels, w.sys.Functions.Channel())
	}
	err := jobstore.Subscribe(ctx, w.sys.Redis, channels, func(channel, text string) {
		switch channel {
		case tickets:
			w.server.Notify(text)
			w.pacer.Notify(text)
		case cancels:
			w.keeper.Notify(job.ID(text))
		case follow:
			w.follow(job.ID(text))
		case control:
			w.look()
		default:
			w.functions.deploys.notify()
		}
	}, func() {
		w.look()
		w.server.Notify("")
		w.pacer.Notify("")
		w.keeper.Notify("")
	})
	if err != nil {
		w.log.ErrorContext(ctx, "subscription ended", "error", err)
	}
}

// look has steer look at once.
func (w *worker) look() {
	select {
	case w.notified <- struct{}{}:
	default:
	}
}
