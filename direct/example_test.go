package direct_test

import (
	"context"
	"fmt"
	"os"

	"longshore/direct"
	"longshore/job"
	"longshore/tasks"
)

// A Greeting is the payload of demo.greet. The worker has the same definition.
type Greeting struct {
	Name string `json:"name" doc:"whom to greet" maxLength:"100"`
}

var demoGreet = tasks.Definition[Greeting]{Type: "demo.greet", Doc: "A greeting.", Lane: job.LaneIO}

// A program beside the workers submits a job of a type of its own, waits for it and
// reads what it made.
func Example() {
	ctx := context.Background()
	c, err := direct.Open(ctx, direct.Config{Connection: direct.Connection{
		RedisURL: os.Getenv("REDIS_URL"), BlobURL: os.Getenv("BLOB_URL"),
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	snap, err := direct.Submit(ctx, c, demoGreet, Greeting{Name: "Ada"},
		direct.Submission{IdempotencyKey: "order-7"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if snap, err = c.Wait(ctx, snap.ID); err == nil {
		fmt.Println(snap.State, string(snap.Result))
	}
}
