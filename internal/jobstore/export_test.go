package jobstore

import (
	"context"

	"longshore/internal/batch"
)

// What the benchmark needs, which stands outside the package: calls of a size that it chooses.

// Simple is a job of no particular kind.
func Simple() NewJob { return simple() }

// Move moves jobs, so many a call, and answers with the first error.
func (s *Store) Move(ctx context.Context, name string, size int, jobs []NewJob, fences []string) error {
	calls := make([]*batch.Call, len(jobs))
	move := map[string]batch.Read{"create": s.createCalls, "keyed": s.createCalls, "beat": s.beatCalls,
		"finish": s.finishCalls}[name]
	for i := range jobs {
		calls[i] = &batch.Call{Key: s.base(jobs[i].ID)}
		switch name {
		case "beat":
			calls[i].Args = []any{jobs[i].ID.Raw() + readFence(fences[i]), ms(s.lease), ""}
		case "finish":
			calls[i].Args = []any{jobs[i].ID.Raw() + readFence(fences[i]), encodeUsage(End{}.Usage), "", "",
				string(Succeeded), "0", "", "", functionBytes(0)}
		default:
			calls[i].Args = []any{&jobs[i]}
		}
	}
	if err := batch.ReadAll(ctx, s.rdb, move, size, calls); err != nil {
		return err
	}
	for i, c := range calls {
		if err := status(jobs[i].ID, c.Reply); err != nil {
			return err
		}
	}
	return nil
}
