package limits

import (
	"context"
	"fmt"
	"slices"

	"longshore/internal/refusal"
)

// Dump is all limits, as they are kept.
func (r *Room) Dump(ctx context.Context) (map[string]string, error) {
	all, err := r.Redis.HGetAll(ctx, r.key()).Result()
	if err != nil {
		return nil, refusal.Of(err)
	}
	return all, nil
}

// Load writes what Dump has told, where there is none, and has it hold. It may be repeated. It returns the
// names of those that are left out: limits of what runs or starts, which can't be counted on a Cluster.
func (r *Room) Load(ctx context.Context, all map[string]string) (left []string, err error) {
	kept := map[string]string{}
	for name, text := range all {
		if name != "rev" && r.Store.Parts() > 1 {
			if l, err := parse(name, text); err == nil && l.runs() {
				left = append(left, l.owner+"/"+l.name)
				continue
			}
		}
		kept[name] = text
	}
	slices.Sort(left)
	if len(kept) == 0 {
		return left, nil
	}
	if err := r.Redis.HSet(ctx, r.key(), kept).Err(); err != nil {
		return nil, fmt.Errorf("write limits: %w", err)
	}
	return left, r.Reload(ctx)
}
