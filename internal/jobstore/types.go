package jobstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// holdScript finds out whose definition of a type counts while a deployment is under way: that
// of the process that began last, as long as it publishes. KEYS: P:types:from, by type when
// the process began whose definition counts, and when it has published last. ARGV: now, how long
// that is good for, when the caller began, types. Answers 1 for those that it is to write.
var holdScript = redis.NewScript(`#!lua flags=allow-oom
local now, patience, began = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local said = {}
for i = 4, #ARGV do
  local theirs, last = string.match(redis.call('HGET', KEYS[1], ARGV[i]) or '', '^(%d+) (%d+)$')
  if not theirs or began >= tonumber(theirs) or tonumber(last) + patience < now then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[3] .. ' ' .. ARGV[1])
    said[#said + 1] = 1
  else
    said[#said + 1] = 0
  end
end
return said`)

// holdFor is how long a definition counts whose process doesn't publish it again: processes do
// so each minute.
const holdFor = 3 * time.Minute

func (s *Store) fromKey() string { return s.prefix + ":types:from" }

// PublishTypes tells the other programs which types workers run: by name, the
// definition's JSON. One that a process that has begun later publishes too stays as it is.
func (s *Store) PublishTypes(ctx context.Context, definitions map[string][]byte) error {
	if len(definitions) == 0 {
		return nil
	}
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return err
	}
	s.publishes.CompareAndSwap(0, now.UnixMilli())
	names := slices.Sorted(maps.Keys(definitions))
	args := []any{now.UnixMilli(), holdFor.Milliseconds(), s.publishes.Load()}
	for _, name := range names {
		args = append(args, name)
	}
	ours, err := holdScript.Run(ctx, s.rdb, []string{s.fromKey()}, args...).Int64Slice()
	if err == nil && len(ours) != len(names) {
		err = errors.New("unexpected reply")
	}
	if err != nil {
		return fmt.Errorf("publish types: %w", err)
	}
	fields := make([]any, 0, 2*len(definitions))
	for i, name := range names {
		if ours[i] == 1 {
			fields = append(fields, name, definitions[name])
		}
	}
	seen := make([]redis.Z, 0, len(definitions))
	for name := range definitions {
		seen = append(seen, redis.Z{Score: float64(now.UnixMilli()), Member: name})
	}
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		if len(fields) > 0 {
			p.HSet(ctx, s.typesKey(), fields...)
		}
		p.ZAdd(ctx, s.seenKey(), seen...)
		return nil
	})
	if err != nil {
		return err
	}
	return s.forgetTypes(ctx, now.Add(-typeLife))
}

// releaseScript says of definitions that no process holds them. They stay known: an older process
// may publish them again, and a type that nobody serves for a while takes jobs. KEYS: P:types:from.
// ARGV: when the caller began, none = whoever publishes them; types.
var releaseScript = redis.NewScript(`#!lua flags=allow-oom
for i = 2, #ARGV do
  local theirs = string.match(redis.call('HGET', KEYS[1], ARGV[i]) or '', '^(%d+) %d+$')
  if theirs and (ARGV[1] == '' or ARGV[1] == theirs) then
    redis.call('HSET', KEYS[1], ARGV[i], theirs .. ' 0')
  end
end
return 1`)

// ReleaseTypes says that this process publishes these types no more.
func (s *Store) ReleaseTypes(ctx context.Context, types []string) error {
	return s.release(ctx, strconv.FormatInt(s.publishes.Load(), 10), types)
}

// ReleaseType says that nobody publishes a type any more. Who does all the same says so again
// within a minute.
func (s *Store) ReleaseType(ctx context.Context, typ string) error {
	return s.release(ctx, "", []string{typ})
}

func (s *Store) release(ctx context.Context, began string, types []string) error {
	if len(types) == 0 {
		return nil
	}
	args := []any{began}
	for _, typ := range types {
		args = append(args, typ)
	}
	if err := releaseScript.Run(ctx, s.rdb, []string{s.fromKey()}, args...).Err(); err != nil {
		return fmt.Errorf("release types: %w", err)
	}
	return nil
}

// HeldTypes returns those of some types that a process has published lately and has not
// released. One of a process that notes no time is among them.
func (s *Store) HeldTypes(ctx context.Context, types []string) (map[string]bool, error) {
	if len(types) == 0 {
		return nil, nil
	}
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return nil, err
	}
	said, err := s.rdb.HMGet(ctx, s.fromKey(), types...).Result()
	if err != nil {
		return nil, fmt.Errorf("who publishes types: %w", err)
	}
	held := map[string]bool{}
	for i, one := range said {
		_, last, ok := strings.Cut(text(one), " ")
		held[types[i]] = !ok || integer(last) >= now.Add(-holdFor).UnixMilli()
	}
	return held, nil
}

func (s *Store) typesKey() string { return s.prefix + ":types" }

func (s *Store) seenKey() string { return s.prefix + ":types:seen" }

// typeLife is how long a type stays known after the last worker that served it:
// long enough for workers that are off over the holidays. What an older program
// published, which notes no time, stays.
const typeLife = 14 * 24 * time.Hour

// forgetTypes removes definitions that nobody has published since a time. Where
// one is published at this moment it comes back with the next publication.
func (s *Store) forgetTypes(ctx context.Context, before time.Time) error {
	old, err := s.rdb.ZRangeByScore(ctx, s.seenKey(), &redis.ZRangeBy{Min: "-inf",
		Max: strconv.FormatInt(before.UnixMilli(), 10), Count: maxTypes}).Result()
	if err != nil || len(old) == 0 {
		return err
	}
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HDel(ctx, s.typesKey(), old...)
		p.HDel(ctx, s.fromKey(), old...)
		p.ZRem(ctx, s.seenKey(), old)
		return nil
	})
	return err
}

// maxTypes is how many published definitions are looked at.
const maxTypes = 1000

// Types returns the definitions that workers published, by name: some, where
// there are more than anybody needs. One of more than max bytes is "".
func (s *Store) Types(ctx context.Context, max int) (map[string]string, error) {
	names, err := s.typeNames(ctx)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	sizes := make([]*redis.IntCmd, len(names))
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range names {
			sizes[i] = p.HStrLen(ctx, s.typesKey(), name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	all, fit := map[string]string{}, []string{}
	for i, name := range names {
		all[name] = ""
		if sizes[i].Val() <= int64(max) {
			fit = append(fit, name)
		}
	}
	if len(fit) == 0 {
		return all, nil
	}
	bodies, err := s.rdb.HMGet(ctx, s.typesKey(), fit...).Result()
	if err != nil {
		return nil, err
	}
	for i, body := range bodies {
		if text, ok := body.(string); ok {
			all[fit[i]] = text
		} else {
			delete(all, fit[i]) // gone meanwhile
		}
	}
	return all, nil
}

func (s *Store) typeNames(ctx context.Context) ([]string, error) {
	n, err := s.rdb.HLen(ctx, s.typesKey()).Result()
	if err != nil || n == 0 {
		return nil, err
	}
	if n <= maxTypes {
		return s.rdb.HKeys(ctx, s.typesKey()).Result()
	}
	page, _, err := s.rdb.HScan(ctx, s.typesKey(), 0, "", maxTypes).Result()
	var names []string
	for i := 0; i < len(page) && len(names) < maxTypes; i += 2 {
		names = append(names, page[i])
	}
	return names, err
}
