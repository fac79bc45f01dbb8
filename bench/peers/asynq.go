package main

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/hibiken/asynq"
)

// asynqSlots is asynq's best of 2, 16, 64, 256 and 1,024 here.
const asynqSlots = 256

var asynqRole = role{
	// bulk: asynq has no bulk call; 64 goroutines are its best.
	bulk: func(ctx context.Context, url string, n int) error {
		client, err := asynqClient(url)
		if err != nil {
			return err
		}
		defer client.Close()
		var wg sync.WaitGroup
		var left atomic.Int64
		left.Store(int64(n))
		errs := make(chan error, 64)
		for range 64 {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					if err := asynqSubmit(ctx, client, Args{}); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		return <-errs
	},
	trickle: func(ctx context.Context, url string, each func(func(Args) error) error) error {
		client, err := asynqClient(url)
		if err != nil {
			return err
		}
		defer client.Close()
		return each(func(a Args) error { return asynqSubmit(ctx, client, a) })
	},
	work: func(ctx context.Context, url string, t *tally) error {
		opt, err := asynq.ParseRedisURI(url)
		if err != nil {
			return err
		}
		srv := asynq.NewServer(opt, asynq.Config{Concurrency: asynqSlots, LogLevel: asynq.ErrorLevel})
		err = srv.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
			var a Args
			if err := json.Unmarshal(task.Payload(), &a); err != nil {
				return err
			}
			t.job(a)
			return nil
		}))
		if err != nil {
			return err
		}
		t.ready()
		<-ctx.Done()
		srv.Shutdown()
		return nil
	},
}

func asynqClient(url string) (*asynq.Client, error) {
	opt, err := asynq.ParseRedisURI(url)
	if err != nil {
		return nil, err
	}
	return asynq.NewClient(opt), nil
}

func asynqSubmit(ctx context.Context, client *asynq.Client, a Args) error {
	payload, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = client.EnqueueContext(ctx, asynq.NewTask("bench.noop", payload))
	return err
}
