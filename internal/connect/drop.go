package connect

import (
	"context"
	"errors"
	"fmt"

	"longshore/internal/jobstore"
	"longshore/internal/redisdb"
)

// DropFormat2 removes what releases before format 3 left in an installation's Redis, and tells what
// there was. Errors: jobstore.ErrStillRuns, ErrSettings, or Redis's.
func DropFormat2(ctx context.Context, c Config) (was jobstore.Format2, err error) {
	err = withRecords(ctx, c, func(store *jobstore.Store) error {
		if was, err = store.LookAtFormat2(ctx); err != nil {
			return err
		}
		return store.DropFormat2(ctx)
	})
	return was, err
}

// Records calls f with the installation's records alone: no blob store is opened, and none is needed. Errors:
// as Open has them, and f's.
func Records(ctx context.Context, c Config, f func(*jobstore.Store) error) error {
	return withRecords(ctx, c, func(store *jobstore.Store) error {
		if err := store.Open(ctx); err != nil {
			return err
		}
		return f(store)
	})
}

func withRecords(ctx context.Context, c Config, f func(*jobstore.Store) error) (err error) {
	rdb, err := redisdb.Open(redisdb.Config{URL: c.RedisURL, TLSInsecure: c.RedisTLSInsecure,
		MaxConnections: c.MaxConnections})
	if err != nil {
		return fmt.Errorf("%w: REDIS_URL: %w", ErrSettings, err)
	}
	defer func() { err = errors.Join(err, rdb.Close()) }()
	if _, err := redisdb.Check(ctx, rdb); err != nil {
		return barred(fmt.Errorf("connect to redis at %s: %w", redisdb.Address(c.RedisURL), err))
	}
	return barred(f(jobstore.New(rdb, jobstore.Config{Prefix: c.Prefix})))
}
