package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
)

// An Actor is who changes access data, for the audit log.
type Actor struct {
	Who     *access.Principal
	Address string       // of the client; "" = none
	Log     *slog.Logger // where changes are told too; nil = nowhere
}

// Local is who works on Redis itself.
func Local(log *slog.Logger) Actor {
	return Actor{Who: &access.Principal{Kind: access.KindLocal, ID: "local", Tenant: access.Installation,
		Scopes: access.Root.Scopes}, Log: log}
}

// did is the audit log's entry of what an actor does.
func (a Actor) did(action, target string) access.Entry {
	return access.Entry{Time: time.Now().UTC(), Actor: a.Who.ID, Kind: a.Who.Kind, Tenant: a.Who.Tenant,
		Address: a.Address, Action: action, Target: target}
}

// tell logs what was done.
func (a Actor) tell(ctx context.Context, e access.Entry) {
	if a.Log != nil {
		a.Log.InfoContext(ctx, "audit", "action", e.Action, "target", e.Target, "actor", e.Actor, "kind",
			string(e.Kind), "tenant", e.Tenant, "client", e.Address)
	}
}

// Note writes into the audit log what an actor has done to what is kept elsewhere.
func (s *Store) Note(ctx context.Context, by Actor, action, target string) error {
	did := by.did(action, target)
	text, err := json.Marshal(did)
	if err != nil {
		return err
	}
	err = s.rdb.XAdd(ctx, &redis.XAddArgs{Stream: s.at("audit"), MaxLen: maxAudit, Approx: true,
		Values: []any{"e", string(text)}}).Err()
	if err != nil {
		return fmt.Errorf("note %s: %w", action, err)
	}
	by.tell(ctx, did)
	return nil
}

// Issue makes a key, and returns it with its secret, which is not kept. The error may be an
// *access.InvalidError, ErrFull, or wrap access.ErrBeyond.
func (s *Store) Issue(ctx context.Context, by Actor, k access.Key) (access.Key, string, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	if err := k.Check(now); err != nil {
		return k, "", err
	}
	if err := k.Within(by.Who); err != nil {
		return k, "", err
	}
	k.ID, k.CreatedBy, k.Created = access.DrawID(), by.Who.ID, now
	secret := access.DrawKey(k.ID)
	k.Hash = access.Hash(secret)
	did := by.did("keys.create", KeyName(k.ID))
	if err := s.CreateKey(ctx, k, did); err != nil {
		return k, "", err
	}
	by.tell(ctx, did)
	return k, secret, nil
}

// Rotate gives a key another secret, and returns it. The one before is good for keep.
func (s *Store) Rotate(ctx context.Context, by Actor, id string,
	keep time.Duration) (access.Key, string, error) {
	if keep < 0 || keep > access.MaxKeep {
		return access.Key{}, "", &access.InvalidError{Pointer: "/keep",
			Detail: fmt.Sprintf("expected 0s to %v", access.MaxKeep)}
	}
	secret := access.DrawKey(id)
	did := by.did("keys.rotate", KeyName(id))
	for range tries {
		k, old, err := s.key(ctx, id)
		if err != nil {
			return access.Key{}, "", err
		}
		if err := mine(by, k); err != nil {
			return access.Key{}, "", err
		}
		c := s.Begin()
		c.step("is", "key:"+id, old)
		k.Old, k.OldEnds = "", time.Time{}
		if keep > 0 {
			k.Old, k.OldEnds = k.Hash, time.Now().Add(keep).UTC().Truncate(time.Millisecond)
		} else { // who had the secret may have made tokens by it
			c.forget(KeyName(id + "~" + strconv.Itoa(k.Age)))
			k.Age++
		}
		k.Hash = access.Hash(secret)
		text, err := json.Marshal(k)
		if err != nil {
			return *k, "", err
		}
		c.step("set", "key:"+id, string(text))
		c.Tell(KeyName(id))
		c.Did(did)
		if err = c.Do(ctx); err == nil {
			by.tell(ctx, did)
			return *k, secret, nil
		}
		if !errors.Is(err, ErrChanged) {
			return *k, "", err
		}
	}
	return access.Key{}, "", errChanged
}

// mine refuses keys of other tenants as if they were not there, and such as may do more
// than who asks: their new secret would be his.
func mine(by Actor, k *access.Key) error {
	if by.Who.Tenant != access.Installation && by.Who.Tenant != k.Tenant {
		return ErrNotFound
	}
	return k.Within(by.Who)
}

// Remove forgets a key; what it made, keys and tokens, counts no more.
func (s *Store) Remove(ctx context.Context, by Actor, id string) error {
	k, err := s.Key(ctx, id)
	if err != nil {
		return err
	}
	if by.Who.Tenant != access.Installation && by.Who.Tenant != k.Tenant {
		return ErrNotFound
	}
	all, err := s.Keys(ctx)
	if err != nil {
		return err
	}
	gone := []string{id}
	for i := 0; i < len(gone); i++ { // what it made, and what that made
		for _, k := range all {
			if k.CreatedBy == gone[i] && !slices.Contains(gone, k.ID) {
				gone = append(gone, k.ID)
			}
		}
	}
	for _, id := range slices.Backward(gone) { // itself at last, so that a repeat finds the rest
		did := by.did("keys.delete", KeyName(id))
		if err := s.DeleteKey(ctx, id, did); err != nil && !(errors.Is(err, ErrNotFound) && id != gone[0]) {
			return err
		}
		by.tell(ctx, did)
	}
	return nil
}

// List returns the keys of the actor's tenant, the oldest first.
func (s *Store) List(ctx context.Context, by Actor) ([]UsedKey, error) {
	all, err := s.Keys(ctx)
	if err != nil {
		return nil, err
	}
	var keys []UsedKey
	for _, k := range all {
		if by.Who.Tenant == access.Installation || by.Who.Tenant == k.Tenant {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b UsedKey) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return keys, nil
}

// RevokeToken makes a page's token count no more.
func (s *Store) RevokeToken(ctx context.Context, by Actor, id string) error {
	did := by.did("tokens.revoke", TokenName(id))
	if err := s.Revoke(ctx, TokenName(id), did); err != nil {
		return err
	}
	by.tell(ctx, did)
	return nil
}
