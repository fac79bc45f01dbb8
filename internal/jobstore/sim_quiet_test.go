package jobstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"longshore/internal/access"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// Quiet worlds: nobody dies, stands still or is cut off, TIME doesn't jump, and of the calls of
// a process at most one in a lease fails, comes late or comes twice. What breaks here is not
// mended before anybody sees it: no run may lose its lease, and leases are those of the jobs
// that are held.

// lossLog hears from the sweeper which leases ended.
type lossLog struct{ s *sim }

func (l lossLog) Enabled(context.Context, slog.Level) bool { return l.s.rules.quiet }
func (l lossLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l lossLog) WithGroup(string) slog.Handler            { return l }

func (l lossLog) Handle(_ context.Context, r slog.Record) error {
	if !strings.HasPrefix(r.Message, "lease lost") {
		return nil
	}
	r.Attrs(func(a slog.Attr) bool {
		id, ok := a.Value.Any().(job.ID)
		if j := l.s.jobs[id]; ok && j != nil && j.state == job.Running && j.canceledAt == 0 {
			l.s.violate("%s: its run was lost, and its worker lives", id)
		}
		return true
	})
	return nil
}

// judgeHeld holds that there is a lease for each job that is held, and for no other, and that
// lists of tickets are as long as is counted.
func (s *sim) judgeHeld() {
	ctx := context.Background()
	held := map[string]bool{}
	for _, id := range s.order {
		if m, err := s.moving(id); err == nil && m.held() {
			held[id.Raw()] = true
		}
	}
	for part, base := range s.store.bases {
		places, err := s.store.Places(ctx, part)
		if err != nil {
			s.violate("places: %v", err)
		}
		for _, at := range places {
			name := at.Name()
			kept := s.rdb.HGet(ctx, base+"n", "list:"+name).Val()
			if n := s.rdb.LLen(ctx, s.store.keysOf(name, part)+"pending").Val(); n != integer(kept) {
				s.violate("%s: %d tickets are counted in %s, there are %d", base, integer(kept), name, n)
			}
		}
		for _, raw := range s.rdb.ZRange(ctx, base+"lease", 0, -1).Val() {
			if !held[raw] {
				s.violate("%s: has a lease, and nobody holds it", job.FromRaw(raw))
			}
			delete(held, raw)
		}
	}
	for raw := range held {
		s.violate("%s: is held without a lease", job.FromRaw(raw))
	}
}

// anyQueued tells whether a take may bring something: others need not fail.
func (s *sim) anyQueued() bool {
	for _, j := range s.jobs {
		if j.state == job.Queued {
			return true
		}
	}
	return false
}

// newID draws an id at the world's time, in the partition of the idempotency key if there is one.
func (s *sim) newID(key string) job.ID {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(s.mono)<<16|0x7000|uint64(s.ids.IntN(1<<12)))
	binary.BigEndian.PutUint64(b[8:], 1<<63|s.ids.Uint64()>>2)
	if key != "" {
		b[15] = b[15]&^(job.Shards-1) | claimHash(access.Owner{}, key)[15]&(job.Shards-1)
	}
	return job.FromRaw(string(b[:]))
}

// TestQuietSimulation holds that nothing is lost where nothing fails but single calls.
func TestQuietSimulation(t *testing.T) {
	t.Parallel()
	prefix := redistest.Prefix(t)
	for seed := range uint64(seeds(t, 8)) {
		s := world(t, seed, fmt.Sprintf("%s-%d", prefix, seed), rules{quiet: true})
		if len(s.violations) > 0 {
			t.Fatalf("seed %d: %s", seed, s.report())
		}
	}
}
