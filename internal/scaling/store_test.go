package scaling

import (
	"testing"
	"time"

	"longshore/internal/localredis/redistest"
	"longshore/internal/redisdb"
	"longshore/job"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// TestStore keeps what two workers' jobs cost, and samples of two processes, of which the
// second's comes too early.
func TestStore(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	rdb, err := redisdb.Open(redisdb.Config{URL: server.URL(), MaxConnections: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	s, ctx := NewStore(rdb, "test"), t.Context()
	for range 2 {
		if err := s.Spend(ctx, []Spent{{job.LaneIO, 1500 * time.Millisecond, 3},
			{job.LaneCPU, time.Second, 0}}); err != nil {
			t.Fatal(err)
		}
	}
	// of long ago, and of nobody
	if err := rdb.HSet(ctx, s.spentKey(), "1:io:ms", 7, "no number", 7).Err(); err != nil {
		t.Fatal(err)
	}
	now, err := rdb.Time(ctx).Result()
	if err != nil {
		t.Fatal(err)
	}
	sample := Sample{At: now, Lanes: map[job.Lane]*Lane{job.LaneIO: {Waiting: 4}, job.LaneCPU: {}}}
	if err := s.Complete(ctx, &sample); err != nil {
		t.Fatal(err)
	}
	if io, cpu := sample.Lanes[job.LaneIO], sample.Lanes[job.LaneCPU]; io.Spent != 3000 || io.Finished != 6 ||
		cpu.Spent != 2000 || cpu.Finished != 0 {
		t.Errorf("io %+v, cpu %+v", io, cpu)
	}
	if err := s.Spend(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if n := rdb.HLen(ctx, s.spentKey()).Val(); n != 4 {
		t.Errorf("%d fields are kept", n)
	}
	for i, after := range []time.Duration{0, time.Second, 5 * time.Second, 10 * time.Second,
		319 * time.Second} {
		later := sample
		later.At = now.Add(after)
		if err := s.Note(ctx, later); err != nil {
			t.Fatal(err)
		}
		history, err := s.History(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if want := []int{1, 1, 2, 3, 2}[i]; len(history) != want ||
			history[0].Lanes[job.LaneIO].Waiting != 4 {
			t.Errorf("after %v: %d samples, want %d", after, len(history), want)
		}
	}
	if ttl := rdb.PTTL(ctx, s.samplesKey()).Val(); ttl <= 0 {
		t.Error("samples stay for ever")
	}
	sample.At = now.Add(-time.Hour) // a Redis whose clock was ahead
	if err := s.Note(ctx, sample); err != nil {
		t.Fatal(err)
	}
	if history, err := s.History(ctx); err != nil || len(history) != 1 || !history[0].At.Equal(sample.At) {
		t.Errorf("%v, %v", history, err)
	}
}
