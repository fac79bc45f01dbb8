package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// lookups are hashes that lead from what a person has to who he is.
var lookups = []string{"emails", "passkeys", "identities"}

// Dump is what a backup has of access data: keys, as their hashes; people; what was revoked. Who is logged
// in, links that were sent, keys that sign pages' tokens and the audit log are not in it.
func (s *Store) Dump(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	for set, kind := range map[string]string{"keys": "key:", "users": "user:"} {
		ids, err := s.rdb.SMembers(ctx, s.at(set)).Result()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", set, err)
		}
		err = readMany(ctx, s, kind, ids, func(id string, text *json.RawMessage) {
			if text != nil {
				all[kind+id] = string(*text)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for _, name := range append([]string{"used"}, lookups...) {
		fields, err := s.rdb.HGetAll(ctx, s.at(name)).Result()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		for field, value := range fields {
			all[name+":"+field] = value
		}
	}
	revoked, err := s.rdb.ZRangeWithScores(ctx, s.at("revoked"), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("read what was revoked: %w", err)
	}
	for _, one := range revoked {
		name, _ := one.Member.(string)
		all["revoked:"+name] = strconv.FormatInt(int64(one.Score), 10)
	}
	return all, nil
}

// Load writes what Dump has told, into a store that has none. It may be repeated.
func (s *Store) Load(ctx context.Context, all map[string]string) error {
	_, err := s.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		for name, value := range all {
			kind, id, _ := strings.Cut(name, ":")
			switch kind {
			case "key", "user":
				pipe.Set(ctx, s.at(name), value, 0)
				pipe.SAdd(ctx, s.at(kind+"s"), id)
			case "revoked":
				ends, err := strconv.ParseInt(value, 10, 64)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				pipe.ZAdd(ctx, s.at("revoked"), redis.Z{Score: float64(ends), Member: id})
			case "used", "emails", "passkeys", "identities":
				pipe.HSet(ctx, s.at(kind), id, value)
			default:
				return fmt.Errorf("%s is nothing that access data have", name)
			}
		}
		pipe.HSetNX(ctx, s.at("rev"), "e", drawEpoch()) // each web process reads all
		pipe.HIncrBy(ctx, s.at("rev"), "n", 1)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write access data: %w", err)
	}
	return nil
}
