package jobstore

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
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
	return s.rdb.HSet(ctx, s.prefix+":types", fields...).Err()
}

// Types returns the definitions that workers published, by name.
func (s *Store) Types(ctx context.Context) (map[string]string, error) {
	return s.rdb.HGetAll(ctx, s.prefix+":types").Result()
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
