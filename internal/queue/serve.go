package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// RingChannel is the channel on which producers ring; the text is a queue's name.
func (q *Queue) RingChannel() string { return q.prefix + ":ring" }

// A Server takes tickets and hands them to a handler.
type Server struct {
	queue *Queue
	gates map[job.Lane]*gate
	slots map[job.Lane]int
}

// loops is the number of dispatch loops of a lane: one asynq server dispatches
// one ticket a round trip whatever its concurrency is, several share the work.
const loops = 4

// NewServer returns a server with so many slots for each lane; a lane without
// slots is not served.
func (q *Queue) NewServer(slots map[job.Lane]int) *Server {
	s := &Server{queue: q, gates: map[job.Lane]*gate{}, slots: slots}
	for lane, n := range slots {
		if n > 0 {
			s.gates[lane] = newGate(q.names, lane)
		}
	}
	return s
}

// Ring wakes an idle loop. It is to be called for each message on
// RingChannel, and with "" after each connect.
func (s *Server) Ring(queue string) {
	for _, g := range s.gates {
		g.ring(queue)
	}
}

// Run takes tickets and calls handle for each, in a goroutine of its own, as
// many at once as the lane has slots. When ctx ends it takes no more, waits
// until every handle has returned, and returns.
func (s *Server) Run(ctx context.Context, handle func(context.Context, job.Ticket)) error {
	deaf := redis.NewClient(&redis.Options{DialerRetries: 1, MaxRetries: -1, MaintNotificationsConfig: nil,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("deaf") }})
	defer func() { _ = deaf.Close() }() // it never connected
	var servers []*asynq.Server
	var clients []*laneClient
	for lane, g := range s.gates {
		client := newLaneClient(s.queue.rdb, g, s.slots[lane], deaf)
		clients = append(clients, client)
		for _, slots := range split(s.slots[lane], loops) {
			srv := asynq.NewServerFromRedisClient(client, s.config(lane, slots))
			if err := srv.Start(asynq.HandlerFunc(s.handler(lane, client, handle))); err != nil {
				s.stop(servers)
				return fmt.Errorf("serve lane %s: %w", lane, err)
			}
			servers = append(servers, srv)
		}
	}
	<-ctx.Done()
	s.stop(servers)
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTimeout)
	defer cancel()
	for _, c := range clients {
		if err := c.giveBack(back); err != nil {
			s.queue.log.WarnContext(back, "tickets not given back, the sweeper will find them", "error", err)
		}
	}
	return nil
}

const giveBackTimeout = 2 * time.Second

func (s *Server) stop(servers []*asynq.Server) {
	for _, g := range s.gates {
		g.close()
	}
	var wg sync.WaitGroup
	for _, srv := range servers {
		wg.Go(srv.Shutdown)
	}
	wg.Wait()
}

func (s *Server) config(lane job.Lane, slots int) asynq.Config {
	queues := map[string]int{}
	for _, n := range s.queue.names {
		if n.lane == lane {
			queues[n.name] = weight(n.priority)
		}
	}
	return asynq.Config{
		Concurrency: slots, Queues: queues,
		TaskCheckInterval: time.Millisecond,     // the gate does the waiting
		ShutdownTimeout:   365 * 24 * time.Hour, // handlers end by our own clock
		// Our records know what is due; asynq's own rounds only clear up.
		DelayedTaskCheckInterval: 10 * time.Second, JanitorInterval: time.Hour, HealthCheckInterval: time.Hour,
		Logger: logger{s.queue.log}, LogLevel: asynq.WarnLevel,
	}
}

// handler unpacks the ticket. It always tells asynq "done": the record knows
// what is still to do.
func (s *Server) handler(lane job.Lane, client *laneClient, handle func(context.Context, job.Ticket)) func(context.Context, *asynq.Task) error {
	return func(ctx context.Context, task *asynq.Task) error {
		defer client.handled()
		name, _ := asynq.GetTaskID(ctx)
		id, delivery, err := parseTaskID(name)
		if err != nil {
			s.queue.log.ErrorContext(ctx, "ticket thrown away", "error", err)
			return nil
		}
		queue, _ := asynq.GetQueueName(ctx)
		priority := job.Priority(queue[strings.LastIndexByte(queue, '-')+1:])
		// asynq's context ends by asynq's clocks and leases; a job must not.
		handle(context.WithoutCancel(ctx), job.Ticket{ID: id, Delivery: delivery, Type: task.Type(), Lane: lane, Priority: priority})
		return nil
	}
}

// split shares n slots among at most parts servers.
func split(n, parts int) []int {
	parts = max(1, min(n, parts))
	shares := make([]int, parts)
	for i := range n {
		shares[i%parts]++
	}
	return shares
}

// logger passes asynq's words on.
type logger struct{ log *slog.Logger }

func (l logger) Debug(args ...any) {}
func (l logger) Info(args ...any)  {}
func (l logger) Warn(args ...any)  { l.log.Debug("asynq", "says", fmt.Sprint(args...)) }
func (l logger) Error(args ...any) {
	text := fmt.Sprint(args...)
	if strings.Contains(text, "cancelation channel") {
		return // it is deaf on purpose
	}
	l.log.Warn("asynq", "says", text)
}
func (l logger) Fatal(args ...any) { l.log.Error("asynq", "says", fmt.Sprint(args...)) }
