package jobstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// A Kind is a type of a tenant, whose jobs are counted together.
type Kind struct{ Tenant, Type string }

// Kinds returns those that have jobs, or had some.
func (s *Store) Kinds(ctx context.Context) ([]Kind, error) {
	heads, err := s.familyHeads(ctx)
	if err != nil {
		return nil, fmt.Errorf("list kinds of jobs: %w", err)
	}
	seen, kinds := map[Kind]bool{}, []Kind{}
	for _, h := range heads {
		if k := (Kind{h.tenant, h.kind}); !seen[k] {
			seen[k], kinds = true, append(kinds, k)
		}
	}
	return kinds, nil
}

// QueuedOf returns how many jobs of some kinds wait for a worker, by the counters that moves keep: it costs
// as much as there are kinds, however many jobs there are.
func (s *Store) QueuedOf(ctx context.Context, kinds []Kind) (map[Kind]int64, error) {
	fields := make([]string, len(kinds))
	for i, k := range kinds {
		fields[i] = familyOf(k.Tenant, k.Type) + stateLetters[job.Queued]
	}
	const atOnce = 1000
	pipe := s.rdb.Pipeline()
	var cmds []*redis.SliceCmd
	for _, base := range s.bases {
		for part := range slices.Chunk(fields, atOnce) {
			cmds = append(cmds, pipe.HMGet(ctx, base+"n", part...))
		}
	}
	queued := make(map[Kind]int64, len(kinds))
	if len(cmds) == 0 {
		return queued, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("count jobs that wait: %w", err)
	}
	for range s.bases {
		for part := range slices.Chunk(kinds, atOnce) {
			for i, text := range cmds[0].Val() {
				if said, ok := text.(string); ok {
					queued[part[i]] += integer(said)
				}
			}
			cmds = cmds[1:]
		}
	}
	for k, n := range queued { // strange hands may have taken what was counted
		queued[k] = max(n, 0)
	}
	return queued, nil
}
