// Package store keeps access data in Redis: API keys, what was revoked, the keys that sign
// pages' tokens, rates, the audit log. All of it lies in one slot, so that a change is one
// script: the object, the revision that tells each web of it, the log of what changed,
// the audit log; then a message for speed. The keys, after the installation's prefix:
//
//	{a}:rev        hash: e the epoch, drawn at the first change; n the revision
//	{a}:log        list: what changed, the newest first, one a revision
//	{a}:keys       set: ids of API keys
//	{a}:key:<id>   one of them, as JSON
//	{a}:used       hash: id of a key → when it was used last, in ms
//	{a}:revoked    sorted set: what counts no more, by when that can be forgotten, in ms
//	{a}:revokes:<id> how many of them an actor made in two days
//	{a}:signing    hash: id → "<ms> <hex>", keys that sign where no secret is set
//	{a}:rate:<id>  GCRA's theoretical arrival time, in µs
//	{a}:users      set: ids of people
//	{a}:user:<id>  one of them, as JSON
//	{a}:emails, {a}:passkeys, {a}:identities  hashes: what one has → id of the user
//	{a}:link:<sha256> id of the user who may set a login by a link; expires
//	{a}:session:<hash> a session, as JSON; expires. {a}:sessions:<user> set: those of a user
//	{a}:device:<sha256> the user who logged in by a browser last; expires
//	{a}:once:<name>  what is asked once, as a challenge; expires
//	{a}:try:<name>   tries of a login: "<count> <until then none, ms>"; expires
//	{a}:step:<user>  the last step of a user's TOTP; expires
//	{a}:url        the installation's address, as web last knew it
//	{a}:audit      stream: what was done
//	{a}:refused    stream: who was refused, folded by minute
package store

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/internal/redisdb"
)

//go:embed lua/*.lua
var sources embed.FS

func script(flags, name string) *redis.Script {
	read := func(name string) string {
		text, err := sources.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // it is embedded
		}
		return string(text)
	}
	text := "#!lua flags=" + flags + "\n"
	if name == "change" || name == "revoke" || name == "sign" {
		text += read("lib")
	}
	if name == "spend" {
		text += redisdb.GCRA
	}
	return redis.NewScript(text + read(name))
}

// Who may change access data mustn't be kept from it by a full Redis.
var (
	change = script("allow-oom", "change")
	revoke = script("allow-oom", "revoke")
	look   = script("no-writes", "look")
	sign   = script("allow-oom", "sign")
	spend  = script("allow-oom", "spend")
	tx     = script("allow-oom", "tx")
	try    = script("allow-oom", "try")
	step   = script("allow-oom", "step")
	refund = script("allow-oom", "refund")
)

// Bounds of what is kept.
const (
	maxLog     = 2000    // changes that a web may have missed without reading all
	maxAudit   = 10_000  // entries of each stream, about
	maxRevoked = 100_000 // tokens
	maxKeys    = 10_000
	maxByActor = 1000 // revocations of one key in two days
)

// What can go wrong beside Redis.
var (
	ErrNotFound = errors.New("no such key")
	ErrFull     = errors.New("too many are kept")
	errChanged  = errors.New("changed meanwhile")
)

// A Store is the access data of an installation. It is safe for concurrent use.
type Store struct {
	rdb    redis.UniversalClient
	prefix string
}

// New returns the store of an installation whose keys begin with prefix.
func New(rdb redis.UniversalClient, prefix string) *Store { return &Store{rdb, prefix} }

// Channel is where changes ring.
func (s *Store) Channel() string { return s.prefix + ":access" }

func (s *Store) at(name string) string { return s.prefix + ":{a}:" + name }

// common are the keys that each change writes.
func (s *Store) common(more ...string) []string {
	return append([]string{s.at("rev"), s.at("log"), s.at("audit")}, more...)
}

// drawEpoch names the life of a Redis that has no revision yet.
func drawEpoch() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// said are the arguments that each change has.
func (s *Store) said(name string, e access.Entry) ([]any, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return []any{drawEpoch(), name, maxLog, string(text), maxAudit, s.Channel()}, nil
}

// CreateKey keeps a new key.
func (s *Store) CreateKey(ctx context.Context, k access.Key, e access.Entry) error {
	n, err := s.rdb.SCard(ctx, s.at("keys")).Result()
	if err != nil {
		return fmt.Errorf("count keys: %w", err)
	}
	if n >= maxKeys {
		return ErrFull
	}
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return s.change(ctx, k.ID, "", string(text), e)
}

// change puts a key in place of what was there.
func (s *Store) change(ctx context.Context, id, old, text string, e access.Entry) error {
	said, err := s.said(KeyName(id), e)
	if err != nil {
		return err
	}
	done, err := change.Run(ctx, s.rdb, s.common(s.at("key:"+id), s.at("keys"), s.at("revoked"),
		s.at("used")),
		append(said, id, old, text, time.Now().Add(KeptRevoked).UnixMilli())...).Bool()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("change key %s: %w", id, err)
	}
	if !done {
		return errChanged
	}
	return nil
}

// KeptRevoked is how long a revocation is remembered: longer than any token lives.
const KeptRevoked = 48 * time.Hour

// KeyName is how logs and the set of what was revoked call a key, TokenName a token.
func KeyName(id string) string { return "key:" + id }

// TokenName is KeyName for a page's token.
func TokenName(id string) string { return "token:" + id }

// Key reads a key.
func (s *Store) Key(ctx context.Context, id string) (*access.Key, error) {
	k, _, err := s.key(ctx, id)
	return k, err
}

func (s *Store) key(ctx context.Context, id string) (*access.Key, string, error) {
	if !access.ValidID(id) {
		return nil, "", ErrNotFound
	}
	text, err := s.rdb.Get(ctx, s.at("key:"+id)).Result()
	if errors.Is(err, redis.Nil) {
		return nil, "", ErrNotFound
	}
	if err != nil {
		return nil, "", fmt.Errorf("read key %s: %w", id, err)
	}
	k := new(access.Key)
	if err := json.Unmarshal([]byte(text), k); err != nil {
		return nil, "", fmt.Errorf("read key %s: %w", id, err)
	}
	return k, text, nil
}

// tries is how often a change is tried that others get ahead of.
const tries = 5

// KeysByID reads some keys; one that isn't there, or can't be read, is nil.
func (s *Store) KeysByID(ctx context.Context, ids []string) (map[string]*access.Key, error) {
	keys := make(map[string]*access.Key, len(ids))
	err := readMany(ctx, s, "key:", ids, func(id string, k *access.Key) { keys[id] = k })
	return keys, err
}

// readMany reads what some ids name, in their order, with few calls; one that isn't there, or can't be
// read, is nil.
func readMany[T any](ctx context.Context, s *Store, kind string, ids []string,
	f func(id string, v *T)) error {
	for group := range slices.Chunk(ids, 500) {
		names := make([]string, len(group))
		for i, id := range group {
			names[i] = s.at(kind + id)
		}
		texts, err := s.rdb.MGet(ctx, names...).Result()
		if err != nil {
			return fmt.Errorf("read many %s: %w", strings.TrimSuffix(kind, ":"), err)
		}
		for i, text := range texts {
			v := new(T)
			if text, ok := text.(string); !ok || json.Unmarshal([]byte(text), v) != nil {
				v = nil
			}
			f(group[i], v)
		}
	}
	return nil
}

// DeleteKey forgets a key; what it made counts no more.
func (s *Store) DeleteKey(ctx context.Context, id string, e access.Entry) error {
	for range tries {
		_, old, err := s.key(ctx, id)
		if err != nil {
			return err
		}
		if err := s.change(ctx, id, old, "", e); !errors.Is(err, errChanged) {
			return err
		}
	}
	return errChanged
}

// A UsedKey is a key, and when it was used last; zero = never, or nobody has told yet.
type UsedKey struct {
	access.Key
	Used time.Time
}

// Keys reads all keys.
func (s *Store) Keys(ctx context.Context) ([]UsedKey, error) {
	ids, err := s.rdb.SMembers(ctx, s.at("keys")).Result()
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	used, err := s.rdb.HGetAll(ctx, s.at("used")).Result()
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	var keys []UsedKey
	err = readMany(ctx, s, "key:", ids, func(_ string, k *access.Key) {
		if k != nil {
			keys = append(keys, UsedKey{Key: *k, Used: millis(used[k.ID])})
		}
	})
	return keys, err
}

func millis(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

// Used notes when keys were used.
func (s *Store) Used(ctx context.Context, at map[string]time.Time) error {
	values := make([]any, 0, 2*len(at))
	for id, t := range at {
		values = append(values, id, t.UnixMilli())
	}
	if len(values) == 0 {
		return nil
	}
	if err := s.rdb.HSet(ctx, s.at("used"), values...).Err(); err != nil {
		return fmt.Errorf("note which keys were used: %w", err)
	}
	return nil
}

// Revoke makes something, named as by TokenName, count no more.
func (s *Store) Revoke(ctx context.Context, name string, e access.Entry) error {
	return s.revoke(ctx, name, map[string]time.Time{name: time.Now().Add(KeptRevoked)}, e)
}

// Again revokes what was revoked before Redis lost it.
func (s *Store) Again(ctx context.Context, names map[string]time.Time) error {
	return s.revoke(ctx, "revoked", names, access.Entry{Time: time.Now().UTC(), Actor: "web",
		Kind:   access.KindLocal,
		Tenant: access.Installation, Action: "revoked.again", Count: len(names)})
}

func (s *Store) revoke(ctx context.Context, change string, names map[string]time.Time, e access.Entry) error {
	if len(names) == 0 {
		return nil
	}
	all := make([]string, 0, len(names))
	for name := range names {
		all = append(all, name)
	}
	said, err := s.said(change, e)
	if err != nil {
		return err
	}
	most := maxByActor
	if e.Kind != access.KindKey && e.Kind != access.KindForeign && e.Kind != access.KindSession {
		most = maxRevoked
	}
	said = append(said, time.Now().UnixMilli(), maxRevoked, most)
	for _, name := range all {
		said = append(said, name, names[name].UnixMilli())
	}
	done, err := revoke.Run(ctx, s.rdb, s.common(s.at("revoked"), s.at("revokes:"+e.Actor)), said...).Bool()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("revoke: %w", err)
	}
	if !done {
		return ErrFull
	}
	return nil
}

// Revoked reads all that counts no more, and until when that is kept.
func (s *Store) Revoked(ctx context.Context) (map[string]time.Time, error) {
	list, err := s.rdb.ZRangeWithScores(ctx, s.at("revoked"), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("read what is revoked: %w", err)
	}
	all := make(map[string]time.Time, len(list))
	for _, z := range list {
		if name, ok := z.Member.(string); ok {
			all[strings.Clone(name)] = time.UnixMilli(int64(z.Score))
		}
	}
	return all, nil
}

// A Rev is how far the access data have come, in the life of this Redis.
type Rev struct {
	Epoch string
	N     int64
}

// Changes are what happened since another Rev.
type Changes struct {
	Rev   Rev
	All   bool     // nobody knows: everything may have changed
	Names []string // of what changed
}

// Look reads what changed.
func (s *Store) Look(ctx context.Context, since Rev) (Changes, error) {
	reply, err := look.Run(ctx, s.rdb, []string{s.at("rev"), s.at("log")}, since.Epoch, since.N).Slice()
	if err == nil && len(reply) < 3 {
		err = fmt.Errorf("unexpected reply %v", reply)
	}
	if err != nil {
		return Changes{}, fmt.Errorf("look at access data: %w", err)
	}
	var c Changes
	c.Rev.Epoch, _ = reply[0].(string)
	c.Rev.N, _ = reply[1].(int64)
	full, _ := reply[2].(int64)
	c.All = full == 1
	for _, name := range reply[3:] {
		if name, ok := name.(string); ok {
			c.Names = append(c.Names, name)
		}
	}
	return c, nil
}
