package jobstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"longshore/internal/batch"
	"longshore/internal/loop"
	"longshore/job"
)

// A TicketState is what became of a ticket in the queue.
type TicketState string

// The ticket states. A ticket that is neither absent, pending nor active waits
// in a part of the queue that never brings it to a worker in time.
const (
	TicketAbsent  TicketState = "absent"
	TicketPending TicketState = "pending"
	TicketActive  TicketState = "active"
	TicketOther   TicketState = "other"
)

// Tickets is what the sweeper needs of the queue.
type Tickets interface {
	// Enqueue adds tickets behind what waits; one that is there already is no error.
	Enqueue(ctx context.Context, tickets []job.Ticket) error
	// EnqueueHead adds tickets ahead of what waits.
	EnqueueHead(ctx context.Context, tickets []job.Ticket) error
	// Look tells what became of tickets, in their order.
	Look(ctx context.Context, tickets []job.Ticket) ([]TicketState, error)
	// Active lists the tickets that workers hold. Type is not filled in.
	Active(ctx context.Context) ([]job.Ticket, error)
	// Discard throws tickets away that are listed as active and held by nobody.
	Discard(ctx context.Context, tickets []job.Ticket) error
}

// A Sweeper mends what a dead process left: leases that ended, times that
// have come, tickets that were lost, records whose retention is over. Every
// process runs one; there is no leader, and each step may be done twice or be
// cut off anywhere.
type Sweeper struct {
	Store   *Store
	Tickets Tickets
	// Gone deletes the blobs of jobs that were removed; nil = nothing to delete.
	Gone func(ctx context.Context, id job.ID) error
	// Upload looks after an upload in pieces of which nothing was heard for a
	// while: it may be whole, or over. nil = somebody else does.
	Upload func(ctx context.Context, id job.ID) error
	Log    *slog.Logger

	Every       time.Duration // 0 = 250 ms
	EveryActive time.Duration // between looks at the active tickets; 0 = 5 s

	lastActive []job.Ticket
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
	every, everyActive := w.Every, w.EveryActive
	if every == 0 {
		every = 250 * time.Millisecond
	}
	if everyActive == 0 {
		everyActive = 5 * time.Second
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { w.loop(ctx, everyActive, "compare active tickets", w.SweepActive) })
	w.loop(ctx, every, "sweep", func(ctx context.Context) error {
		_, err := w.Sweep(ctx)
		return err
	})
	return nil
}

// loop calls f again and again, and says once when it starts to fail.
func (w *Sweeper) loop(ctx context.Context, every time.Duration, what string, f func(context.Context) error) {
	loop.Loop{Every: every, Failed: func(err error) {
		w.Log.WarnContext(ctx, "sweeper fails, and goes on trying", "step", what, "error", err)
	}}.Run(ctx, func(ctx context.Context) (bool, error) { return false, f(ctx) })
}

// Sweep does one round over all shards.
func (w *Sweeper) Sweep(ctx context.Context) (Swept, error) {
	var sum Swept
	gap, looks := sweepGapMS, lookLimit
	for range 100 { // bounded: more than that is left to the next round
		more, err := w.round(ctx, gap, looks, &sum)
		if err != nil || !more {
			return sum, err
		}
		gap, looks = 0, 0
	}
	return sum, nil
}

func (w *Sweeper) round(ctx context.Context, gap, looks int, sum *Swept) (more bool, err error) {
	found, more, err := w.Store.sweep(ctx, gap, looks)
	if err != nil {
		return false, fmt.Errorf("sweep: %w", err)
	}
	var head, tail, look []job.Ticket
	var used []job.ID
	var uploads []job.ID
	var errs []error
	for _, f := range found {
		switch f.kind {
		case "head":
			head = append(head, f.ticket)
		case "tail":
			tail = append(tail, f.ticket)
		case "look":
			look = append(look, f.ticket)
		case "upload":
			uploads = append(uploads, f.ticket.ID)
		case "gone":
			sum.Removed++
			if w.Gone != nil {
				errs = append(errs, w.Gone(ctx, f.ticket.ID)) // what stays is an orphan, found later
			}
		case "used":
			used = append(used, f.ticket.ID)
		case "lost":
			w.Log.WarnContext(ctx, "lease lost: who held it has gone", "job_id", f.ticket.ID, "type", f.ticket.Type, "state", f.state)
		case "bad":
			sum.Quarantined++
			w.Log.ErrorContext(ctx, "damaged record set aside", "job_id", f.ticket.ID)
		}
	}
	sum.Reissued, sum.Due, sum.Looked = sum.Reissued+len(head), sum.Due+len(tail), sum.Looked+len(look)+len(uploads)
	if len(head) > 0 {
		errs = append(errs, w.Tickets.EnqueueHead(ctx, head))
	}
	if len(tail) > 0 {
		errs = append(errs, w.Tickets.Enqueue(ctx, tail))
	}
	if len(look) > 0 {
		n, err := w.repair(ctx, look)
		sum.Repaired += n
		errs = append(errs, err)
	}
	sum.Used += len(used)
	for _, id := range used {
		_, err := w.Store.dropUsers(ctx, id)
		errs = append(errs, err)
	}
	if w.Upload != nil {
		for _, id := range uploads { // last: these wait for the disk
			errs = append(errs, w.Upload(ctx, id))
		}
	}
	return more, errors.Join(errs...)
}

// repair looks for the tickets of jobs that have been queued for a while.
func (w *Sweeper) repair(ctx context.Context, tickets []job.Ticket) (repaired int, err error) {
	states, err := w.Tickets.Look(ctx, tickets)
	if err != nil {
		return 0, fmt.Errorf("look for tickets: %w", err)
	}
	var absent, active, void []job.Ticket
	for i, t := range tickets {
		switch states[i] {
		case TicketAbsent:
			absent = append(absent, t)
		case TicketActive:
			active = append(active, t)
		case TicketOther:
			void = append(void, t)
		}
	}
	if len(absent) > 0 {
		// The look comes first: a process that dies in between left the record
		// due again soon, not in ten minutes.
		_, _, err1 := w.Store.look(ctx, absent, "again")
		err2 := w.Tickets.EnqueueHead(ctx, absent)
		if err := errors.Join(err1, err2); err != nil {
			return 0, err
		}
	}
	n, _, err := w.raise(ctx, void, "raise")
	if err != nil {
		return 0, err
	}
	m, _, err := w.raise(ctx, active, "active")
	return len(absent) + n + m, err
}

// raise gives jobs a new delivery and enqueues its ticket. Those whose ticket
// is dead, because the job has ended or has another one, are returned.
func (w *Sweeper) raise(ctx context.Context, tickets []job.Ticket, finding string) (n int, dead []job.Ticket, err error) {
	if len(tickets) == 0 {
		return 0, nil, nil
	}
	raised, dead, err := w.Store.look(ctx, tickets, finding)
	if err != nil || len(raised) == 0 {
		return 0, dead, err
	}
	return len(raised), dead, w.Tickets.EnqueueHead(ctx, raised)
}

// SweepActive looks for tickets that nobody works on, though they are listed as
// held by a worker on two looks in a row: the job is still queued with that
// very delivery (its worker died before it started it: a new delivery), or has
// ended or got another delivery (its worker died later: discarded).
func (w *Sweeper) SweepActive(ctx context.Context) error {
	now, err := w.Tickets.Active(ctx)
	if err != nil {
		return fmt.Errorf("list active tickets: %w", err)
	}
	var twice []job.Ticket
	for _, t := range now {
		if slices.Contains(w.lastActive, t) {
			twice = append(twice, t)
		}
	}
	w.lastActive = now
	_, dead, err := w.raise(ctx, twice, "raise")
	if err != nil || len(dead) == 0 {
		return err
	}
	return w.Tickets.Discard(ctx, dead)
}

type finding struct {
	kind   string
	ticket job.Ticket
	state  string // of kind lost
}

// sweep runs the script over all shards: in one call on a single Redis. looks
// is the limit of looks that have time; 0 = none of them.
func (s *Store) sweep(ctx context.Context, gap, looks int) (found []finding, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	keys := make([]string, job.Shards)
	for k, base := range s.bases {
		keys[k] = base + "swept"
	}
	for _, part := range s.slots(keys) {
		reply, err := s.scripts.sweep.Run(ctx, s.rdb, part, ms(s.lease), cancelCapMS, gap, sweepLimit, looks).Slice()
		if err != nil {
			return nil, false, err
		}
		if len(reply) != 2 {
			return nil, false, fmt.Errorf("script answered %d values", len(reply))
		}
		more = more || integer(reply[0]) == 1
		list, _ := reply[1].([]any)
		for _, one := range list {
			pair, _ := one.([]any)
			if len(pair) < 2 {
				continue
			}
			if t, ok := ticketOf(pair[1]); ok {
				f := finding{kind: text(pair[0]), ticket: t}
				if len(pair) > 2 {
					f.state = text(pair[2])
				}
				found = append(found, f)
			}
		}
	}
	return found, more, nil
}

// look tells the records what was found out about their tickets. It returns
// the new tickets of those that got a new delivery, and the tickets that are dead.
func (s *Store) look(ctx context.Context, tickets []job.Ticket, finding string) (raised, dead []job.Ticket, err error) {
	calls := make([]*batch.Call, len(tickets))
	for i, t := range tickets {
		calls[i] = &batch.Call{Key: s.key(t.ID), Args: []any{t.Delivery, finding}}
	}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.look, bulkSize, calls); err != nil {
		return nil, nil, err
	}
	for i, c := range calls {
		switch text(c.Reply[0]) {
		case "raised":
			if t, ok := ticketOf(c.Reply[1]); ok {
				raised = append(raised, t)
			}
		case "dead":
			dead = append(dead, tickets[i])
		}
	}
	return raised, dead, nil
}

// slots splits the keys of one call: all together on a single Redis, one by
// one on a Cluster.
func (s *Store) slots(keys []string) [][]string {
	if !batch.Cluster(s.rdb) {
		return [][]string{keys}
	}
	parts := make([][]string, len(keys))
	for i, key := range keys {
		parts[i] = []string{key}
	}
	return parts
}
