// Command leaker is a worker of which one type leaks a megabyte a second: e2e has its alarm raised.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"longshore/handlers"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

var leak = tasks.Definition[struct{}]{Type: "test.leak", Doc: "Leaks until it is canceled.", Lane: job.LaneIO,
	Timeout: 5 * time.Minute, MaxAttempts: 1}

var (
	mu   sync.Mutex
	kept [][]byte
)

//go:noinline
func leakHere(n int) {
	mu.Lock()
	defer mu.Unlock()
	piece := make([]byte, n)
	for i := range piece {
		piece[i] = 1 // until it is touched, no memory is behind it
	}
	kept = append(kept, piece)
}

func run(ctx context.Context, _ *handlers.Run, _ struct{}) (any, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		leakHere(1 << 20 / 10)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func main() {
	r := handlers.BuiltIn()
	handlers.Add(r, leak, run)
	worker.Main(r)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := worker.Run(ctx, worker.Config{MetricsAddr: "127.0.0.1:0", Connection: worker.Connection{
		RedisURL: os.Getenv("REDIS_URL"), BlobURL: os.Getenv("BLOB_URL"),
		Log: slog.New(slog.NewJSONHandler(os.Stdout, nil))}}, r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
