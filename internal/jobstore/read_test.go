package jobstore

import (
	"errors"
	"testing"
	"time"

	"longshore/job"
)

func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	ctx := t.Context()
	good := simple()
	ids := map[string]job.ID{}
	for name, damage := range map[string]func(key string) error{
		"no version": func(key string) error { return s.rdb.HDel(ctx, key, "h").Err() },
		"bad number": func(key string) error { return s.rdb.HSet(ctx, key, "m", "q 1 many 0 0 0 0 - -").Err() },
		"bad state":  func(key string) error { return s.rdb.HSet(ctx, key, "m", "d 1 1 0 0 0 0 - -").Err() },
		"wrong type": func(key string) error {
			return errors.Join(s.rdb.Del(ctx, key).Err(), s.rdb.Set(ctx, key, "x", 0).Err())
		},
		"from future": func(key string) error { return s.rdb.HSet(ctx, key, "h", "3 of a kind").Err() },
	} {
		n := simple()
		ids[name] = n.ID
		mustCreate(t, s.Store, n)
		if err := damage(s.key(n.ID)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, n.ID); !errors.Is(err, job.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustCreate(t, s.Store, good)
	swept := s.turn(t, 6*time.Second)
	if swept.Quarantined != 4 {
		t.Errorf("swept %+v, want 4 quarantined", swept)
	}
	if n, err := s.Quarantined(ctx); err != nil || n != 4 {
		t.Errorf("quarantined %d, %v", n, err)
	}
	if _, ok := s.queue.pop(); !ok {
		t.Error("the good job between them was not looked at")
	}
	future := ids["from future"]
	if score, err := s.rdb.ZScore(ctx, s.bases[future.Shard()]+"due", string(future)).Result(); err != nil || int64(score) < s.now+50_000 {
		t.Errorf("record of a future version: next look %v, %v", score, err)
	}
	if page, err := s.List(ctx, job.Filter{}); err != nil || len(page.Jobs) != 1 {
		t.Errorf("list: %d jobs, %v", len(page.Jobs), err)
	}
}
