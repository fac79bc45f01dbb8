package jobstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// A Wait is since when a job could have run, by its creation and its time.
type Wait struct {
	Type  string
	Since time.Time // zero: not known
}

// Waits reads that of some jobs, in the order of ids. A job that is gone or
// damaged has the zero Wait.
func (s *Store) Waits(ctx context.Context, ids []job.ID) ([]Wait, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.SliceCmd, len(ids))
	for i, id := range ids {
		cmds[i] = pipe.HMGet(ctx, s.key(id), "h", "c", "at")
	}
	_, _ = pipe.Exec(ctx) // each command has its error too
	waits := make([]Wait, len(ids))
	for i, cmd := range cmds {
		fields, err := cmd.Result()
		if redis.HasErrorPrefix(err, "WRONGTYPE") || errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return nil, err
		}
		h, err := parseHead(text(fields[0]))
		if err != nil {
			continue
		}
		waits[i].Type = h.kind
		created, _ := strconv.ParseInt(text(fields[1]), 10, 64)
		runAt, _ := strconv.ParseInt(text(fields[2]), 10, 64)
		if since := max(created, runAt); since > 0 {
			waits[i].Since = time.UnixMilli(since)
		}
	}
	return waits, nil
}

// Void tells of each ticket whether it can't bring a job to a worker any more:
// its job is gone, has ended, or has another ticket. A void one stays so. A record
// that can't be read, perhaps of a newer release, keeps its ticket.
func (s *Store) Void(ctx context.Context, tickets []job.Ticket) ([]bool, error) {
	if len(tickets) == 0 {
		return nil, nil
	}
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.SliceCmd, len(tickets))
	for i, t := range tickets {
		cmds[i] = pipe.HMGet(ctx, s.key(t.ID), "h", "m")
	}
	_, _ = pipe.Exec(ctx) // each command has its error too
	void := make([]bool, len(tickets))
	for i, cmd := range cmds {
		fields, err := cmd.Result()
		if redis.HasErrorPrefix(err, "WRONGTYPE") {
			continue
		}
		if err != nil {
			return nil, err
		}
		if fields[0] == nil && fields[1] == nil {
			void[i] = true
			continue
		}
		_, headErr := parseHead(text(fields[0]))
		m, err := parseMoving(text(fields[1]))
		if headErr == nil && err == nil {
			void[i] = m.state != job.Queued || m.delivery != tickets[i].Delivery
		}
	}
	return void, nil
}
