package jobstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
)

// strangers enqueue into our queues by an asynq.Client: tasks of any length of id, that of our ids too. (Who
// draws the very bytes of a job's id writes over its ticket; nothing can be done about that.)
type strangers struct {
	rng    *rand.Rand
	pushed []pushedTask
}

type pushedTask struct{ keys, id string }

// intrude is asynq's enqueueCmd.
func (s *sim) intrude() {
	if s.stalled > s.mono || !s.faults {
		return
	}
	w := s.strangers
	part, n := w.rng.IntN(len(s.store.bases)), len(w.pushed)
	queue := []string{"cpu-default", "io-default"}[w.rng.IntN(2)]
	id := []string{fmt.Sprintf("16-bytes-%07d", n), fmt.Sprintf("18-bytes-%09d", n),
		fmt.Sprintf("}{ %d", n), fmt.Sprintf("a-task-with-a-long-id-%d", n)}[w.rng.IntN(4)]
	keys, ctx := s.store.keysOf(queue, part), context.Background()
	if !s.rdb.HSetNX(ctx, keys+"t:"+id, "msg", "\x0a\x05email\x1a").Val() {
		return // ErrTaskIDConflict
	}
	s.rdb.HSet(ctx, keys+"t:"+id, "state", "pending", "pending_since", "1")
	s.rdb.LPush(ctx, keys+"pending", id)
	w.pushed = append(w.pushed, pushedTask{keys, id})
}

// judgeStrangers holds that what they enqueued is there, once, with its task. A worker may not have come by.
func (s *sim) judgeStrangers() {
	if s.strangers == nil {
		return
	}
	ctx, apart := context.Background(), 0
	for _, p := range s.strangers.pushed {
		n := 0
		for _, list := range []string{"pending", "foreign"} {
			for _, entry := range s.rdb.LRange(ctx, p.keys+list, 0, -1).Val() {
				if entry == p.id {
					n++
					apart += strings.Count(list, "foreign")
				}
			}
		}
		if task := s.rdb.HExists(ctx, p.keys+"t:"+p.id, "msg").Val(); n != 1 || !task {
			s.violate("a stranger's task %q stands in %d lists, and is there: %v", p.id, n, task)
		}
	}
	if apart == 0 {
		s.violate("of %d tasks of strangers none was set apart", len(s.strangers.pushed))
	}
}
