package queue

import (
	"context"
	_ "embed"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/redisdb"
)

// A laneClient is the Redis client that one lane's asynq servers get. It
// answers asynq's two calls for each ticket itself: the dequeue, which waits at
// the gate instead of polling, and the completion. Both are done for many
// tickets at once, since a round trip each is what bounds stock asynq. The keys
// and what is in them stay asynq's, as its tools expect them.
type laneClient struct {
	redis.UniversalClient
	gate  *gate
	done  *redisdb.Batcher
	deaf  *redis.Client
	slots int

	asking chan struct{} // held by the one loop that asks

	mu    sync.Mutex
	taken []taken // not handed out yet
	busy  int     // tickets handed out whose handler runs
}

// A taken ticket is listed as active; message is what asynq wants to see of it.
type taken struct {
	queue       string // prefix of its keys
	id, message string
}

// takeScript is asynq's dequeue (internal/rdb, dequeueCmd) for as many tickets
// as there are free slots, without asynq's lease: the record's lease is the one
// that counts, and the sweeper discards what a dead worker held. An id without
// a task is thrown away.
var takeScript = redis.NewScript(takeSource)

//go:embed take.lua
var takeSource string

// doneScript is asynq's completion (internal/rdb, doneCmd) of many tickets.
var doneScript = redis.NewScript(doneSource)

//go:embed done.lua
var doneSource string

const (
	doneSize    = 64
	takeSize    = 64
	takeTimeout = 5 * time.Second
)

func newLaneClient(rdb redis.UniversalClient, g *gate, slots int, deaf *redis.Client) *laneClient {
	return &laneClient{UniversalClient: rdb, gate: g, slots: slots, deaf: deaf, done: redisdb.NewBatcher(rdb, doneScript, doneSize),
		asking: make(chan struct{}, 1)}
}

// EvalSha answers asynq's dequeue and completion, and passes all else on.
func (c *laneClient) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	switch {
	case isDequeue(keys):
		return c.dequeue(ctx)
	case isDone(keys):
		return c.complete(ctx, keys, args)
	default:
		return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	}
}

// Subscribe returns a subscription that hears nothing and costs no
// connection: asynq's cancel channel is not used here.
func (c *laneClient) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return c.deaf.Subscribe(ctx, channels...)
}

// isDequeue tells asynq's dequeue by its keys: pending, paused, active, lease.
func isDequeue(keys []string) bool {
	return len(keys) == 4 && strings.HasSuffix(keys[1], ":paused")
}

// isDone tells asynq's completion by its keys: active, lease, task,
// processed:<date>, processed.
func isDone(keys []string) bool {
	return len(keys) == 5 && strings.HasSuffix(keys[0], ":active") && strings.HasSuffix(keys[4], ":processed")
}

// complete is asynq's done of one ticket, batched.
func (c *laneClient) complete(ctx context.Context, keys []string, args []any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	reply, err := c.done.Do(ctx, keys[2], append(args[:len(args):len(args)], keys[3])...)
	switch {
	case err != nil:
		cmd.SetErr(err)
	case reply[0] != "ok":
		cmd.SetErr(errors.New("NOT FOUND")) // asynq's own word
	default:
		cmd.SetVal("OK")
	}
	return cmd
}

const (
	// longestSleep bounds one dequeue: asynq counts the lease of the ticket from
	// the call's begin.
	longestSleep = time.Second
	// errorPause is slept after a failed ask; asynq itself would ask again at once.
	errorPause = 200 * time.Millisecond
)

// dequeue waits for a ticket of the lane, for a second or so at most.
func (c *laneClient) dequeue(ctx context.Context) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	c.asking <- struct{}{} // the loop that has it waits a second at most
	defer func() { <-c.asking }()
	message, err := c.next(ctx)
	switch {
	case err != nil:
		cmd.SetErr(err)
	case message == "":
		cmd.SetErr(redis.Nil)
	default:
		cmd.SetVal(message)
	}
	return cmd
}

// next returns a ticket that was taken already, or takes as many as there are
// free slots; "" = there is none.
func (c *laneClient) next(ctx context.Context) (string, error) {
	deadline := time.Now().Add(longestSleep)
	for {
		if message := c.handOut(); message != "" {
			return message, nil
		}
		s, rings := c.gate.pick(deadline)
		if s == nil {
			return "", nil
		}
		err := c.take(ctx, s, rings)
		if err != nil {
			c.gate.rest(errorPause)
			return "", err
		}
	}
}

func (c *laneClient) handOut() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.taken) == 0 {
		return ""
	}
	message := c.taken[0].message
	c.taken = c.taken[1:]
	c.busy++
	return message
}

// handled says that a handler has returned.
func (c *laneClient) handled() {
	c.mu.Lock()
	c.busy--
	c.mu.Unlock()
}

// take takes tickets from a queue.
func (c *laneClient) take(ctx context.Context, s *source, rings uint64) error {
	c.mu.Lock()
	n := min(max(1, c.slots-c.busy), takeSize) // the loop that asks has a slot
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	pairs, err := takeScript.Run(ctx, c.UniversalClient, []string{s.keys + "pending", s.keys + "paused", s.keys + "active"},
		s.keys+"t:", n).StringSlice()
	if err != nil {
		return err
	}
	c.gate.found(s, rings, len(pairs) == 2*n)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; i+1 < len(pairs); i += 2 {
		c.taken = append(c.taken, taken{s.keys, pairs[i], pairs[i+1]})
	}
	return nil
}

// giveBackScript puts a ticket that was taken back where it came from. KEYS:
// active, pending, task; ARGV: the id.
var giveBackScript = redis.NewScript(`
if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[3], 'state', 'pending')
redis.call('RPUSH', KEYS[2], ARGV[1])
return 1`)

// giveBack returns what was taken and not handed out, when no loop runs any more.
func (c *laneClient) giveBack(ctx context.Context) error {
	var errs []error
	for i := len(c.taken) - 1; i >= 0; i-- { // the first one goes back last, to the very head
		t := c.taken[i]
		errs = append(errs, giveBackScript.Run(ctx, c.UniversalClient, []string{t.queue + "active", t.queue + "pending", t.queue + "t:" + t.id}, t.id).Err())
	}
	c.taken = nil
	return errors.Join(errs...)
}
