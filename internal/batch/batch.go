// Package batch makes calls to Redis many items wide: while one call is under way, the items of
// other callers gather for the next. A call costs Redis several µs before its first item.
package batch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Call is one item's part of a script call that moves many items: the script
// gets the items' key, which all of one call share, as KEYS[1], their args one after
// the other as ARGV, and answers with a list of replies, one an item.
type Call struct {
	Key  string // of the items' partition: items of another one go in another call
	Args []any  // as many as the other items' of this script

	Reply []any // the item's; not empty unless Err is set
	Err   error

	ready chan struct{} // closed when the outcome is there
}

// callTimeout bounds one script call. A Redis that is slower is as good as gone.
const callTimeout = 5 * time.Second

// A Batcher runs one script, or one read, for many items of a key at a time: while a call is under
// way, later items gather, and the next call takes them along. A lone item is
// not delayed. The calls are made by a goroutine that is there while there is
// something to send, not by the callers: none of them waits for other items
// than those of its own call, nor for a part of a Cluster that is away, and the stack of a caller
// that goes on to wait for long has not grown under the client's frames.
type Batcher struct {
	send  func(ctx context.Context, batch []*Call)
	max   int
	reads bool // a call changes nothing: a caller may leave while its own is under way

	mu   sync.Mutex
	keys map[string]*line // one a partition
}

// A line is the items of a key that are to be sent.
type line struct {
	running bool // the goroutine is there
	waiting []*Call
}

// New returns a batcher that moves at most max items a call.
func New(rdb redis.UniversalClient, script *redis.Script, max int) *Batcher {
	return NewMover(rdb, Script(script), max)
}

// A Read reads, or moves, each item and sets its Reply or Err. The items of one call have one Key.
type Read func(ctx context.Context, rdb redis.UniversalClient, calls []*Call)

// NewMover is New for what is more than one script.
func NewMover(rdb redis.UniversalClient, move Read, max int) *Batcher {
	return &Batcher{max: max, keys: map[string]*line{}, send: func(ctx context.Context, batch []*Call) {
		send(ctx, rdb, move, batch)
	}}
}

// NewReader returns a batcher of a read. A call never joins one that is under
// way, so a reader sees all that was there when it came.
func NewReader(rdb redis.UniversalClient, read Read, max int) *Batcher {
	b := NewMover(rdb, read, max)
	b.reads = true
	return b
}

// Do runs one item's part and returns its reply. The error is Redis's, or
// ctx's cause if ctx ended before the item was sent, or, of a read, answered.
func (b *Batcher) Do(ctx context.Context, key string, args ...any) ([]any, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c := &Call{Key: key, Args: args, ready: make(chan struct{})}
	b.mu.Lock()
	l := b.keys[key]
	if l == nil {
		l = &line{}
		b.keys[key] = l
	}
	l.waiting = append(l.waiting, c)
	if !l.running {
		l.running = true
		go b.run(l)
	}
	b.mu.Unlock()

	select {
	case <-c.ready:
	case <-ctx.Done():
		if b.leave(l, c) {
			return nil, context.Cause(ctx)
		}
		<-c.ready // it is under way: its outcome is known within callTimeout
	}
	return c.Reply, c.Err
}

// leave takes an item back that no call has taken, or of which the call
// changes nothing.
func (b *Batcher) leave(l *line, c *Call) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range l.waiting {
		if w == c {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return true
		}
	}
	return b.reads
}

// run sends what waits, call after call, until nothing does. A call belongs to
// several callers, so none of their contexts ends it: callTimeout does.
func (b *Batcher) run(l *line) {
	var batch []*Call
	for {
		b.mu.Lock()
		n := min(len(l.waiting), b.max)
		if n == 0 {
			l.running = false
			b.mu.Unlock()
			return
		}
		batch = append(batch[:0], l.waiting[:n]...)
		rest := copy(l.waiting, l.waiting[n:])
		clear(l.waiting[rest:])
		l.waiting = l.waiting[:rest]
		b.mu.Unlock()

		b.send(context.Background(), batch)
		for _, c := range batch {
			close(c.ready)
		}
		clear(batch)
	}
}

// RunAll runs a script for items that one caller brings, at most max a call.
// Two calls are under way at a time: while Redis works on one, the next is
// written and the last one read. The error is the first one of any item.
func RunAll(ctx context.Context, rdb redis.UniversalClient, script *redis.Script, max int,
	calls []*Call) error {
	return ReadAll(ctx, rdb, Script(script), max, calls)
}

// ReadAll is RunAll for a read.
func ReadAll(ctx context.Context, rdb redis.UniversalClient, read Read, max int, calls []*Call) error {
	if len(calls) == 0 {
		return nil
	}
	if len(calls) <= max {
		send(ctx, rdb, read, calls)
	} else {
		parts := slices.Collect(slices.Chunk(calls, max))
		var next atomic.Int64
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for i := next.Add(1) - 1; i < int64(len(parts)); i = next.Add(1) - 1 {
					send(ctx, rdb, read, parts[i])
				}
			})
		}
		wg.Wait()
	}
	for _, c := range calls {
		if c.Err != nil {
			return c.Err
		}
	}
	return nil
}

// Cluster reports whether keys of one call must share a slot.
func Cluster(rdb redis.UniversalClient) bool {
	_, cluster := rdb.(*redis.ClusterClient)
	return cluster
}

// send runs one batch: a call a key, at once.
func send(ctx context.Context, rdb redis.UniversalClient, call Read, batch []*Call) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if !slices.ContainsFunc(batch, func(c *Call) bool { return c.Key != batch[0].Key }) {
		call(ctx, rdb, batch)
		return
	}
	parts := map[string][]*Call{}
	for _, c := range batch {
		parts[c.Key] = append(parts[c.Key], c)
	}
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Go(func() { call(ctx, rdb, part) })
	}
	wg.Wait()
}

// Script makes one call of a script of many items.
func Script(script *redis.Script) Read {
	return func(ctx context.Context, rdb redis.UniversalClient, batch []*Call) {
		runScript(ctx, rdb, script, batch)
	}
}

func runScript(ctx context.Context, rdb redis.UniversalClient, script *redis.Script, batch []*Call) {
	args := make([]any, 0, len(batch)*len(batch[0].Args))
	for _, c := range batch {
		args = append(args, c.Args...)
	}
	replies, err := script.Run(ctx, rdb, []string{batch[0].Key}, args...).Slice()
	if err == nil && len(replies) != len(batch) {
		err = fmt.Errorf("script answered %d of %d items", len(replies), len(batch))
	}
	for i, c := range batch {
		if c.Err = err; err != nil {
			continue
		}
		if c.Reply, _ = replies[i].([]any); len(c.Reply) == 0 {
			c.Err = fmt.Errorf("script answered an item with %T", replies[i])
		}
	}
}
