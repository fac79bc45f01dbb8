package asynqjobs_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hibiken/asynq"

	"longshore/asynqjobs"
	"longshore/client"
	"longshore/handlers"
	"longshore/job"
)

// A program that enqueued tasks and served them with asynq: the two lines with asynqjobs are what changes.
func Example() {
	mux := asynq.NewServeMux()
	mux.HandleFunc("email:welcome", func(_ context.Context, t *asynq.Task) error {
		var p struct {
			UserID int `json:"user_id"`
		}
		return json.Unmarshal(t.Payload(), &p)
	})
	var r handlers.Registry
	asynqjobs.Add(&r, mux, asynqjobs.Config{Server: asynq.Config{LogLevel: asynq.WarnLevel}}, "email:welcome")
	fmt.Println(r.Types(), r.Err()) // for worker.Main and worker.Run

	producer := asynq.NewClientFromRedisClient(asynqjobs.Redis(shown{}, asynqjobs.Config{}))
	_, err := producer.Enqueue(asynq.NewTask("email:welcome", []byte(`{"user_id":42}`)), asynq.Queue("critical"),
		asynq.MaxRetry(5))
	fmt.Println(err)
	// Output:
	// [email:welcome] <nil>
	// email:welcome {"user_id":42} priority high, 6 attempts
	// <nil>
}

// shown stands for a client.Client, or a direct.Client.
type shown struct{}

func (shown) Submit(_ context.Context, s client.Submission) (job.Snapshot, error) {
	fmt.Printf("%s %s priority %s, %d attempts\n", s.Type, s.Payload, s.Priority, s.MaxAttempts)
	return job.Snapshot{}, nil
}
