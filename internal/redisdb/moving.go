package redisdb

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// guard keeps scripts from running where a Cluster moves the slot of their keys.
//
// Our scripts are told what their keys begin with and find out by themselves which they need, some of which
// aren't there yet. While a slot moves, a key is on the old node, or on the new one, or nowhere; the old
// node sends a script whose declared keys it lacks on to the new one (ASK), and there it would run with the
// keys that have come already, and make anew what hasn't: half a job here, half a job there, and a move
// that ends in BUSYKEY. A node that takes a slot over refuses (TRYAGAIN) what names several keys of which
// one is missing. So each script names one more key, which is never there:
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#multi-key-operations
//
// A script of a slot that moves is tried again for a moment, and is then an error of [ReasonMoved]: nothing
// of it was done. A single Redis has none of this.
type guard struct{}

// missing is what the key that is never there ends with.
const missing = "missing"

// DialHook implements [redis.Hook].
func (guard) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements [redis.Hook].
func (guard) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		guarded := guardScript(ctx, cmd)
		if guarded == nil {
			return next(ctx, cmd)
		}
		err := next(ctx, guarded)
		giveBack(cmd, guarded)
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (guard) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		all := make([]redis.Cmder, len(cmds))
		guarded := map[int]*redis.Cmd{}
		for i, cmd := range cmds {
			all[i] = cmd
			if g := guardScript(ctx, cmd); g != nil {
				all[i], guarded[i] = g, g
			}
		}
		err := next(ctx, all)
		for i, g := range guarded {
			giveBack(cmds[i], g)
		}
		return err
	}
}

// guardScript returns a call of a script with one more key; nil for any other command, and for a script
// without keys.
func guardScript(ctx context.Context, cmd redis.Cmder) *redis.Cmd {
	switch cmd.Name() {
	case "eval", "evalsha", "eval_ro", "evalsha_ro":
	default:
		return nil
	}
	args := cmd.Args() // the command, the script, the number of keys, the keys, what else there is
	if _, ok := cmd.(*redis.Cmd); !ok || len(args) < 4 {
		return nil
	}
	n, ok := args[2].(int)
	first, ok2 := args[3].(string)
	if !ok || !ok2 || n < 1 || len(args) < 3+n || !strings.Contains(first, "{") {
		return nil // without a tag it has one key: no other would be in its slot
	}
	more := make([]any, 0, len(args)+1)
	more = append(append(more, args[0], args[1], n+1), args[3:3+n]...)
	more = append(append(more, first+missing), args[3+n:]...)
	guarded := redis.NewCmd(ctx, more...)
	guarded.SetFirstKeyPos(3)
	return guarded
}

// giveBack makes a guarded call's outcome that of the call that was to be made.
func giveBack(cmd redis.Cmder, guarded *redis.Cmd) {
	if c, ok := cmd.(*redis.Cmd); ok {
		c.SetVal(guarded.Val())
	}
	cmd.SetErr(guarded.Err())
}
