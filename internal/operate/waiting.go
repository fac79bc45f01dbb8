package operate

import (
	"context"
	"time"

	"longshore/answer"
	"longshore/job"
)

// mostHolders bounds how many jobs are named that another one waits for.
const mostHolders = 5

// waiting tells why a job doesn't start; nil of one that runs or has ended.
func (d *Desk) waiting(ctx context.Context, snap *job.Snapshot) (*answer.Waiting, error) {
	switch snap.State {
	case job.Scheduled, job.Retrying:
		return &answer.Waiting{For: job.WaitingTime, Until: snap.RunAt}, nil
	case job.Awaiting:
		w := answer.Waiting{For: job.WaitingJobs}
		if snap.Held() {
			w.For, w.Why = job.WaitingRelease, snap.Hold.Why
			return &w, nil
		}
		w.Holders = job.OpenOf(snap.After)
		w.Holders = w.Holders[:min(len(w.Holders), mostHolders)]
		return &w, nil
	case job.Queued:
		if snap.Limit != "" {
			line, err := d.Store.LineOf(ctx, snap.ID)
			return &answer.Waiting{For: job.WaitingLimit, Limit: snap.Limit, Until: line.Next,
				Holders: line.Holders, Line: line.Waiting}, err
		}
	default:
		return nil, nil
	}
	p, held, err := d.heldBack(ctx, snap)
	if err != nil || held {
		return &answer.Waiting{For: job.WaitingPaused, Pause: &p, Until: p.Until}, err
	}
	w := answer.Waiting{For: job.WaitingSlots}
	list := d.Queue.Workers
	if snap.Lane == job.LaneClaim {
		list = d.Queue.Claimers
	}
	workers, err := list(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range workers {
		if one.Serves(snap.Type, snap.Place()) {
			w.Workers++
			w.Slots += one.Slots[snap.Lane]
		}
	}
	if w.Workers == 0 {
		w.For = job.WaitingWorker
	}
	queues, err := d.Queue.Queues(ctx)
	for _, q := range queues {
		if q.Place == snap.Place() {
			w.Queued = q.Pending
		}
	}
	return &w, err
}

// heldBack tells by which pause a job is held back.
func (d *Desk) heldBack(ctx context.Context, snap *job.Snapshot) (answer.Pause, bool, error) {
	all, err := d.pauses(ctx)
	if err != nil {
		return answer.Pause{}, false, err
	}
	now := time.Now().UnixMilli()
	for _, field := range []string{placeField(snap.Place()), queueField(snap.Queue), typeField(snap.Type)} {
		if p, ok := all[field]; ok && !p.Ended && (p.Until == 0 || p.Until > now) {
			return p.show(field), true, nil
		}
	}
	queues, err := d.Queue.Paused(ctx)
	for _, q := range queues {
		if q.Paused && q.Place == snap.Place() {
			return storedPause{By: "asynq"}.show(placeField(q.Place)), true, err
		}
	}
	return answer.Pause{}, false, err
}
