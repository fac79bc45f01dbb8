package jobstore

import (
	"github.com/redis/go-redis/v9"

	"longshore/internal/batch"
)

// What the benchmark needs, which stands outside the package to have the
// queue's tickets: batches of a size that it chooses.

// MoveScript returns the script of a move.
func (s *Store) MoveScript(name string) *redis.Script {
	return map[string]*redis.Script{"create": s.scripts.create, "keyed": s.scripts.create, "start": s.scripts.start, "beat": s.scripts.beat,
		"finish": s.scripts.finish}[name]
}

// MoveCall returns one job's part of such a move.
func (s *Store) MoveCall(name string, n NewJob, fence string) (*batch.Call, error) {
	c := &batch.Call{Key: s.key(n.ID)}
	var err error
	switch name {
	case "create", "keyed":
		c.Args, err = s.createArgs(n)
	case "start":
		c.Args = []any{1, fence, ms(s.lease), "0", ""}
	case "beat":
		c.Args = []any{fence, ms(s.lease), ""}
	case "finish":
		c.Args = []any{fence, string(Succeeded), "0", "1 0 0", "", "", "", ""}
	}
	return c, err
}

// Simple is a job of no particular kind.
func Simple() NewJob { return simple() }
