package worker_test

import (
	"context"
	"errors"
	"fmt"

	"longshore/handlers"
	"longshore/job"
	"longshore/worker"
)

// A program is a worker in two calls: Main, in its first line, for the children of lane
// cpu, and Run, until its context ends. Settings that are wrong are told from a
// Redis that is away.
func Example() {
	registry := handlers.BuiltIn() // and handlers.Add for types of your own
	// worker.Main(registry) is the first line of main.

	err := worker.Run(context.Background(), worker.Config{
		Connection: worker.Connection{
			RedisURL: "http://localhost:6379", // a mistake
			BlobURL:  "file:data/blobs",
		},
		Lanes: []job.Lane{job.LaneIO},
	}, registry)
	fmt.Println(errors.Is(err, worker.ErrSettings))
	// Output: true
}
