package queue

import (
	"context"
	"fmt"
	"math/rand/v2"

	"longshore/internal/jobstore"
	"longshore/job"
)

// Bounds of one call of DropVoid: a page is one short call of Redis.
const (
	voidPage  = 500
	voidPages = 64
)

// DropVoid throws tickets away whose jobs don't wait any more: canceled,
// expired or removed. What is pending meets a worker, which does so; what is
// parked, or in a queue that isn't the default one, may never meet one. It is to be
// called now and then, by one process: it looks at the oldest, on while all of them
// are void, and at a part drawn by lot.
func (q *Queue) DropVoid(ctx context.Context, store *jobstore.Store) error {
	left, names := voidPages, q.all()
	for _, i := range rand.Perm(len(names)) {
		n := names[i]
		types, err := q.rdb.SMembers(ctx, n.keys+"parked").Result()
		if err != nil {
			return fmt.Errorf("list parked types: %w", err)
		}
		if n.at.Queue != "" || n.at.Claimable != "" {
			types = append(types, pendingType)
		}
		for _, j := range rand.Perm(len(types)) {
			if err := q.dropVoid(ctx, store, n, types[j], &left); err != nil {
				return fmt.Errorf("throw void tickets away: %w", err)
			}
			if left <= 0 {
				return nil
			}
		}
	}
	return nil
}

// pendingType stands for what is pending, of any type.
const pendingType = ""

// listOf is the key of a type's list.
func (n queueName) listOf(typ string) string {
	if typ == pendingType {
		return n.keys + "pending"
	}
	return n.keys + "pending:type:" + typ
}

// dropVoid does so for one type; left is how many pages may be looked at.
func (q *Queue) dropVoid(
	ctx context.Context, store *jobstore.Store, n queueName, typ string, left *int,
) error {
	all := true
	for all && *left > 0 {
		var err error
		if all, err = q.dropPage(ctx, store, n, typ, 0); err != nil {
			return err
		}
		*left--
	}
	count, err := q.rdb.LLen(ctx, n.listOf(typ)).Result()
	if err != nil || count <= voidPage || *left <= 0 {
		return err
	}
	*left--
	_, err = q.dropPage(ctx, store, n, typ, rand.Int64N(count-voidPage)+1)
	return err
}

// dropPage looks at a page of a type's list that has some older tickets behind
// it. all says that the page was full, and all of it void.
func (q *Queue) dropPage(
	ctx context.Context, store *jobstore.Store, n queueName, typ string, older int64,
) (all bool, err error) {
	names, err := q.rdb.LRange(ctx, n.listOf(typ), -older-voidPage, -older-1).Result()
	if err != nil || len(names) == 0 {
		return false, err
	}
	args := []any{typ, n.at.Name(), older, voidPage}
	tickets := make([]job.Ticket, 0, len(names))
	for _, name := range names {
		t := job.Ticket{Lane: n.at.Lane, Priority: n.at.Priority, Queue: n.at.Queue, Type: typ}
		var ok bool
		if t.ID, t.Delivery, ok = jobstore.ParseEntry(name); !ok {
			args = append(args, name) // garbage
			continue
		}
		tickets = append(tickets, t)
	}
	void, err := store.Void(ctx, tickets)
	if err != nil {
		return false, err
	}
	for i, t := range tickets {
		if void[i] {
			args = append(args, jobstore.Entry(t.ID, t.Delivery))
		}
	}
	if len(args) == 4 {
		return false, nil
	}
	keys := []string{n.keys + "pending", jobstore.CountsKey(q.prefix, n.part)}
	reply, err := voidScript.Run(ctx, q.rdb, keys, args...).Int64Slice()
	if err != nil || len(reply) != 2 {
		return false, err
	}
	store.TellForeign(ctx, reply[1])
	return reply[0] == voidPage, nil
}
