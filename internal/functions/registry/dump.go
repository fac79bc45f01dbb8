package registry

import (
	"context"
	"fmt"
	"strings"
)

// Dump is the registry as it is kept, and the versions that are in it, whose blobs they name.
func (s *Store) Dump(ctx context.Context) (all map[string]string, versions []Version, err error) {
	all, err = s.rdb.HGetAll(ctx, s.key()).Result()
	if err != nil {
		return nil, nil, fmt.Errorf("read deployed functions: %w", err)
	}
	for name, text := range all {
		if strings.HasPrefix(name, "v:") {
			v, err := readVersion(0, text)
			if err != nil {
				return nil, nil, fmt.Errorf("deployed function %s: %w", name, err)
			}
			versions = append(versions, v)
		}
	}
	return all, versions, nil
}

// Load writes what Dump has told, where there is none. It may be repeated.
func (s *Store) Load(ctx context.Context, all map[string]string) error {
	if len(all) == 0 {
		return nil
	}
	if err := s.rdb.HSet(ctx, s.key(), all).Err(); err != nil {
		return fmt.Errorf("write deployed functions: %w", err)
	}
	return s.rdb.Publish(ctx, s.Channel(), "").Err()
}
