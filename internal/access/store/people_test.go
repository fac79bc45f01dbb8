package store

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/internal/localredis/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// calls counts what is sent to Redis.
type calls int

func (*calls) DialHook(next redis.DialHook) redis.DialHook { return next }

func (n *calls) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { *n++; return next(ctx, cmd) }
}

func (n *calls) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { *n++; return next(ctx, cmds) }
}

// TestManySessions reads as many sessions as one change may touch by a handful of calls: one by one
// they would take longer than a look may, and nobody would be let in any more.
func TestManySessions(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	s := New(rdb, redistest.Prefix(t))
	const n = 2000
	put := func(name string, v any) {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := rdb.Set(t.Context(), s.at(name), text, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for i := range n {
		id := strconv.Itoa(i)
		put("session:"+id, access.Session{User: "u" + strconv.Itoa(i%3)})
		ids = append(ids, id)
	}
	put("user:u0", access.User{ID: "u0"})
	put("user:u1", access.User{ID: "u1"})
	rdb.Set(t.Context(), s.at("session:bad"), "{", time.Minute)
	var sent calls
	rdb.AddHook(&sent)
	sessions, users, err := s.SessionsOf(t.Context(), append(ids, "gone", "bad"))
	if err != nil || len(sessions) != n || sessions["7"].ID != "7" || sessions["7"].User != "u1" {
		t.Fatalf("%d sessions, %v", len(sessions), err)
	}
	if users["u0"] == nil || users["u1"] == nil || users["u2"] != nil {
		t.Errorf("users %v", users)
	}
	if sent > 6 {
		t.Errorf("%d calls for %d sessions", sent, n)
	}
}

// TestRateRaised lets a key in again soon after its rate was raised: what it has taken by the old one
// counts no longer than the new one's burst.
func TestRateRaised(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t), redistest.Prefix(t))
	spend := func(r access.Rate) Spent {
		t.Helper()
		spent, err := s.Spend(t.Context(), "key", r, 1)
		if err != nil {
			t.Fatal(err)
		}
		return spent
	}
	if spent := spend(access.Rate{N: 1, Per: time.Hour, Burst: 1}); spent.Taken != 1 {
		t.Fatalf("%+v", spent)
	}
	raised := access.Rate{N: 100, Per: time.Second, Burst: 1}
	for begun := time.Now(); spend(raised).Taken == 0; {
		if time.Since(begun) > time.Minute {
			t.Fatal("it isn't let in")
		}
	}
}
