// Package operate is what an operator does with an installation: find and count jobs, group failures, do the
// same to many of them, pause queues and types, tell workers to drain. What takes a while is an operation,
// a hash in Redis that whoever sweeps carries on.
//
//	P:op:{<id>}     hash    one operation; 7 days from its last change
//	P:ops           zset    all of them, by their creation (ms)
//	P:ops:open      zset    those that are not done
//	P:ops:same:<h>  string  the operation that does this to this filter; while it lasts
//	P:pauses        hash    "queue:<lane>-<priority>", "queue:queue:<queue>" or "type:<type>" → who, when, why, until when: JSON
//	P:told:<worker> list    operations that a worker is to do; a minute
//	P:w:<worker>    string  what a worker says of itself beside its line in P:workers, JSON
//	P:gone          zset    workers that ended, JSON, by when; 14 days
//	P:stat:<step>   hash    a ring: step modulo its slots → the counters then, gzipped JSON (stats.go)
//	P:stat:took:<m> string  somebody has sampled this minute; two of them
//	P:hd:<s>:<n>    hash    "<bucket> <type>" → runs that ended in a span of 5m or an hour, by how long
//	P:profiles      list    profiles of memory that are kept as blobs, JSON, the newest first, five
//	P:recycling     string  the worker that starts itself anew, while the others wait; 12 minutes
//	P:profiled:<p>  string  that a process of program p has kept one by itself; an hour
package operate

import (
	"context"
	"log/slog"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/internal/blob"
	"longshore/internal/jobstore"
	"longshore/internal/queue"
	"longshore/job"
)

// A Desk is where an operator works. Its fields are all required but Retry and Gone.
type Desk struct {
	Redis  redis.UniversalClient
	Prefix string
	Store  *jobstore.Store
	Queue  *queue.Queue
	Blobs  blob.Store
	Log    *slog.Logger

	// Retry makes the retry of a job that ended and is in a view; by is who asks. nil: this process does no
	// retries, and leaves them to others.
	Retry func(ctx context.Context, of access.View, id job.ID, by string) error
	// Gone deletes the files of a job that was removed; nil = nobody does.
	Gone func(ctx context.Context, id job.ID) error

	kick  chan struct{} // there may be an operation to carry on
	logs  logBell       // who follows
	fence string        // of this process's claims of operations
}

// New makes a desk ready, and returns it.
func New(d *Desk) *Desk {
	d.kick, d.fence = make(chan struct{}, 1), jobstore.NewFence()
	return d
}
