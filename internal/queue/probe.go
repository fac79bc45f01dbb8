package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"longshore/internal/jobstore"
	"longshore/job"
)

// ErrOtherAsynq says that asynq writes or reads other keys or messages than the record's scripts do:
// its tools would show wrong things.
var ErrOtherAsynq = errors.New("asynq keeps its queues in another way than this release knows")

// Knows says which asynq this program is built with, and which ticket it writes: what Probe compares.
func Knows() string {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/hibiken/asynq" {
				version = m.Version
			}
		}
	}
	return fmt.Sprintf("%s %q", version, jobstore.TicketMessage(""))
}

// Probe has asynq write a task, and read a ticket of ours, in a queue that is there for that,
// and compares. It tells asynq of the queues too. Errors: ErrOtherAsynq, or Redis's.
func (q *Queue) Probe(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	id := job.NewID(time.Now())
	name := jobstore.QueueName(q.prefix, "probe-"+string(id)[24:], 0, q.parts)
	keys, entry, theirs := jobstore.QueueKeys(name), jobstore.Entry(id, 1),
		strings.ReplaceAll(string(id), "-", "")
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeTimeout)
		defer cancel()
		gone := q.rdb.Del(ctx, keys+"pending", keys+"t:"+entry, keys+"t:"+theirs, keys+"paused").Err()
		err = errors.Join(err, gone, q.rdb.SRem(ctx, "asynq:queues", name).Err())
	}()
	_, err = asynq.NewClientFromRedisClient(q.rdb).EnqueueContext(ctx, asynq.NewTask("j", nil),
		asynq.TaskID(theirs), asynq.Queue(name), asynq.MaxRetry(0), asynq.Timeout(time.Second))
	if err != nil {
		return fmt.Errorf("probe asynq: %w", err)
	}
	if err := q.compare(ctx, keys, theirs, jobstore.TicketMessage(id)); err != nil {
		return err
	}
	if err := q.rdb.HSet(ctx, keys+"t:"+entry, "msg", jobstore.TicketMessage(id)).Err(); err != nil {
		return err
	}
	if err := q.rdb.LPush(ctx, keys+"pending", entry).Err(); err != nil {
		return err
	}
	tasks, err := q.inspector.ListPendingTasks(name)
	if err != nil {
		return fmt.Errorf("%w: its list of our tickets: %w", ErrOtherAsynq, err)
	}
	if n := len(tasks); n != 2 ||
		slices.ContainsFunc(tasks, func(t *asynq.TaskInfo) bool { return t.ID != theirs || t.Type != "j" }) {
		return fmt.Errorf("%w: its list has %d of 2 tickets", ErrOtherAsynq, n)
	}
	info, err := q.inspector.GetQueueInfo(name)
	if err != nil || info.Pending != 2 {
		return fmt.Errorf("%w: it counts %+v: %w", ErrOtherAsynq, info, err)
	}
	if err := q.inspector.PauseQueue(name); err != nil {
		return fmt.Errorf("%w: its pause: %w", ErrOtherAsynq, err)
	}
	if n, err := q.rdb.Exists(ctx, keys+"paused").Result(); err != nil || n != 1 {
		return errors.Join(fmt.Errorf("%w: its pause is not seen", ErrOtherAsynq), err)
	}
	return q.register(ctx)
}

// compare looks at what asynq has written for a task: in the list its id, under a key its message,
// which begins as ours.
func (q *Queue) compare(ctx context.Context, keys, id, message string) error {
	entries, err := q.rdb.LRange(ctx, keys+"pending", 0, -1).Result()
	if err != nil {
		return err
	}
	if !slices.Equal(entries, []string{id}) {
		return fmt.Errorf("%w: its list has %d entries", ErrOtherAsynq, len(entries))
	}
	msg, err := q.rdb.HGet(ctx, keys+"t:"+id, "msg").Result()
	if err != nil || !strings.HasPrefix(msg, message) {
		return errors.Join(fmt.Errorf("%w: its message is %q", ErrOtherAsynq, msg), err)
	}
	return nil
}
