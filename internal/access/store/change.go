package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"longshore/internal/access"
)

// A Change is several steps that happen together, or not at all. Its steps are written by
// lua/tx.lua. The zero value changes nothing.
type Change struct {
	s     *Store
	keys  []string
	steps [][]any
	names []string // of what web processes are told
	did   []access.Entry
}

// Begin begins a change.
func (s *Store) Begin() *Change { return &Change{s: s} }

// key returns the number of a key in the script's KEYS.
func (c *Change) key(name string) int {
	name = c.s.at(name)
	i := slices.Index(c.keys, name)
	if i < 0 {
		i = len(c.keys)
		c.keys = append(c.keys, name)
	}
	return i + 4 // after rev, log and audit, from 1
}

func (c *Change) step(verb, key string, args ...any) {
	c.steps = append(c.steps, append([]any{verb, c.key(key)}, args...))
}

// Tell has each web process look at something, named as by UserName.
func (c *Change) Tell(name string) { c.names = append(c.names, name) }

// Did notes what is done in the audit log.
func (c *Change) Did(e access.Entry) { c.did = append(c.did, e) }

// ErrChanged says that something isn't as it was read.
var ErrChanged = errChanged

// Do does it. An error that wraps ErrChanged says that nothing was done.
func (c *Change) Do(ctx context.Context) error {
	entries := make([]string, len(c.did))
	for i, e := range c.did {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		entries[i] = string(text)
	}
	names := c.names
	if names == nil {
		names = []string{}
	}
	args := []any{drawEpoch(), maxLog, "", maxAudit, c.s.Channel(), "", ""}
	for i, v := range map[int]any{2: entries, 5: names, 6: c.steps} {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		args[i] = string(text)
	}
	failed, err := tx.Run(ctx, c.s.rdb, c.s.common(c.keys...), args...).Int()
	if err != nil {
		return fmt.Errorf("change access data: %w", err)
	}
	if failed > 0 {
		return fmt.Errorf("%w: %v", ErrChanged, c.steps[failed-1][0])
	}
	return nil
}

// Try counts one more try of a login under some names, of which each has some that are free. It
// returns how long to wait; 0 = go on.
func (s *Store) Try(ctx context.Context, free map[string]int) (time.Duration, error) {
	keys, args := make([]string, 0, len(free)), make([]any, 0, len(free))
	for name, n := range free {
		keys, args = append(keys, s.at("try:"+name)), append(args, n)
	}
	if len(keys) == 0 {
		return 0, nil
	}
	ms, err := try.Run(ctx, s.rdb, keys, args...).Int64()
	if err != nil {
		return 0, fmt.Errorf("count a try: %w", err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// Refund takes back one try under each of some names, because it was a good one.
func (s *Store) Refund(ctx context.Context, names ...string) error {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = s.at("try:" + name)
	}
	if len(keys) == 0 {
		return nil
	}
	if err := refund.Run(ctx, s.rdb, keys, len(keys)).Err(); err != nil {
		return fmt.Errorf("take back a try: %w", err)
	}
	return nil
}

// Forgive forgets the tries under some names.
func (s *Store) Forgive(ctx context.Context, names ...string) error {
	for i, name := range names {
		names[i] = s.at("try:" + name)
	}
	if err := s.rdb.Del(ctx, names...).Err(); err != nil {
		return fmt.Errorf("forget tries: %w", err)
	}
	return nil
}

// Count counts one more under a name, and returns how many there were in keep.
func (s *Store) Count(ctx context.Context, name string, keep time.Duration) (int64, error) {
	pipe := s.rdb.TxPipeline()
	n := pipe.Incr(ctx, s.at("try:"+name))
	pipe.Expire(ctx, s.at("try:"+name), keep)
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, fmt.Errorf("count a try: %w", err)
	}
	return n.Val(), nil
}

// Step takes a number that must be over all that were taken under a name, in keep.
func (s *Store) Step(ctx context.Context, name string, n int64, keep time.Duration) (bool, error) {
	ok, err := step.Run(ctx, s.rdb, []string{s.at("step:" + name)}, n, keep.Milliseconds()).Bool()
	if err != nil && !isNil(err) {
		return false, fmt.Errorf("take a step: %w", err)
	}
	return ok, nil
}

// Lend keeps a text for a while, to be taken once.
func (s *Store) Lend(ctx context.Context, name, text string, keep time.Duration) error {
	if err := s.rdb.Set(ctx, s.at("once:"+name), text, keep).Err(); err != nil {
		return fmt.Errorf("lend: %w", err)
	}
	return nil
}

// Take returns what was lent, and ends it; "" = there is nothing.
func (s *Store) Take(ctx context.Context, name string) (string, error) {
	text, err := s.rdb.GetDel(ctx, s.at("once:"+name)).Result()
	if err != nil && !isNil(err) {
		return "", fmt.Errorf("take what was lent: %w", err)
	}
	return text, nil
}

// Lent returns what was lent, and leaves it; "" = there is nothing.
func (s *Store) Lent(ctx context.Context, name string) (string, error) {
	text, err := s.rdb.Get(ctx, s.at("once:"+name)).Result()
	if err != nil && !isNil(err) {
		return "", fmt.Errorf("read what was lent: %w", err)
	}
	return text, nil
}

func isNil(err error) bool { return errors.Is(err, nilReply) }
