package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// A recorder is the Redis client that asynq's producer gets. asynq sends one
// task a round trip; the recorder keeps each call instead, so that many
// tickets and the ring go out together, in asynq's own words.
type recorder struct {
	redis.UniversalClient
	mu      sync.RWMutex
	sources map[string]string // SHA-1 → script
}

func newRecorder(rdb redis.UniversalClient) *recorder {
	return &recorder{UniversalClient: rdb, sources: map[string]string{}}
}

type recordingKey struct{}

// A recording is the script calls of one Enqueue.
type recording struct{ calls []recorded }

type recorded struct {
	sha  string
	keys []string
	args []any
}

// EvalSha keeps the call and answers 1, asynq's word for "enqueued". For a
// script not met before it answers NOSCRIPT, upon which asynq calls Eval with the source.
func (r *recorder) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	r.mu.RLock()
	_, known := r.sources[sha]
	r.mu.RUnlock()
	if !known {
		cmd.SetErr(noScript{})
		return cmd
	}
	return record(ctx, cmd, sha, keys, args)
}

// Eval learns a script and keeps the call.
func (r *recorder) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	sha := redis.NewScript(script).Hash()
	r.mu.Lock()
	r.sources[sha] = script
	r.mu.Unlock()
	return record(ctx, redis.NewCmd(ctx), sha, keys, args)
}

func record(ctx context.Context, cmd *redis.Cmd, sha string, keys []string, args []any) *redis.Cmd {
	rec, ok := ctx.Value(recordingKey{}).(*recording)
	if !ok {
		cmd.SetErr(errors.New("script call outside of an enqueue"))
		return cmd
	}
	rec.calls = append(rec.calls, recorded{sha, keys, args})
	cmd.SetVal(int64(1))
	return cmd
}

// SAdd answers for the list of queues, which is written with the tickets.
func (r *recorder) SAdd(ctx context.Context, _ string, _ ...any) *redis.IntCmd {
	return redis.NewIntCmd(ctx)
}

// noScript is the error that Redis gives for an unknown script.
type noScript struct{}

func (noScript) Error() string { return "NOSCRIPT not met yet" }
func (noScript) RedisError()   {}

// send sends the calls and the rings in one pipeline and returns asynq's
// replies: 1 enqueued, 0 there already.
func (rec *recording) send(ctx context.Context, rdb redis.UniversalClient, r *recorder, channel string, rings map[string]bool) ([]int64, error) {
	var replies []int64
	err := rec.exec(ctx, rdb, channel, rings, &replies)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		if err := r.load(ctx, rdb); err != nil {
			return nil, err
		}
		err = rec.exec(ctx, rdb, channel, rings, &replies) // repeating is safe: what is there stays
	}
	return replies, err
}

func (rec *recording) exec(ctx context.Context, rdb redis.UniversalClient, channel string, rings map[string]bool, replies *[]int64) error {
	pipe := rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(rec.calls))
	for i, c := range rec.calls {
		cmds[i] = pipe.EvalSha(ctx, c.sha, c.keys, c.args...)
	}
	for queue := range rings {
		pipe.SAdd(ctx, "asynq:queues", queue)
		pipe.Publish(ctx, channel, queue)
	}
	_, err := pipe.Exec(ctx)
	*replies = make([]int64, len(cmds))
	for i, cmd := range cmds {
		n, cmdErr := cmd.Int64()
		if cmdErr != nil {
			return cmdErr
		}
		(*replies)[i] = n
	}
	return err
}

func (r *recorder) load(ctx context.Context, rdb redis.UniversalClient) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, source := range r.sources {
		if err := rdb.ScriptLoad(ctx, source).Err(); err != nil {
			return fmt.Errorf("load script: %w", err)
		}
	}
	return nil
}
