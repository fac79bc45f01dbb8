package asynqjobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"longshore/client"
	"longshore/internal/asynqtask"
	"longshore/job"
)

// A Submitter takes jobs: a client.Client or a direct.Client.
type Submitter interface {
	Submit(context.Context, client.Submission) (job.Snapshot, error)
}

// Redis returns the client that asynq.NewClientFromRedisClient, NewSchedulerFromRedisClient and a
// PeriodicTaskManager (as its RedisUniversalClient) enqueue by. What they enqueue is submitted to the
// installation behind to. It connects to no Redis; all that isn't a producer's business it answers with an
// error, as it does everything where asynq is another than it knows.
func Redis(to Submitter, c Config) redis.UniversalClient {
	p := &producer{to: to, queues: targets(c.Queues)}
	return answering(func(ctx context.Context, q question) (any, error) {
		if to == nil {
			return nil, errors.New("asynqjobs.Redis was given nothing to submit jobs to")
		}
		if err := probeProducer(); err != nil {
			return nil, err
		}
		return p.answer(ctx, q)
	})
}

func targets(queues map[string]Target) map[string]asynqtask.Target {
	table := make(map[string]asynqtask.Target, len(queues))
	for name, to := range queues {
		table[name] = asynqtask.Target(to)
	}
	return table
}

// A Receipt tells of the job that an EnqueueContext has made.
type Receipt struct {
	// Job is the job's id: of the task's own, or where it was refused as a duplicate, or for its TaskID, of
	// the one that is there. "" = there is none.
	Job job.ID
	// Err is what the submission was refused with, as an error of package client where it came to that:
	// asynq's own error has only its text.
	Err error
}

type receiptKey struct{}

// WithReceipt returns a context, for one EnqueueContext, that brings back what became of it.
func WithReceipt(ctx context.Context) (context.Context, *Receipt) {
	r := &Receipt{}
	return context.WithValue(ctx, receiptKey{}, r), r
}

// What asynq's scripts answer.
const (
	enqueued  = int64(1)
	idIsTaken = int64(0)
	duplicate = int64(-1)
)

// A producer answers what asynq's client and schedulers ask their Redis.
type producer struct {
	to     Submitter
	queues map[string]asynqtask.Target
}

func (p *producer) answer(ctx context.Context, q question) (any, error) {
	switch q.script {
	case scriptEnqueue, scriptGroup, scriptGroupUnique:
		return p.enqueue(ctx, q.text(0), time.Time{})
	case scriptEnqueueUnique:
		return p.enqueue(ctx, q.text(2), time.Time{})
	case scriptSchedule:
		return p.enqueue(ctx, q.text(0), time.Unix(q.number(1), 0))
	case scriptScheduleUnique:
		return p.enqueue(ctx, q.text(3), time.Unix(q.number(2), 0))
	case scriptEntries, scriptEvent: // a scheduler's notes for asynq's tools
		return "OK", nil
	}
	key := string(q.text(0))
	switch {
	case q.name == "ping":
		return "PONG", nil
	case q.name == "sadd" && key == "asynq:queues":
		return int64(1), nil
	case strings.HasPrefix(key, "asynq:scheduler") && (q.name == "zadd" || q.name == "zrem" || q.name == "del"):
		return int64(1), nil
	}
	return nil, q.unanswered()
}

// enqueue submits a task and answers as the script would.
func (p *producer) enqueue(ctx context.Context, message []byte, at time.Time) (any, error) {
	receipt, _ := ctx.Value(receiptKey{}).(*Receipt)
	if receipt == nil {
		receipt = &Receipt{}
	}
	*receipt = Receipt{}
	task, err := asynqtask.Decode(message)
	var s client.Submission
	if err == nil {
		s, err = p.submission(task, at)
	}
	var snap job.Snapshot
	if err == nil {
		snap, err = p.to.Submit(ctx, s)
	}
	receipt.Job, receipt.Err = snap.ID, err
	var refused *client.Error
	switch {
	case err == nil:
		return enqueued, nil
	case errors.As(err, &refused) && refused.Code == client.Duplicate:
		receipt.Job = job.ID(refused.Job)
		if task.UniqueKey != "" {
			return duplicate, nil
		}
		return idIsTaken, nil
	}
	return nil, err
}

// submission is what a task asks for. The client draws an idempotency key for each, so a task whose
// answer was lost on the way is found again, and is no conflict with itself.
func (p *producer) submission(task asynqtask.Task, at time.Time) (client.Submission, error) {
	j, err := task.Job(time.Now(), at)
	if err != nil {
		return client.Submission{}, err
	}
	to, err := asynqtask.TargetOf(task.Queue, p.queues)
	if err != nil {
		return client.Submission{}, err
	}
	return client.Submission{Type: j.Type, Payload: json.RawMessage(j.Payload), Priority: to.Priority,
		Queue: to.Queue, RunAt: j.RunAt, Timeout: j.Timeout, ExpiresIn: j.ExpiresIn,
		MaxAttempts: j.MaxAttempts, Retention: j.Retention, UniqueKey: j.UniqueKey, UniqueUntil: j.UniqueUntil, OnConflict: "refuse"}, nil
}

// taker is a Submitter that keeps what it is given.
type taker struct {
	took []client.Submission
	err  error
}

func (t *taker) Submit(_ context.Context, s client.Submission) (job.Snapshot, error) {
	t.took = append(t.took, s)
	return job.Snapshot{ID: job.NewID(time.Now())}, t.err
}

// probeProducer has asynq's client enqueue in all its ways, and looks at what comes of it.
var probeProducer = sync.OnceValue(func() error {
	to := &taker{}
	c := asynq.NewClientFromRedisClient(answering((&producer{to: to}).answer))
	later := time.Now().Add(time.Hour)
	for _, opts := range [][]asynq.Option{{}, {asynq.Unique(time.Minute)}, {asynq.ProcessAt(later)},
		{asynq.ProcessAt(later), asynq.Unique(time.Minute)}} {
		scheduled, n := len(opts) > 0 && opts[0].Type() == asynq.ProcessAtOpt, len(to.took)
		opts = append(opts, asynq.Queue("critical"), asynq.MaxRetry(7), asynq.Timeout(90*time.Second),
			asynq.Retention(time.Hour))
		_, err := c.Enqueue(asynq.NewTask("probe:asynq", []byte(`{"probe":1}`)), opts...)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrOtherAsynq, err)
		}
		if len(to.took) != n+1 {
			return fmt.Errorf("%w: it made %d jobs of a task", ErrOtherAsynq, len(to.took)-n)
		}
		s := to.took[n]
		if s.Type != "probe:asynq" || s.Priority != job.High || s.MaxAttempts != 8 ||
			s.Timeout != 90*time.Second || s.Retention != time.Hour || s.RunAt.IsZero() == scheduled ||
			scheduled && s.RunAt.Unix() != later.Unix() {
			return fmt.Errorf("%w: it enqueued %+v", ErrOtherAsynq, s)
		}
	}
	to.err = &client.Error{Code: client.Duplicate}
	_, err := c.Enqueue(asynq.NewTask("probe:asynq", nil), asynq.TaskID("a"))
	_, second := c.Enqueue(asynq.NewTask("probe:asynq", nil), asynq.Unique(time.Minute))
	if !errors.Is(err, asynq.ErrTaskIDConflict) || !errors.Is(second, asynq.ErrDuplicateTask) {
		return fmt.Errorf("%w: conflicts are %w and %w", ErrOtherAsynq, err, second)
	}
	return nil
})
