//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"longshore/answer"
	"longshore/internal/asynqtask"
	"longshore/internal/httpapi"
)

const ledger = "move-ledger"

// oldQueues is an installation with asynq's queues in its Redis.
type oldQueues struct {
	*installation
	t      *testing.T
	url    string
	rdb    *redis.Client
	client *asynq.Client
}

func newOldQueues(t *testing.T) *oldQueues {
	t.Helper()
	in := install(t)
	o, err := redis.ParseURL(in.redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	q := &oldQueues{installation: in, t: t, rdb: redis.NewClient(o)}
	_, q.url = in.web(t)
	q.client = asynq.NewClientFromRedisClient(q.rdb)
	t.Cleanup(func() { _ = q.rdb.Close() })
	claimed(t, q.url, "mail.welcome", `,"timeout":"10m"`)
	return q
}

func (q *oldQueues) add(n int, options ...asynq.Option) {
	q.t.Helper()
	task := asynq.NewTask("mail.welcome", []byte(fmt.Sprintf(`{"n":%d}`, n)))
	if _, err := q.client.Enqueue(task, options...); err != nil {
		q.t.Fatal(err)
	}
}

// retried puts a task where asynq's server puts one that has failed twice.
func (q *oldQueues) retried(n int, queue string, in time.Duration) {
	q.t.Helper()
	id := fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
	task := asynqtask.Task{Type: "mail.welcome", ID: id, Queue: queue, Payload: []byte(fmt.Sprintf(`{"n":%d}`, n)),
		Retry: 25, Retried: 2, LastError: "no route", Timeout: 30 * time.Minute}
	pipe := q.rdb.TxPipeline()
	keys := "asynq:{" + queue + "}:"
	pipe.HSet(q.t.Context(), keys+"t:"+id, "msg", task.Encode(), "state", "retry")
	pipe.ZAdd(q.t.Context(), keys+"retry", redis.Z{Member: id, Score: float64(time.Now().Add(in).Unix())})
	if _, err := pipe.Exec(q.t.Context()); err != nil {
		q.t.Fatal(err)
	}
}

// fill enqueues tasks of all kinds from a number on.
func (q *oldQueues) fill(from, n int) {
	for i := from; i < from+n; i++ {
		queue := []string{"default", "low"}[i%2]
		switch soon := time.Duration(1+i%4) * time.Second; i % 6 {
		case 4:
			q.add(i, asynq.Queue(queue), asynq.ProcessIn(soon))
		case 5:
			q.retried(i, queue, soon)
		default:
			q.add(i, asynq.Queue(queue))
		}
	}
}

// onTheirWay waits until a mover has taken tasks, and a little longer, at most for some time.
func (q *oldQueues) onTheirWay(mover *process, most, longer time.Duration) bool {
	q.t.Helper()
	for until := time.Now().Add(most); time.Now().Before(until); {
		select {
		case <-mover.done:
			q.t.Fatalf("asynq-move ended by itself: %v", mover.lines)
		default:
		}
		if q.rdb.Exists(q.t.Context(), "asynq:{default}:longshore", "asynq:{low}:longshore").Val() > 0 {
			<-time.After(longer) // any moment of a kill will do
			return true
		}
	}
	return false
}

// claims runs jobs of mail.welcome until ctx ends, and notes them.
func (q *oldQueues) claims(ctx context.Context, note func(n int)) {
	c := &claimer{t: q.t, url: q.url, name: "host:1:moved"}
	for ctx.Err() == nil {
		var got answer.Claimed
		if c.post(httpapi.PathClaims, answer.ClaimRequest{Types: []string{"mail.*"}, N: 100, Wait: "1s", Key: drawKey(),
			Try: 1, Worker: c.name}, &got) >= 300 || len(got.Jobs) == 0 {
			continue
		}
		ends := make([]answer.FinishJob, len(got.Jobs))
		for i, j := range got.Jobs {
			note(number(q.t, j.Payload))
			ends[i] = answer.FinishJob{ID: j.ID, Claim: j.Claim, Result: json.RawMessage("null")}
		}
		c.post(httpapi.PathClaimsFinish, answer.FinishRequest{Jobs: ends}, nil)
	}
}

// number is which task a job was.
func number(t *testing.T, payload []byte) int {
	task, err := asynqtask.Unwrap(payload)
	var said struct{ N int }
	if err == nil {
		err = json.Unmarshal(task.Payload, &said)
	}
	if err != nil {
		t.Errorf("payload %s: %v", payload, err)
	}
	return said.N
}

// TestAsynqMoveKilled has asynq's server run on two queues while asynq-move, which is killed again and again,
// takes tasks out of them: each task runs once, there or as a job. LONGSHORE_MOVE=full has 10,000 tasks and
// 50 kills.
func TestAsynqMoveKilled(t *testing.T) {
	t.Parallel()
	rounds, each := 15, 200
	if os.Getenv("LONGSHORE_MOVE") == "full" {
		rounds, each = 50, 200
	}
	q := newOldQueues(t)
	var bySide [2]int
	var mu sync.Mutex
	seen := map[int]int{}
	note := func(side int) func(int) {
		return func(n int) {
			mu.Lock()
			defer mu.Unlock()
			seen[n]++
			bySide[side]++
		}
	}
	server := asynq.NewServerFromRedisClient(q.rdb, asynq.Config{Queues: map[string]int{"default": 2, "low": 1},
		Concurrency: 2, LogLevel: asynq.FatalLevel, TaskCheckInterval: 20 * time.Millisecond})
	if err := server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		var said struct{ N int }
		if err := json.Unmarshal(task.Payload(), &said); err != nil {
			t.Error(err)
		}
		<-time.After(4 * time.Millisecond) // work, so that there is something left to move
		note(0)(said.N)
		return q.rdb.LPush(context.Background(), ledger, said.N).Err()
	})); err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	ctx, stop := context.WithCancel(t.Context())
	var claiming sync.WaitGroup
	claiming.Go(func() { q.claims(ctx, note(1)) })
	defer claiming.Wait()
	defer stop()

	rng := rand.New(rand.NewPCG(1, 2))
	midway := 0
	for round := range rounds {
		mover := startProgram(t, "", q.env, "enqueue", "asynq-move", "--queues", "default,low", "--follow")
		q.fill(round*each, each)
		if q.onTheirWay(mover, 700*time.Millisecond, time.Duration(rng.IntN(12))*time.Millisecond) {
			midway++
		}
		_ = mover.cmd.Process.Signal(syscall.SIGKILL)
		<-mover.done
	}
	last := startProgram(t, "", q.env, "enqueue", "asynq-move", "--queues", "default,low", "--follow")
	all := rounds * each
	eventually(t, "all tasks have run", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == all
	})
	_ = last.cmd.Process.Signal(syscall.SIGTERM)
	<-last.done
	mu.Lock()
	defer mu.Unlock()
	for n, times := range seen {
		if times != 1 {
			t.Errorf("task %d ran %d times", n, times)
		}
	}
	if bySide[0] == 0 || bySide[1] == 0 {
		t.Errorf("%d tasks ran in asynq's server, %d as jobs", bySide[0], bySide[1])
	}
	t.Logf("%d tasks ran in asynq's server, %d as jobs; %d kills while some were on their way", bySide[0], bySide[1],
		midway)
	for _, queue := range []string{"default", "low"} {
		if n := q.rdb.Exists(t.Context(), "asynq:{"+queue+"}:longshore").Val(); n != 0 {
			t.Errorf("queue %s: something is left on its way", queue)
		}
	}
}

// TestAsynqMoveStrange moves tasks with ids of all kinds, those that were pushed into our queues too, and
// leaves what can't be moved: it is told by name.
func TestAsynqMoveStrange(t *testing.T) {
	t.Parallel()
	q := newOldQueues(t)
	ids := []string{"}{", "with  blanks", "exactly-16-bytes", "exactly-18-bytes--", "d5c2b0d6-52a1-4f0e-9f5c-0c2f7a3f1a11"}
	for i, id := range ids {
		q.add(i, asynq.TaskID(id))
		q.add(100+i, asynq.TaskID(id), asynq.Queue("longshore-io-default"))
	}
	q.add(50, asynq.Unique(time.Hour))
	q.add(51, asynq.Group("digest"))
	q.add(52, asynq.MaxRetry(200), asynq.TaskID("stubborn"))
	stranger := asynq.NewTask("nobody.serves", nil)
	if _, err := q.client.Enqueue(stranger, asynq.TaskID("unknown")); err != nil {
		t.Fatal(err)
	}
	q.worker(t) // takes tickets, and sets apart what are none
	eventually(t, "pushed tasks are set apart", func() bool {
		return q.rdb.LLen(t.Context(), "asynq:{longshore-io-default}:foreign").Val() == int64(len(ids))
	})
	if _, out, msg := call(t, "", q.env, "enqueue", "doctor"); !strings.Contains(out+msg, "5 tasks that an asynq client pushed") {
		t.Errorf("doctor: %s %s", out, msg)
	}
	code, out, msg := call(t, "", q.env, "enqueue", "asynq-move", "--queues", "default")
	if code != 1 || strings.Count(msg, `"stubborn" stays: MaxRetry is 200`) != 1 ||
		strings.Count(msg, `"unknown" stays: type: unknown type`) != 1 ||
		!strings.Contains(out, "default: 6 tasks are jobs now") || !strings.Contains(out, "longshore-io-default: 5 tasks") ||
		!strings.Contains(out, "1 in groups") {
		t.Fatalf("asynq-move: %d\n%s\n%s", code, out, msg)
	}
	q.add(50, asynq.Unique(time.Hour)) // the lock went with its task
	if code, out, msg := call(t, "", q.env, "enqueue", "asynq-move", "--queues", "longshore-io-default"); code != 2 {
		t.Errorf("our own queue: %d %s %s", code, out, msg)
	}
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	seen := map[int]int{}
	var claiming sync.WaitGroup
	claiming.Go(func() {
		q.claims(ctx, func(n int) {
			mu.Lock()
			defer mu.Unlock()
			seen[n]++
		})
	})
	eventually(t, "the jobs run", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == 11
	})
	stop()
	claiming.Wait()
}
