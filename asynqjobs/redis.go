package asynqjobs

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis' name of a script
	"encoding/hex"
	"errors"
	"fmt"
	"net"

	"github.com/redis/go-redis/v9"
)

// The scripts of asynq that are answered, by Redis' names of them: a script's text says what its keys and
// arguments are, so another asynq that means something else by them has other names.
const (
	scriptEnqueue        = "98d28b42650870a743450ffda9791e9e19c6991b"
	scriptEnqueueUnique  = "297b3f9abfd963a3316434ef9d88fc5bf8a7ddc3"
	scriptSchedule       = "8ce6b38a99b73194585c251eb3c2a89559f37a87"
	scriptScheduleUnique = "e9b8aa859a976a1fce09eaf723b4fccd02ba799e"
	scriptGroup          = "074af2c5a4623800684c1b0e4e328c2500f06815"
	scriptGroupUnique    = "deeb77b98fd021a8a0279d8e7dd11a8a4546611a"

	scriptEntries = "313393fb34cf7668d3ae712d88666ce651da3861" // of a scheduler
	scriptEvent   = "5feb3e91ca9086f0335575fa366ac2b94ec7b886"

	scriptDequeue        = "a8153319360adc71cdc370107f8ab9786f204765"
	scriptDone           = "1241eaa1c73409baaf1fea0c08d203a4911bda15"
	scriptDoneUnique     = "a2631c71357a54b4c3e7450b1757e7f3f49d6c81"
	scriptComplete       = "117dca952700588e559c7ace20b925096d587974"
	scriptCompleteUnique = "ce6833ccce362a8c0ee53beee413341daf52e39c"
	scriptRequeue        = "f34cbfd11d1fc8019af55b50c447fc68eb8b29e5"
	scriptRetry          = "65fa409c88198a681c53e0892d8276eca0145694"
	scriptArchive        = "9c3b1eb9947ce2ee5304ac013a0a365ec364fd2d"

	scriptForward      = "522b1a6ae66fe79ea2f24a9af58798ab71879035"
	scriptReclaim      = "7c08714194a1ed81153180b36590c51f1ccd7d42"
	scriptExpired      = "49c4326d80c1db9c476da2aa7f4438d03688f82b" // completed tasks
	scriptLeaseExpired = "16988a462595f6ee317be300951533b004f27f5c"
	scriptServer       = "3c8548ad44d0dfcfde50f07ea9271d77f656042c"
	scriptServerGone   = "79cf8dbc80deca37314fdfdeb9fe33a12c9baad7"
)

// ErrOtherAsynq says that the program is built with an asynq that this package doesn't know.
var ErrOtherAsynq = errors.New("asynqjobs knows asynq v0.26.0, and this is another")

// A question is a command that asynq has for its Redis.
type question struct {
	name   string // of the command, in lower case
	script string // Redis' name of it; "" = the command is none
	keys   []string
	args   []any // of a script behind the keys, of a command all
}

func ask(cmd redis.Cmder) question {
	q := question{name: cmd.Name(), args: cmd.Args()[1:]}
	if q.name != "eval" && q.name != "evalsha" || len(q.args) < 2 {
		return q
	}
	text, _ := q.args[0].(string)
	if q.script = text; q.name == "eval" {
		sum := sha1.Sum([]byte(text)) //nolint:gosec // see above
		q.script = hex.EncodeToString(sum[:])
	}
	n, _ := q.args[1].(int)
	q.args = q.args[2:]
	for _, key := range q.args[:min(max(n, 0), len(q.args))] {
		text, _ := key.(string)
		q.keys = append(q.keys, text)
	}
	q.args = q.args[len(q.keys):]
	return q
}

// text is an argument that is a text or bytes.
func (q question) text(i int) []byte {
	if i < len(q.args) {
		switch v := q.args[i].(type) {
		case string:
			return []byte(v)
		case []byte:
			return v
		}
	}
	return nil
}

// number is an argument that is one.
func (q question) number(i int) int64 {
	if i < len(q.args) {
		switch v := q.args[i].(type) {
		case int:
			return int64(v)
		case int64:
			return v
		}
	}
	return 0
}

// unanswered is the answer to what asynq's parts have no reason to ask here.
func (q question) unanswered() error {
	if q.script != "" {
		return fmt.Errorf("%w: it has a script %s", ErrOtherAsynq, q.script)
	}
	return fmt.Errorf("asynqjobs answers no %q: tasks are jobs of Longshore, see docs/from-asynq.md", q.name)
}

// answering is a client of which every command is answered by a function; no connection is ever made.
// An answer is a number, a text, a list, or nil for none.
func answering(answer func(context.Context, question) (any, error)) *redis.Client {
	// A name as address would be looked up, to tell in which network it is.
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0", MaxRetries: -1, DisableIdentity: true, Protocol: 2,
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("asynqjobs has no Redis to connect to")
		}})
	c.AddHook(hook{answer})
	return c
}

type hook struct {
	answer func(context.Context, question) (any, error)
}

func (h hook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h hook) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		q := ask(cmd)
		value, err := h.answer(ctx, q)
		if err == nil {
			err = set(cmd, q, value)
		}
		if err != nil {
			cmd.SetErr(err)
		}
		return err
	}
}

func (h hook) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error {
		err := question{name: "pipeline"}.unanswered()
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
		return err
	}
}

// set puts an answer into a command, if it is of the command's kind.
func set(cmd redis.Cmder, q question, value any) error {
	switch c := cmd.(type) {
	case *redis.Cmd:
		if value == nil {
			return redis.Nil
		}
		c.SetVal(value)
		return nil
	case *redis.IntCmd:
		if n, ok := value.(int64); ok {
			c.SetVal(n)
			return nil
		}
	case *redis.StatusCmd:
		if text, ok := value.(string); ok {
			c.SetVal(text)
			return nil
		}
	}
	return q.unanswered()
}
