// Package schedules makes jobs at the ticks of schedules, exactly one a tick, and is where schedules are
// made, changed and looked at. Package cron says when the ticks are, the scripts of jobstore make each of
// them once, whoever else tries; so any number of rooms may be open, and none is the leader.
package schedules

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"longshore/internal/cron"
	"longshore/internal/jobstore"
	"longshore/internal/loop"
	"longshore/internal/submit"
)

// Config of a Room. All of it is needed.
type Config struct {
	Store     *jobstore.Store
	Submitter *submit.Submitter // by whose rules the jobs are made
	Log       *slog.Logger
}

// A Room is one process's.
type Room struct {
	Config

	bell chan struct{}

	mu      sync.Mutex
	due     map[string]bool // schedules, by their keys
	latest  time.Time       // the newest TIME that was heard of
	rewound bool            // TIME went back, or nobody has looked yet: what is next may lie too far ahead
}

// New opens a room; Run does its work.
func New(c Config) *Room {
	return &Room{Config: c, bell: make(chan struct{}, 1), due: map[string]bool{}, rewound: true}
}

// setBack is how much TIME goes back by before it counts as set anew.
const setBack = time.Second

// Heard is told by each sweep what is due (jobstore.Sweeper's Ticks). It doesn't block.
func (r *Room) Heard(_ int, keys []string, now time.Time) {
	r.mu.Lock()
	for _, key := range keys {
		r.due[key] = true
	}
	if now.Before(r.latest.Add(-setBack)) {
		r.rewound = true
	}
	r.latest = now
	ring := len(r.due) > 0 || r.rewound
	r.mu.Unlock()
	if ring {
		select {
		case r.bell <- struct{}{}:
		default:
		}
	}
}

// Run makes the ticks that Heard is told of, until ctx ends. What fails is due still, and told of again.
func (r *Room) Run(ctx context.Context) error {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.bell:
		}
		err := r.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			r.Log.WarnContext(ctx, "ticks of schedules fail, and are tried again", "error", err)
		}
		if failing = err != nil; failing {
			_ = loop.Sleep(ctx, 200*time.Millisecond) // ctx is looked at above
		}
	}
}

// round makes what is due, and looks at all schedules after TIME was set back.
func (r *Room) round(ctx context.Context) error {
	r.mu.Lock()
	keys, rewound := slices.Collect(maps.Keys(r.due)), r.rewound
	clear(r.due)
	r.rewound = false
	r.mu.Unlock()
	if rewound {
		if err := r.rewind(ctx); err != nil {
			r.mu.Lock()
			r.rewound = true
			r.mu.Unlock()
			return err
		}
	}
	for part := range slices.Chunk(keys, 200) {
		if err := r.tick(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// rewind lets ticks come that a clock that went too far ahead has put off: of a schedule that was made or
// resumed while it did. Those that it made early are not made again.
func (r *Room) rewind(ctx context.Context) error {
	all, err := r.Store.Schedules(ctx, everywhere)
	if err != nil || len(all) == 0 {
		return err
	}
	now, err := r.Store.Clock(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		s := &all[i]
		d, err := definitionOf(s)
		if err != nil || s.Next.IsZero() && d.table.End.IsZero() || s.Fields["paused"] != "" {
			continue
		}
		first := d.table.First(later(now, s.Last))
		if first.IsZero() || !s.Next.IsZero() && !first.Before(s.Next) {
			continue
		}
		if _, err := r.Store.ChangeSchedule(ctx, moveTo(s, d.table, first)); err != nil &&
			!errors.Is(err, jobstore.ErrScheduleStale) {
			return err
		}
	}
	return nil
}

// moveTo has a schedule's next tick be another one.
func moveTo(s *jobstore.Schedule, table *cron.Timetable, next time.Time) jobstore.ScheduleChange {
	return jobstore.ScheduleChange{Tenant: s.Tenant, Name: s.Name, Rev: s.Rev, Read: s.Next,
		Due: table.Due(next),
		Set: map[string]string{"next": stamp(next)}}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
