// Command own-worker is a worker with two types of its own beside the built-in
// ones. Start it next to the stock web, which learns of its types by itself:
//
//	REDIS_URL=redis://127.0.0.1:6379 BLOB_URL=file:///var/lib/longshore own-worker
//	curl --data-binary @README.md 'http://127.0.0.1:8080/v1/jobs/words.count?top=3'
//	curl -H 'Content-Type: application/json' -d '{"type":"fractal.render","payload":{"width":800}}' http://127.0.0.1:8080/v1/jobs
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"longshore/handlers"
	"longshore/worker"
)

// registry has everything that this program can do.
func registry() *handlers.Registry {
	r := handlers.BuiltIn()
	handlers.Add(r, wordsCount, countWords)
	handlers.Add(r, fractalRender, renderFractal)
	return r
}

func main() {
	// Jobs of lane cpu run in child processes of this program. There, Main does
	// not return; so it comes first.
	worker.Main(registry())

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	return worker.Run(ctx, worker.Config{
		Connection: worker.Connection{
			RedisURL: os.Getenv("REDIS_URL"),
			BlobURL:  os.Getenv("BLOB_URL"),
			Log:      slog.New(slog.NewJSONHandler(os.Stdout, nil)),
		},
		// Handlers of lane cpu run in processes that get next to nothing of this
		// one's environment: name here what they need, as DATABASE_URL.
		ChildEnv: nil, // []string{"DATABASE_URL"}
	}, registry())
}
