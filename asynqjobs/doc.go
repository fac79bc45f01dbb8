// Package asynqjobs has programs written for github.com/hibiken/asynq use Longshore: what they enqueue
// becomes jobs, and their handlers run as handlers of jobs. Only the lines change that made asynq's client
// and its server; docs/from-asynq.md says option by option what becomes of what.
//
// A producer gives asynq's client, its Scheduler or its PeriodicTaskManager a Redis of this package:
//
//	c, err := client.New(client.Config{URL: os.Getenv("LONGSHORE_URL"), Token: os.Getenv("LONGSHORE_TOKEN")})
//	producer := asynq.NewClientFromRedisClient(asynqjobs.Redis(c, asynqjobs.Config{}))
//	info, err := producer.Enqueue(asynq.NewTask("email:welcome", payload), asynq.MaxRetry(5))
//
// A worker registers the types that a mux, or any handler of asynq's, serves:
//
//	var r handlers.Registry
//	asynqjobs.Add(&r, mux, asynqjobs.Config{}, "email:welcome", "email:reminder")
//	worker.Main(&r)
//	err := worker.Run(ctx, worker.Config{…}, &r)
//
// Neither has a Redis behind it: asynq's own code runs, on a client whose commands are answered here. Those
// are the scripts of the asynq that this package knows; one that has others is refused when the program
// starts, rather than misunderstood.
package asynqjobs

import (
	"longshore/job"

	"github.com/hibiken/asynq"
)

// Config says how tasks and jobs belong together. A producer and its handlers should have the same Queues.
type Config struct {
	// Queues says where the jobs of a queue of asynq's wait. Of one that isn't there: critical is priority
	// high, default is default, low is low, and any other name is the queue of that name, if it may be one
	// ([a-z0-9][a-z0-9-]{0,31}), or else an error.
	Queues map[string]Target

	// The rest is for handlers.

	// Server is the configuration that the program gave asynq's server. RetryDelayFunc, IsFailure,
	// ErrorHandler, BaseContext, Logger, LogLevel and the health check hold as they did; GroupAggregator is
	// an error; all else is the worker's own business and is not looked at.
	Server asynq.Config
	// Lane is where jobs run: in the worker's process (io, the default) or
	// in a child of it that can be killed (cpu).
	Lane job.Lane
}

// A Target is where jobs wait.
type Target struct {
	Priority job.Priority // "" = default
	Queue    string       // "" = the default one
}
