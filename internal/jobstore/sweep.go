package jobstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"longshore/internal/loop"
	"longshore/job"
)

// A Sweeper mends what a dead process left: leases that ended, times that
// have come, tickets that were lost, records whose retention is over. Every
// process runs one; there is no leader, and each step may be done twice or be
// cut off anywhere.
type Sweeper struct {
	Store *Store
	// Gone deletes the blobs of jobs that were removed; nil = nothing to delete.
	Gone func(ctx context.Context, id job.ID) error
	// Upload looks after an upload in pieces of which nothing was heard for a
	// while: it may be whole, or over. nil = somebody else does.
	Upload func(ctx context.Context, id job.ID) error
	// Input deletes the input of a job that has ended, and is told of it again until InputErased; nil =
	// somebody else does.
	Input func(ctx context.Context, id job.ID) error
	// Ticks hears which schedules of a partition are due, with TIME, and must not block: it is told again
	// with each sweep. nil = this process makes none.
	Ticks func(part int, names []string, now time.Time)
	Log   *slog.Logger

	Every time.Duration // 0 = 250 ms

	looks chan finding // at batches, of which a large one takes long; nil = each sweep does them itself
	early int          // how often in a row others had just swept
}

// Swept counts what one sweep did.
type Swept struct {
	Reissued    int // after a lost lease
	Due         int // whose time had come
	Looked      int
	Repaired    int
	Removed     int
	Used        int // whose retention is postponed, since others may use their files
	Quarantined int
}

// Run sweeps until ctx ends. Errors are logged; the next sweep goes on.
func (w *Sweeper) Run(ctx context.Context) error {
	every := w.Every
	if every == 0 {
		every = 250 * time.Millisecond
	}
	w.looks = make(chan finding, 256)
	var looking sync.WaitGroup
	looking.Go(func() { w.lookAtBatches(ctx) })
	rest := 0
	w.loop(ctx, every, "sweep", func(ctx context.Context) error {
		if rest--; rest >= 0 {
			return nil
		}
		_, err := w.Sweep(ctx)
		// A thousand processes that each ask four times a second whether it is their turn would take a third
		// of Redis. Who is told that it isn't asks less often, but so that no pause is a stall where
		// the one dies whose turn it was.
		if w.Ticks == nil { // who makes ticks is told of those that are due each time
			rest = min(w.early, mostRest)
		}
		return err
	})
	looking.Wait()
	return nil
}

// lookAtBatches looks at batches that sweeps have found, until ctx ends, so that no sweep waits for the jobs
// of a large one.
func (w *Sweeper) lookAtBatches(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-w.looks:
			if err := w.Store.lookAtBatch(ctx, f); err != nil && ctx.Err() == nil {
				w.Log.WarnContext(ctx, "batch can't be looked at, and is again", "job_id", f.ticket.ID, "error", err)
			}
		}
	}
}

// loop calls f again and again, and says once when it starts to fail.
func (w *Sweeper) loop(ctx context.Context, every time.Duration, what string, f func(context.Context) error) {
	loop.Loop{Every: every, Failed: func(err error) {
		w.Log.WarnContext(ctx, "sweeper fails, and goes on trying", "step", what, "error", err)
	}}.Run(ctx, func(ctx context.Context) (bool, error) { return false, f(ctx) })
}

// mostRest is how many sweeps a process leaves out at most: 250 ms of those who do and 750 of those who don't
// are no more than STALL.
const mostRest = 2

// Sweep does one round over all partitions.
func (w *Sweeper) Sweep(ctx context.Context) (Swept, error) {
	var sum Swept
	var errs []error
	ours := false
	for part := range w.Store.bases {
		swept, err := w.sweepPart(ctx, part, &sum)
		ours = ours || swept
		errs = append(errs, err)
	}
	if w.early++; ours {
		w.early = 0
	}
	return sum, errors.Join(errs...)
}

// walkTime bounds how long a sweep goes after lost tickets in a partition.
const walkTime = 50 * time.Millisecond

// sweepPart reports whether there was something to do: nobody else had just swept.
func (w *Sweeper) sweepPart(ctx context.Context, part int, sum *Swept) (ours bool, err error) {
	gap := sweepGapMS
	for range 100 { // bounded: more than that is left to the next round
		found, more, lost, err := w.Store.sweep(ctx, part, gap, w.Ticks)
		if err != nil {
			return true, fmt.Errorf("sweep: %w", err)
		}
		ours = ours || more >= 0
		if err := w.round(ctx, found, sum); err != nil {
			return ours, err
		}
		if lost {
			if err := w.walk(ctx, part, sum); err != nil {
				return ours, err
			}
		}
		if more < 1 {
			return ours, nil
		}
		gap = 0
	}
	return ours, nil
}

// walk goes after tickets that were lost, for a while.
func (w *Sweeper) walk(ctx context.Context, part int, sum *Swept) error {
	for begun := time.Now(); time.Since(begun) < walkTime; {
		n, more, err := w.Store.walk(ctx, part)
		if err != nil {
			return fmt.Errorf("look for lost tickets: %w", err)
		}
		if sum.Repaired += n; !more {
			return nil
		}
	}
	return nil
}

func (w *Sweeper) round(ctx context.Context, found []finding, sum *Swept) error {
	var used, uploads, entering []job.ID
	var batches []finding
	var errs []error
	for _, f := range found {
		switch f.kind {
		case "head":
			sum.Reissued++
		case "tail":
			sum.Due++
		case "mended":
			sum.Repaired++
		case "upload":
			sum.Looked++
			uploads = append(uploads, f.ticket.ID)
		case "enter":
			entering = append(entering, f.ticket.ID)
		case "after":
			errs = append(errs, w.Store.settleAway(ctx, f.ticket.ID, f.state, f.after))
		case "batch", "shares":
			batches = append(batches, f)
		case "gone":
			sum.Removed++
			if f.ticket.Type == job.BatchType {
				errs = append(errs, w.Store.dropShares(ctx, f.ticket.ID))
			}
			if w.Gone != nil {
				errs = append(errs, w.Gone(ctx, f.ticket.ID)) // what stays is an orphan, found later
			}
		case "input":
			if w.Input != nil {
				errs = append(errs, w.Input(ctx, f.ticket.ID))
			}
		case "used":
			used = append(used, f.ticket.ID)
		case "lost":
			w.Log.WarnContext(ctx, "lease lost: who held it has gone", "job_id", f.ticket.ID, "type",
				f.ticket.Type, "state", f.state)
		case "bad":
			sum.Quarantined++
			w.Log.ErrorContext(ctx, "damaged record set aside", "job_id", f.ticket.ID)
		}
	}
	for _, id := range entering {
		errs = append(errs, w.Store.enterAgain(ctx, id))
	}
	sum.Used += len(used)
	for _, id := range used {
		_, err := w.Store.dropUsers(ctx, id)
		errs = append(errs, err)
	}
	for _, f := range batches {
		if w.looks == nil {
			errs = append(errs, w.Store.lookAtBatch(ctx, f))
			continue
		}
		select {
		case w.looks <- f:
		default: // it comes again
		}
	}
	if w.Upload != nil {
		for _, id := range uploads { // last: these wait for the disk
			errs = append(errs, w.Upload(ctx, id))
		}
	}
	return errors.Join(errs...)
}

type finding struct {
	kind   string
	ticket job.Ticket
	state  string   // of kind lost; of kind after its letter
	after  []string // of kind after: those that are to be told
}

// sweep runs the script over one partition. more is 1 if the limit was reached, -1 if somebody else has just
// swept. lost says that tickets were: walk looks for them.
func (s *Store) sweep(ctx context.Context, part, gap int, ticks func(int, []string, time.Time)) (
	found []finding, more int64, lost bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	due := 0
	if ticks != nil {
		due = dueLimit
	}
	reply, err := s.scripts.sweep.Run(ctx, s.rdb, []string{s.bases[part]}, ms(s.lease), cancelCapMS, gap,
		sweepLimit, due).Slice()
	if err != nil {
		return nil, 0, false, err
	}
	if len(reply) != 5 {
		return nil, 0, false, fmt.Errorf("script answered %d values", len(reply))
	}
	if ticks != nil {
		names, _ := reply[3].([]any)
		ticks(part, texts(names), time.UnixMilli(integer(reply[4])).UTC())
	}
	list, _ := reply[2].([]any)
	for _, one := range list {
		pair, _ := one.([]any)
		if len(pair) < 2 {
			continue
		}
		if t, ok := ticketOf(pair[1]); ok {
			f := finding{kind: text(pair[0]), ticket: t}
			if len(pair) > 2 {
				f.state, f.after = text(pair[2]), texts(pair[3:])
			}
			found = append(found, f)
		}
	}
	return found, integer(reply[0]), integer(reply[1]) == 1, nil
}

// walk goes some steps after lost tickets, and says how many it gave anew.
func (s *Store) walk(ctx context.Context, part int) (n int, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	reply, err := s.scripts.walk.Run(ctx, s.rdb, []string{s.bases[part]}, walkChunk, ms(s.lease)).Int64Slice()
	if err != nil {
		return 0, false, err
	}
	if len(reply) != 2 {
		return 0, false, fmt.Errorf("script answered %d values", len(reply))
	}
	return int(reply[1]), reply[0] == 1, nil
}
