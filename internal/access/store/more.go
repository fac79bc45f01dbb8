package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
)

// A Spent is what came of a wish to make requests.
type Spent struct {
	Taken, Left int
	Wait        time.Duration // until the next one, where none was taken
	Reset       time.Duration // until all are made up for
}

// Spend takes some requests of a rate that all processes share.
func (s *Store) Spend(ctx context.Context, id string, r access.Rate, want int) (Spent, error) {
	reply, err := spend.Run(ctx, s.rdb, []string{s.at("rate:" + id)}, r.Gap().Microseconds(), r.Burst, want).
		Int64Slice()
	if err == nil && len(reply) != 4 {
		err = fmt.Errorf("unexpected reply %v", reply)
	}
	if err != nil {
		return Spent{}, fmt.Errorf("take from the rate of %s: %w", id, err)
	}
	return Spent{int(reply[0]), int(reply[1]), time.Duration(reply[2]) * time.Microsecond,
		time.Duration(reply[3]) * time.Microsecond}, nil
}

// A Signing is a key that signs pages' tokens.
type Signing struct {
	ID  string
	Key []byte
	Was time.Time // written
}

// Signing reads the keys that sign.
func (s *Store) Signing(ctx context.Context) ([]Signing, error) {
	all, err := s.rdb.HGetAll(ctx, s.at("signing")).Result()
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	var keys []Signing
	for id, text := range all {
		at, coded, _ := strings.Cut(text, " ")
		key, err := hex.DecodeString(coded)
		if err != nil || len(key) < 32 {
			continue // nobody of ours wrote it
		}
		keys = append(keys, Signing{id, key, millis(at)})
	}
	return keys, nil
}

// The ages of a signing key.
const (
	SigningMonth = 30 * 24 * time.Hour
	signingGone  = 2*SigningMonth + 72*time.Hour // longer than what it signed lives
)

// Sign makes a new signing key, unless there is a young one.
func (s *Store) Sign(ctx context.Context) error {
	now := time.Now()
	said, err := s.said("signing", access.Entry{Time: now.UTC(), Actor: "web", Kind: access.KindLocal,
		Tenant: access.Installation, Action: "signing.rotate"})
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	err = sign.Run(ctx, s.rdb, s.common(s.at("signing")),
		append(said, access.DrawID(), hex.EncodeToString(key),
			now.UnixMilli(), SigningMonth.Milliseconds(), signingGone.Milliseconds())...).Err()
	if err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	return nil
}

// Refused notes refusals, folded by the caller.
func (s *Store) Refused(ctx context.Context, entries []access.Entry) error {
	pipe := s.rdb.Pipeline()
	for _, e := range entries {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: s.at("refused"), MaxLen: maxAudit, Approx: true,
			Values: []any{"e", string(text)}})
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("note refusals: %w", err)
	}
	return nil
}

// Audit reads a page of the audit log, or of the refusals, the newest first, of one tenant
// or of all (access.Installation). before is the ID of the last one of the page before; "" = begin.
func (s *Store) Audit(ctx context.Context, refused bool, tenant, before string,
	limit int) ([]access.Entry, error) {
	name, end := "audit", "+"
	if refused {
		name = "refused"
	}
	var list []access.Entry
	for scanned := 0; len(list) < limit && scanned < maxAudit; {
		if before != "" {
			end = "(" + before
		}
		page, err := s.rdb.XRevRangeN(ctx, s.at(name), end, "-", int64(limit)).Result()
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		for _, m := range page {
			var e access.Entry
			text, _ := m.Values["e"].(string)
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				return nil, errors.Join(fmt.Errorf("read entry %s of the audit log", m.ID), err)
			}
			before, e.ID = m.ID, m.ID
			if (tenant == access.Installation || e.Tenant == tenant) && len(list) < limit {
				list = append(list, e)
			}
		}
		if scanned += len(page); len(page) < limit {
			break
		}
	}
	return list, nil
}
