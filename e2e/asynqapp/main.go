// Command asynqapp is a worker as somebody has it who comes from asynq: handlers, a mux and its middleware as
// they were, and in the place of asynq's server one of ours. e2e drives it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hibiken/asynq"

	"longshore/asynqjobs"
	"longshore/handlers"
	"longshore/job"
	"longshore/worker"
)

type welcome struct {
	UserID int `json:"user_id"`
}

func sendWelcome(ctx context.Context, t *asynq.Task) error {
	var p welcome
	if err := json.Unmarshal(t.Payload(), &p); err != nil {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	}
	id, _ := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	return json.NewEncoder(t.ResultWriter()).Encode(map[string]any{"user": p.UserID, "task": id, "queue": queue})
}

func echo(_ context.Context, t *asynq.Task) error {
	_, err := t.ResultWriter().Write(append([]byte("got:"), t.Payload()...))
	return err
}

// remind fails at first, as mail servers do.
func remind(ctx context.Context, _ *asynq.Task) error {
	if n, _ := asynq.GetRetryCount(ctx); n == 0 {
		return errors.New("the mail server is busy")
	}
	return nil
}

// deaf looks at no context, and gives nobody else a turn.
func deaf(context.Context, *asynq.Task) error {
	for n := 0; ; n++ {
		if n < 0 {
			return errors.New("the sky has fallen")
		}
	}
}

func registry() *handlers.Registry {
	mux := asynq.NewServeMux()
	mux.Use(func(next asynq.Handler) asynq.Handler {
		return asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
			began := time.Now()
			err := next.ProcessTask(ctx, t)
			slog.InfoContext(ctx, "task has run", "type", t.Type(), "took", time.Since(began), "error", err)
			return err
		})
	})
	mux.HandleFunc("email:welcome", sendWelcome)
	mux.HandleFunc("email:reminder", remind)
	mux.HandleFunc("email:echo", echo)
	mux.HandleFunc("email:panic", func(context.Context, *asynq.Task) error { panic("no such template") })
	mux.HandleFunc("email:gone", func(context.Context, *asynq.Task) error { return asynq.RevokeTask })
	mux.HandleFunc("report:deaf", deaf)
	mux.HandleFunc("report:weekly", func(ctx context.Context, t *asynq.Task) error {
		if err := remind(ctx, t); err != nil {
			return err
		}
		return asynq.RevokeTask
	})

	c := asynqjobs.Config{Server: asynq.Config{Concurrency: 10,
		Queues:         map[string]int{"critical": 6, "default": 3, "low": 1},
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return 100 * time.Millisecond }}}
	var r handlers.Registry
	asynqjobs.Add(&r, mux, c, "email:welcome", "email:reminder", "email:echo", "email:panic", "email:gone")
	c.Lane = job.LaneCPU
	asynqjobs.Add(&r, mux, c, "report:deaf", "report:weekly")
	return &r
}

func main() {
	r := registry()
	worker.Main(r)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := worker.Run(ctx, worker.Config{ShutdownGrace: 5 * time.Second, Connection: worker.Connection{
		RedisURL: os.Getenv("REDIS_URL"), BlobURL: os.Getenv("BLOB_URL"),
		Log: slog.New(slog.NewJSONHandler(os.Stdout, nil))}}, r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
