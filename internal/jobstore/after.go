package jobstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/internal/batch"
	"longshore/job"
)

// A job may be after others, which have to end before it. Their records may lie in other partitions, so no
// script sees all of them. Instead the job is made with the list of those that it is after, all of them
// open, and in state waiting. Then it enters itself at each one, which answers if it has ended already,
// and that is struck off the list; whoever ends one of them strikes it off for all that have entered
// themselves there. Each step may be repeated, and a sweep does so for a job that still waits: a list of
// letters says what is done.

// ErrNotHeld says that a job that was to be released was never held.
var ErrNotHeld = errors.New("job is not held")

// goneLetter stands in the list for the state of a job whose record is gone, openLetter for that of an
// open one.
const (
	goneLetter = "g"
	openLetter = "-"
)

// afterSize is the length of an entry of the list: an id and a letter.
const afterSize = 17

// waits tells that a job begins with waiting for others, or for a yes.
func (n *NewJob) waits() bool { return len(n.After) > 0 || n.Hold != "" || n.Type == job.BatchType }

// rare are the fields of x: that a new job has, as create reads them.
func (n *NewJob) rare() string {
	var b strings.Builder
	add := func(name, value string) {
		if value == "" {
			return
		}
		b.WriteString(name)
		b.Write(binary.BigEndian.AppendUint16(nil, uint16(len(value)))) // they were counted
		b.WriteString(value)
	}
	add("lb", n.Labels.String())
	add("bn", n.Name)
	if n.Type == job.BatchType {
		add("ba", batchOpen)
		add("th", n.Then.Raw())
	}
	add("ho", n.Hold)
	add("lm", strings.Join(n.Limits, " "))
	add("lk", n.LimitKey)
	add("uk", n.Unique.field(n.Owner))
	add("di", n.DeleteInput)
	if len(n.After) == 0 {
		return b.String()
	}
	var list strings.Builder
	for _, id := range n.After {
		list.WriteString(id.Raw() + openLetter)
	}
	add("af", list.String())
	if n.RunAnyway {
		add("ar", "1")
	}
	return b.String()
}

// afterOf reads the list of those that a job is after.
func afterOf(list string) []job.After {
	var all []job.After
	for ; len(list) >= afterSize; list = list[afterSize:] {
		a := job.After{ID: job.FromRaw(list[:16]), State: states[list[16:17]]}
		if list[16:17] == goneLetter {
			a.State = job.AfterGone
		}
		all = append(all, a)
	}
	return all
}

// enterNew enters a job that was just made at those that it is after. Where that fails a sweep does it.
func (s *Store) enterNew(ctx context.Context, n *NewJob) {
	if len(n.After) > 0 {
		_ = s.enter(ctx, n.ID, n.Owner.Of(), n.After)
	}
}

// enterAgain enters a job that waits wherever that may not have come to its end.
func (s *Store) enterAgain(ctx context.Context, id job.ID) error {
	list, err := s.rdb.HGet(ctx, s.base(id)+"x:"+id.Raw(), "af").Result()
	if err != nil {
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return fmt.Errorf("what %s is after: %w", id, err)
	}
	open := job.OpenOf(afterOf(list))
	if len(open) == 0 {
		return nil
	}
	r, err := s.read(ctx, id, false)
	if err != nil {
		return fmt.Errorf("who %s is of: %w", id, err)
	}
	return s.enter(ctx, id, r.Owner.Of(), open)
}

// enter enters a job of a tenant at others that it is after, and strikes off what has ended. Another
// tenant's is as if it were gone.
func (s *Store) enter(ctx context.Context, id job.ID, tenant string, before []job.ID) error {
	calls := make([]*batch.Call, len(before))
	for i, one := range before {
		calls[i] = s.call(one, id.Raw(), tenant)
	}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.enter, bulkSize, calls); err != nil {
		return fmt.Errorf("enter %s: %w", id, err)
	}
	var ended []*batch.Call
	for i, c := range calls {
		if text(c.Reply[0]) == "ended" {
			ended = append(ended, s.call(id, before[i].Raw(), text(c.Reply[1])))
		}
	}
	if len(ended) == 0 {
		return nil
	}
	return batch.RunAll(ctx, s.rdb, s.scripts.resolve, bulkSize, ended)
}

// settleAway tells jobs of other partitions how one ended that they are after.
func (s *Store) settleAway(ctx context.Context, before job.ID, letter string, after []string) error {
	calls, members := make([]*batch.Call, len(after)), make([]any, len(after))
	for i, raw := range after {
		calls[i], members[i] = s.call(job.FromRaw(raw), before.Raw(), letter), raw
	}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.resolve, bulkSize, calls); err != nil {
		return fmt.Errorf("jobs after %s: %w", before, err)
	}
	return s.rdb.ZRem(ctx, s.base(before)+"d:"+before.Raw(), members...).Err()
}

// Release lets a held job go; by is who does, "" = nobody says. A job that was released before stays so,
// and that is no error. Errors: job.ErrNotFound, ErrNotHeld, and ErrEnded of one that ended unreleased.
func (v Views) Release(ctx context.Context, by access.View, id job.ID, who string) (job.Snapshot, error) {
	c := v.s.callFor(by, id, who)
	if err := batch.RunAll(ctx, v.s.rdb, v.s.scripts.release, 1, []*batch.Call{c}); err != nil {
		return job.Snapshot{}, err
	}
	switch text(c.Reply[0]) {
	case "free":
		return job.Snapshot{}, ErrNotHeld
	case "ended":
		return job.Snapshot{}, ErrEnded
	}
	if err := v.s.answered(ctx, id, c.Reply); err != nil {
		return job.Snapshot{}, err
	}
	return v.Get(ctx, by, id)
}
