package operate

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"longshore/answer"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/internal/queue"
	"longshore/job"
)

// before calls f, once, before a client's first command of a name.
type before struct {
	name string
	f    func()
	once *sync.Once
}

func (h before) DialHook(next redis.DialHook) redis.DialHook {
	return next
}

func (h before) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == h.name {
			h.once.Do(h.f)
		}
		return next(ctx, cmd)
	}
}

func (h before) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// mender is a desk on another connection, of which f is called before its first command of a name.
func (b *bench) mender(name string, f func()) *Desk {
	b.Helper()
	rdb := redistest.Client(b.TB)
	store := jobstore.New(rdb, jobstore.Config{Prefix: b.Prefix})
	q, err := queue.New(rdb, queue.Config{Prefix: b.Prefix, Partitions: store.Parts()})
	if err != nil {
		b.Fatal(err)
	}
	rdb.AddHook(before{name, f, new(sync.Once)})
	return New(&Desk{Redis: rdb, Prefix: b.Prefix, Store: store, Queue: q, Log: b.Desk.Log})
}

// TestMendMeetsOthers holds that who mends pauses undoes no pause, nor the end of one, that comes between his
// reads.
func TestMendMeetsOthers(t *testing.T) {
	t.Parallel()
	ended := func(b *bench) error { return b.ResumeQueue(b.Context(), job.LaneIO, job.Default) }
	begun := func(b *bench) error {
		_, err := b.PauseQueue(b.Context(), job.LaneIO, job.Default, answer.PauseRequest{Why: "new"}, "root")
		return err
	}
	for name, one := range map[string]struct {
		stands  storedPause
		command string
		comes   func(b *bench) error
		paused  bool
	}{
		"an end, before asynq's key is looked at": {storedPause{At: 1}, "exists", ended, false},
		"an end, before the time is read":         {storedPause{At: 1}, "time", ended, false},
		"a pause anew, of one whose time is over": {storedPause{At: 1, Until: 2}, "time", begun, true},
		"a pause, of one that was to end":         {storedPause{At: 1, Ended: true}, "exists", begun, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if err := b.putPause(t.Context(), "queue:io-default", one.stands); err != nil {
				t.Fatal(err)
			}
			b.Redis.Set(t.Context(), b.Prefix+":warned:pause:queue:io-default", "1", 0)
			var failed error
			if err := b.mender(one.command, func() { failed = one.comes(b) }).Mend(t.Context()); err != nil ||
				failed != nil {
				t.Fatal(err, failed)
			}
			list, err := b.Pauses(t.Context())
			queues, err2 := b.Queue.Paused(t.Context())
			if err != nil || err2 != nil || len(list.Pauses) > 0 != one.paused ||
				slices.ContainsFunc(queues, func(q queue.Info) bool { return q.Paused }) != one.paused {
				t.Errorf("pauses %+v, queues %+v, %v %v", list.Pauses, queues, err, err2)
			}
		})
	}
}

// TestResumeRestored ends a pause of one list of a named queue, which asynq's tools began and a backup
// brought.
func TestResumeRestored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.newJob("test.job")
	n.Queue = "mailers"
	if _, err := b.Store.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if err := b.LoadPauses(t.Context(), map[string]string{
		placeField(n.Place()): `{"by":"asynq","at":1}`}); err != nil {
		t.Fatal(err)
	}
	if list, err := b.Pauses(t.Context()); err != nil || len(list.Pauses) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := b.ResumeWhole(t.Context(), "mailers"); err != nil {
		t.Fatal(err)
	}
	if list, err := b.Pauses(t.Context()); err != nil || len(list.Pauses) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}
