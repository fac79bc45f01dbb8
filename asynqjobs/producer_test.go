package asynqjobs

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"longshore/client"
	"longshore/job"
)

// TestSubmission says what of a task becomes what of a submission.
func TestSubmission(t *testing.T) {
	t.Parallel()
	to := &taker{}
	c := asynq.NewClientFromRedisClient(Redis(to, Config{Queues: map[string]Target{"E-Mails": {job.High, "mails"}}}))
	if err := c.Ping(); err != nil {
		t.Error(err)
	}
	later := time.Unix(time.Now().Add(time.Hour).Unix(), 0)
	for name, one := range map[string]struct {
		opts []asynq.Option
		want func(*client.Submission)
	}{
		"as it is": {nil, func(*client.Submission) {}},
		"options": {[]asynq.Option{asynq.MaxRetry(0), asynq.Timeout(time.Minute), asynq.Queue("E-Mails"),
			asynq.ProcessAt(later)}, func(s *client.Submission) {
			s.MaxAttempts, s.Timeout, s.Priority, s.Queue, s.RunAt = 1, time.Minute, job.High, "mails", later
		}},
		"kept": {[]asynq.Option{asynq.Retention(time.Hour), asynq.Queue("low")}, func(s *client.Submission) {
			s.Retention, s.UniqueUntil, s.Priority = time.Hour, "removed", job.Low
		}},
		"unique": {[]asynq.Option{asynq.Unique(time.Hour), asynq.Queue("reports")}, func(s *client.Submission) {
			s.Queue = "reports"
		}},
	} {
		if _, err := c.Enqueue(asynq.NewTask("email:welcome", []byte(`{"user":7}`)), one.opts...); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := to.took[len(to.took)-1]
		want := client.Submission{Type: "email:welcome", Payload: json.RawMessage(`{"user":7}`), MaxAttempts: 26,
			Timeout: 30 * time.Minute, UniqueUntil: "ended", OnConflict: "refuse", UniqueKey: got.UniqueKey}
		one.want(&want)
		if diff := cmp.Diff(want, got); diff != "" || strings.HasPrefix(got.UniqueKey, "asynq-unique:") != (name == "unique") {
			t.Errorf("%s (%s):\n%s", name, got.UniqueKey, diff)
		}
	}
}

// TestNotTaken lists what is refused, with words for whoever reads the error, and never a panic.
func TestNotTaken(t *testing.T) {
	t.Parallel()
	to := &taker{}
	rdb := Redis(to, Config{})
	c := asynq.NewClientFromRedisClient(rdb)
	task := asynq.NewTask("email:welcome", []byte(`{}`))
	for word, enqueue := range map[string]func() error{
		"group":           func() error { return second(c.Enqueue(task, asynq.Group("g"))) },
		"of a group":      func() error { return second(c.Enqueue(task, asynq.Group("g"), asynq.Unique(time.Hour))) },
		"MaxRetry is 100": func() error { return second(c.Enqueue(task, asynq.MaxRetry(100))) },
		"over 49152":      func() error { return second(c.Enqueue(asynq.NewTask("a", make([]byte, 1<<20)))) },
		"[A-Za-z0-9_]":    func() error { return second(c.Enqueue(asynq.NewTask("a b", nil))) },
		"one of the two":  func() error { return second(c.Enqueue(task, asynq.TaskID("a"), asynq.Unique(time.Hour))) },
		"no queue is":     func() error { return second(c.Enqueue(task, asynq.Queue("E-Mails"))) },
		"over 24h":        func() error { return second(c.Enqueue(task, asynq.Timeout(25*time.Hour))) },
		`no "smembers"`:   func() error { return second(asynq.NewInspectorFromRedisClient(rdb).Queues()) },
		`no "get"`:        func() error { return rdb.Get(t.Context(), "a").Err() },
		`no "pipeline"`: func() error {
			_, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error { return p.Get(t.Context(), "a").Err() })
			return err
		},
		"another":  func() error { return rdb.Eval(t.Context(), "return 1", nil).Err() },
		"no Redis": func() error { return second(rdb.Subscribe(t.Context(), "a").Receive(t.Context())) },
		"nothing":  func() error { return asynq.NewClientFromRedisClient(Redis(nil, Config{})).Ping() },
		"sadd":     func() error { return rdb.SAdd(t.Context(), "asynq:other", "a").Err() },
	} {
		if err := enqueue(); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", word, err)
		}
	}
	if len(to.took) > 0 {
		t.Errorf("%d tasks were taken", len(to.took))
	}
	to.err = &client.Error{Code: client.Invalid, Detail: "payload: no"}
	ctx, receipt := WithReceipt(t.Context())
	_, err := c.EnqueueContext(ctx, task)
	if refused := (*client.Error)(nil); err == nil || !errors.As(receipt.Err, &refused) ||
		refused.Code != client.Invalid {
		t.Errorf("what the submission says: %v, %v", err, receipt.Err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	to.err = nil
	if _, err := c.EnqueueContext(ctx, task); err != nil {
		t.Errorf("a Submitter that asks no context: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
