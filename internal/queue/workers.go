package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hibiken/asynq"

	"longshore/job"
)

// A WorkerInfo is one worker process that is alive.
type WorkerInfo struct {
	Host  string
	PID   int
	Slots map[job.Lane]int // of the lanes that it serves
}

// Workers lists the worker processes that have been heard of lately (asynq's
// heartbeat, 5 s), sorted by host and process id. One that was killed is listed
// for some seconds more.
func (q *Queue) Workers(ctx context.Context) ([]WorkerInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	servers, err := asynq.NewInspectorFromRedisClient(q.rdb).Servers()
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	type process struct {
		host string
		pid  int
	}
	found := map[process]WorkerInfo{}
	for _, s := range servers {
		for name := range s.Queues {
			lane, ok := q.laneOf(name)
			if !ok {
				continue // of another installation
			}
			p := process{s.Host, s.PID}
			w, ok := found[p]
			if !ok {
				w = WorkerInfo{Host: s.Host, PID: s.PID, Slots: map[job.Lane]int{}}
				found[p] = w
			}
			w.Slots[lane] += s.Concurrency
			break // the other queues are the lane's other priorities
		}
	}
	var workers []WorkerInfo
	for _, w := range found {
		workers = append(workers, w)
	}
	slices.SortFunc(workers, func(a, b WorkerInfo) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), cmp.Compare(a.PID, b.PID))
	})
	return workers, nil
}

func (q *Queue) laneOf(name string) (job.Lane, bool) {
	for _, n := range q.names {
		if n.name == name {
			return n.lane, true
		}
	}
	return "", false
}
