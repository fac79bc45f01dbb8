package jobstore

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis/redistest"
)

// away answers no call of a script that has keys with a text in them, as if that part's master were gone.
type away struct{ part atomic.Value }

func (a *away) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a *away) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (a *away) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		part, _ := a.part.Load().(string)
		for _, arg := range cmd.Args() {
			if key, ok := arg.(string); ok && part != "" && strings.Contains(key, part) {
				err := &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}
				cmd.SetErr(err)
				return err
			}
		}
		return next(ctx, cmd)
	}
}

// TestPartGone holds that runs whose master answers are renewed and go on while another master is gone: only
// those on that one can't tell that they still may run.
func TestPartGone(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	s := New(rdb, Config{Prefix: redistest.Prefix(t), Partitions: 16})
	var gone away
	rdb.AddHook(&gone)
	keeper := NewKeeper(s, slog.New(slog.DiscardHandler))
	sent := time.Now().Add(-time.Minute)
	holds := make([]*Hold, 40)
	for i := range holds {
		ticket := mustCreate(t, s, simple())
		h := &Hold{ID: ticket.ID, Fence: NewFence(), Sent: sent,
			Stop: func(cause error) { t.Errorf("%s is stopped: %v", ticket.ID, cause) }}
		if _, err := s.Start(t.Context(), ticket, h.Fence, false); err != nil {
			t.Fatal(err)
		}
		keeper.Keep(h)
		holds[i] = h
	}
	away := s.base(holds[0].ID)
	gone.part.Store(away)
	if err := keeper.beat(t.Context()); err == nil {
		t.Error("nothing is said of the part that is gone")
	}
	elsewhere := 0
	for _, h := range holds {
		there := s.base(h.ID) != away
		if renewed := h.renewed.After(sent); renewed != there || h.asked == there {
			t.Errorf("%s, whose master answers: %v, was renewed: %v, is asked for again: %v", h.ID, there,
				renewed, h.asked)
		}
		if there {
			elsewhere++
		}
	}
	if elsewhere == 0 {
		t.Fatal("all jobs are in one part")
	}
	gone.part.Store("")
	if err := keeper.beat(t.Context()); err != nil || !holds[0].renewed.After(sent) {
		t.Errorf("the part is there again: %v, renewed %v", err, holds[0].renewed)
	}
}
