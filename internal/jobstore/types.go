package jobstore

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// PublishTypes tells the other programs which types workers run: by name, the
// definition's JSON.
func (s *Store) PublishTypes(ctx context.Context, definitions map[string][]byte) error {
	if len(definitions) == 0 {
		return nil
	}
	fields := make([]any, 0, 2*len(definitions))
	for _, name := range slices.Sorted(maps.Keys(definitions)) {
		fields = append(fields, name, definitions[name])
	}
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return err
	}
	seen := make([]redis.Z, 0, len(definitions))
	for name := range definitions {
		seen = append(seen, redis.Z{Score: float64(now.UnixMilli()), Member: name})
	}
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, s.typesKey(), fields...)
		p.ZAdd(ctx, s.seenKey(), seen...)
		return nil
	})
	if err != nil {
		return err
	}
	return s.forgetTypes(ctx, now.Add(-typeLife))
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

// RegisterBlobs notes the id of the installation's blob store, if none is
// noted yet, and returns the noted one.
func (s *Store) RegisterBlobs(ctx context.Context, id string) (string, error) {
	key := s.prefix + ":blobs"
	if err := s.rdb.SetNX(ctx, key, id, 0).Err(); err != nil {
		return "", err
	}
	return s.rdb.Get(ctx, key).Result()
}

// Epoch returns a random text that lives as long as the data of this Redis:
// another one than before says that all records were lost.
func (s *Store) Epoch(ctx context.Context) (string, error) {
	key := s.prefix + ":epoch"
	if err := s.rdb.SetNX(ctx, key, rand.Text(), 0).Err(); err != nil {
		return "", err
	}
	return s.rdb.Get(ctx, key).Result()
}
