package queue

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/job"
)

// Where a queue and the records lie on different nodes of a Cluster, tickets
// are taken and ended in calls of their own, before and after the record's moves.

// takeScript is asynq's dequeue (internal/rdb, dequeueCmd) for many tickets,
// without asynq's lease: the record's lease is the one that counts, and the
// sweeper discards what a dead worker held. An id without a task is thrown away.
var takeScript = withParked("allow-oom", takeSource)

//go:embed take.lua
var takeSource string

// doneScript is asynq's completion (internal/rdb, doneCmd) of many tickets.
var doneScript = redis.NewScript(doneSource)

//go:embed done.lua
var doneSource string

const doneSize = 64

// takeApart takes tickets and starts their jobs.
func (s *Server) takeApart(ctx context.Context, from *source, n int, park bool) (claims []jobstore.Claim, more bool, err error) {
	turn := s.turn.Add(1) % 1e9
	names, err := takeScript.Run(ctx, s.queue.rdb, []string{from.keys + "pending"}, n, jobstore.ServedTypes(s.types), turn).StringSlice()
	if err != nil {
		return nil, false, err
	}
	var tickets, others []job.Ticket
	for _, name := range names {
		t := job.Ticket{Lane: from.lane, Priority: from.priority}
		if t.ID, t.Delivery, err = job.ParseTicketName(name); err != nil {
			s.queue.log.ErrorContext(ctx, "ticket thrown away", "error", err)
			err = s.done(ctx, from.keys, name)
		}
		if err != nil {
			return nil, false, err // those taken are found by the sweeper
		}
		if t.ID != "" {
			tickets = append(tickets, t)
		}
	}
	for _, c := range s.store.StartMany(ctx, tickets, s.types) {
		switch {
		case errors.Is(c.Err, jobstore.ErrStale), errors.Is(c.Err, job.ErrNotFound):
			s.end(ctx, c.Ticket)
		case park && errors.Is(c.Err, jobstore.ErrUnserved):
			others = append(others, c.Ticket)
		default:
			claims = append(claims, c)
		}
	}
	if err := s.queue.park(ctx, from.queueName, others); err != nil { // the sweeper finds that nobody works on them
		s.queue.log.DebugContext(ctx, "tickets not put aside, the sweeper will send others", "queue", from.name, "error", err)
	}
	return claims, len(names) == n, nil
}

// end tells the queue that a ticket has done its work. One that it isn't told
// of is discarded by the sweeper.
func (s *Server) end(ctx context.Context, t job.Ticket) {
	if err := s.done(ctx, s.queue.nameOf(t.Lane, t.Priority).keys, t.Name()); err != nil {
		s.queue.log.DebugContext(ctx, "ticket not ended, the sweeper will", "job_id", t.ID, "error", err)
	}
}

func (s *Server) done(ctx context.Context, keys, name string) error {
	now := time.Now().UTC()
	_, err := s.dones.Do(ctx, keys+"t:"+name, name, now.AddDate(0, 0, 90).Unix(), keys+"processed:"+now.Format(time.DateOnly))
	if err != nil {
		return fmt.Errorf("end ticket %s: %w", name, err)
	}
	return nil
}
