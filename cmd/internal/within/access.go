package within

import (
	"context"
	"errors"
	"fmt"
	"time"

	"longshore/client"
	"longshore/cmd/internal/cli"
	"longshore/config"
	"longshore/internal/access"
	"longshore/internal/access/store"
	"longshore/internal/httpapi"
	"longshore/internal/redisdb"
)

// Keys works on API keys in Redis itself.
func (within) Keys(s config.Enqueue, do func(cli.Keyring) error) error {
	return withStore(s, func(at *store.Store) error { return do(localKeys{at, store.Local(nil)}) })
}

// People works on persons in Redis itself.
func (within) People(s config.Enqueue, do func(cli.People) error) error {
	return withStore(s, func(at *store.Store) error { return do(localPeople{at, store.Local(nil)}) })
}

// withStore connects to Redis alone, and lets go afterwards.
func withStore(s config.Enqueue, do func(*store.Store) error) error {
	rdb, err := redisdb.Open(redisdb.Config{URL: s.Redis.URL.Reveal(), TLSInsecure: s.Redis.TLSInsecure,
		MaxConnections: s.Redis.MaxConnections})
	if err != nil {
		return cli.Misconfigured(fmt.Errorf("REDIS_URL: %w", err))
	}
	return errors.Join(unconnected(localError(do(store.New(rdb, s.Redis.Prefix)))), rdb.Close())
}

// localKeys works on Redis itself: who can do that may do all.
type localKeys struct {
	store *store.Store
	by    store.Actor
}

func (l localKeys) Keys(ctx context.Context) ([]client.APIKey, error) {
	list, err := l.store.List(ctx, l.by)
	keys := make([]client.APIKey, len(list))
	for i, k := range list {
		keys[i] = store.KeyInfo(k.Key, k.Used)
	}
	return keys, err
}

func (l localKeys) CreateKey(ctx context.Context, body client.NewKey) (client.APIKey, error) {
	k, err := store.KeyOf(body)
	if err != nil {
		return client.APIKey{}, err
	}
	k, secret, err := l.store.Issue(ctx, l.by, k)
	info := store.KeyInfo(k, time.Time{})
	info.Key = secret
	return info, err
}

func (l localKeys) RotateKey(ctx context.Context, id, keep string) (client.APIKey, error) {
	d := time.Duration(0)
	if keep != "" {
		var err error
		if d, err = httpapi.ParseDuration(keep); err != nil {
			return client.APIKey{}, cli.Usage("--keep: %w", err)
		}
	}
	k, secret, err := l.store.Rotate(ctx, l.by, id, d)
	info := store.KeyInfo(k, time.Time{})
	info.Key = secret
	return info, err
}

func (l localKeys) DeleteKey(ctx context.Context, id string) error {
	return l.store.Remove(ctx, l.by, id)
}

// localError gives an error of the store the exit code that it has over HTTP.
func localError(err error) error {
	var invalid *access.InvalidError
	switch {
	case errors.As(err, &invalid):
		return cli.Usage("%w", err)
	case errors.Is(err, store.ErrTaken):
		return cli.Usage("%w", err)
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrNoUser):
		return cli.Exit(cli.ExitNotFound, err)
	}
	return err
}

// localPeople works on Redis itself: who can do that may do all.
type localPeople struct {
	*store.Store
	by store.Actor
}

func (l localPeople) AddUser(ctx context.Context, u access.User) (access.User, string, error) {
	return l.Store.AddUser(ctx, l.by, u)
}

func (l localPeople) NewLink(ctx context.Context, name string, reset bool) (access.User, string, error) {
	return l.Store.NewLink(ctx, l.by, name, reset)
}

func (l localPeople) SetRole(ctx context.Context, name string, role access.Role) error {
	_, err := l.Store.SetRole(ctx, l.by, name, role)
	return err
}

func (l localPeople) Disable(ctx context.Context, name string, disabled bool) error {
	_, err := l.Store.Disable(ctx, l.by, name, disabled)
	return err
}

func (l localPeople) RemoveUser(ctx context.Context, name string) error {
	return l.Store.RemoveUser(ctx, l.by, name)
}
