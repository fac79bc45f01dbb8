package jobstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// Errors of Open: time mends none of them.
var (
	// ErrFormat2 says that the installation's records are of format 2, which this release doesn't read.
	ErrFormat2 = errors.New("the records are of format 2")
	// ErrNewerFormat says that they are of a newer release's.
	ErrNewerFormat = errors.New("the records are of a newer format")
	// ErrPartitions says that the installation began on another kind of Redis.
	ErrPartitions = errors.New("the records are spread in another way")
	// ErrRestoring says that a backup is being put here, of which nobody must see a half. It ends.
	ErrRestoring = errors.New("a backup is being restored")
)

// not2 is what key P:blobs says from now on: a process of format 2 compares it with its blob store
// at its start, and ends.
const not2 = "format-3-needs-a-newer-longshore"

func (s *Store) metaKey() string { return s.prefix + ":meta" }

// metaScript opens an installation, or looks at the one that there is. KEYS: P:meta, P:blobs, then what only
// format 2 has. ARGV: format, partitions, epoch, text of P:blobs. Answers what there is, or nothing
// if there are records of format 2.
var metaScript = redis.NewScript(`#!lua flags=allow-oom
if redis.call('HEXISTS', KEYS[1], 'format') == 0 then
  local blobs = redis.call('GET', KEYS[2])
  if blobs and blobs ~= ARGV[4] or redis.call('EXISTS', unpack(KEYS, 3)) > 0 then return {} end
  redis.call('HSET', KEYS[1], 'format', ARGV[1], 'partitions', ARGV[2], 'epoch', ARGV[3])
end
if redis.call('GET', KEYS[2]) ~= ARGV[4] then redis.call('SET', KEYS[2], ARGV[4]) end
return redis.call('HMGET', KEYS[1], 'format', 'partitions', 'restoring')`)

// Open makes sure that this process may use the installation's records. Errors: ErrFormat2, ErrNewerFormat,
// ErrPartitions, ErrRestoring, or Redis's.
func (s *Store) Open(ctx context.Context) error {
	if len(s.bases) > 1 {
		return s.openApart(ctx)
	}
	keys := append([]string{s.metaKey(), s.prefix + ":blobs"}, s.oldIDs()...)
	said, err := metaScript.Run(ctx, s.rdb, keys, recordVersion, len(s.bases), rand.Text(), not2).Slice()
	if err != nil {
		return fmt.Errorf("open the records: %w", err)
	}
	if len(said) == 0 {
		return s.tellFormat2(ctx)
	}
	return s.compare(said)
}

// openApart is Open on a Cluster, where these keys lie in many slots.
func (s *Store) openApart(ctx context.Context) error {
	old := false
	for _, key := range s.oldIDs() {
		n, err := s.rdb.Exists(ctx, key).Result()
		if err != nil {
			return fmt.Errorf("open the records: %w", err)
		}
		old = old || n > 0
	}
	blobs, err := s.rdb.Get(ctx, s.prefix+":blobs").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("open the records: %w", err)
	}
	format, err := s.rdb.HGet(ctx, s.metaKey(), "format").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("open the records: %w", err)
	}
	if format == "" {
		if old || blobs != "" && blobs != not2 {
			return s.tellFormat2(ctx)
		}
		pipe := s.rdb.TxPipeline()
		pipe.HSetNX(ctx, s.metaKey(), "format", recordVersion)
		pipe.HSetNX(ctx, s.metaKey(), "partitions", len(s.bases))
		pipe.HSetNX(ctx, s.metaKey(), "epoch", rand.Text())
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("open the records: %w", err)
		}
	}
	if err := s.rdb.Set(ctx, s.prefix+":blobs", not2, 0).Err(); err != nil {
		return fmt.Errorf("open the records: %w", err)
	}
	said, err := s.rdb.HMGet(ctx, s.metaKey(), "format", "partitions", "restoring").Result()
	if err != nil {
		return fmt.Errorf("open the records: %w", err)
	}
	return s.compare(said)
}

// compare judges what P:meta says: format, partitions, and the backup that is being restored.
func (s *Store) compare(said []any) error {
	format, parts, restoring := text(said[0]), text(said[1]), text(said[2])
	switch n, err := strconv.Atoi(format); {
	case err != nil || n < recordVersion:
		return fmt.Errorf("%w: key %s says format %q", ErrFormat2, s.metaKey(), format)
	case n > recordVersion:
		return fmt.Errorf("%w: %d, and this release reads up to %d", ErrNewerFormat, n, recordVersion)
	}
	if parts != strconv.Itoa(len(s.bases)) {
		return fmt.Errorf(
			"%w: over %s partitions, and this Redis needs %d: a single one and a Cluster can't take each other's place",
			ErrPartitions, parts, len(s.bases))
	}
	if restoring != "" && restoring != s.restoring {
		return fmt.Errorf("%w: wait until enqueue restore has come to its end; if it was ended, run it again",
			ErrRestoring)
	}
	return nil
}

// Keys of format 2.
const oldShards = 16

func (s *Store) oldBase(k int) string { return s.prefix + ":{" + strconv.Itoa(k) + "}:" }

func (s *Store) oldIDs() []string {
	keys := make([]string, oldShards)
	for k := range keys {
		keys[k] = s.oldBase(k) + "ids"
	}
	return keys
}

// A Format2 is what an installation of format 2 still has.
type Format2 struct {
	Open, Ended, Callbacks int64
	LastRunAt              time.Time // of an open job; zero: none waits for a time
	Partly                 bool      // there are more jobs than were looked at
}

// lookAtMost bounds how many records of format 2 are looked at to tell what there is.
const lookAtMost = 200_000

func (s *Store) tellFormat2(ctx context.Context) error {
	f, err := s.LookAtFormat2(ctx)
	if err != nil {
		return fmt.Errorf("%w, and can't be counted: %w", ErrFormat2, err)
	}
	more, last := "", ""
	if f.Partly {
		more = " at least"
	}
	if !f.LastRunAt.IsZero() {
		last = ", the last of them at " + f.LastRunAt.Format(time.RFC3339)
	}
	return fmt.Errorf(
		"%w: there are%s %d open jobs%s, %d callbacks to be delivered, %d ended jobs; drain them with the older release, "+
			"or drop them with enqueue doctor --drop-format-2", ErrFormat2, more, f.Open, last, f.Callbacks,
		f.Ended)
}

// LookAtFormat2 counts what an installation of format 2 has.
func (s *Store) LookAtFormat2(ctx context.Context) (f Format2, err error) {
	seen := 0
	for k := range oldShards {
		base := s.oldBase(k)
		n, err := s.rdb.ZCard(ctx, base+"callbacks").Result()
		if err != nil {
			return f, err
		}
		f.Callbacks += n
		for from := int64(0); ; from += sweepLimit * 10 {
			ids, err := s.rdb.ZRange(ctx, base+"ids", from, from+sweepLimit*10-1).Result()
			if err != nil {
				return f, err
			}
			if len(ids) == 0 {
				break
			}
			if seen += len(ids); seen > lookAtMost {
				f.Partly = true
				break
			}
			if err := s.countFormat2(ctx, base, ids, &f); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

func (s *Store) countFormat2(ctx context.Context, base string, ids []string, f *Format2) error {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.SliceCmd, len(ids))
	for i, id := range ids {
		cmds[i] = pipe.HMGet(ctx, base+"j:"+id, "m", "at")
	}
	if _, err := pipe.Exec(ctx); failed(err) {
		return err
	}
	for _, cmd := range cmds {
		fields := cmd.Val()
		if len(fields) < 2 || text(fields[0]) == "" {
			continue
		}
		switch text(fields[0])[0] {
		case 's', 'f', 'c', 'x':
			f.Ended++
			continue
		}
		f.Open++
		if at := integer(fields[1]); at > 0 && time.UnixMilli(at).After(f.LastRunAt) {
			f.LastRunAt = time.UnixMilli(at).UTC()
		}
	}
	return nil
}

// quietFor is how long no process of format 2 must have swept before its records go.
const quietFor = 5 * time.Second

// ErrStillRuns says that a process of format 2 is at work.
var ErrStillRuns = errors.New("a process of the older release still runs: end all of them first")

// DropFormat2 removes all records, tickets and results of format 2. It may be repeated, by many at
// once. Errors: ErrStillRuns, or Redis's.
func (s *Store) DropFormat2(ctx context.Context) error {
	blobs, err := s.rdb.Get(ctx, s.prefix+":blobs").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if blobs != "" && blobs != not2 { // the files' place stays what it was
		if err := s.rdb.HSetNX(ctx, s.metaKey(), "blobs", blobs).Err(); err != nil {
			return err
		}
	}
	if err := s.rdb.Set(ctx, s.prefix+":blobs", not2, 0).Err(); err != nil {
		return err
	}
	if err := s.waitForFormat2(ctx); err != nil {
		if blobs != "" && blobs != not2 { // who drains it may start again
			err = errors.Join(err, s.rdb.Set(context.WithoutCancel(ctx), s.prefix+":blobs", blobs, 0).Err())
		}
		return err
	}
	for k := range oldShards {
		if err := s.dropKeys(ctx, s.oldBase(k)); err != nil {
			return fmt.Errorf("drop format 2: %w", err)
		}
	}
	if err := s.dropTickets(ctx); err != nil {
		return fmt.Errorf("drop tickets of format 2: %w", err)
	}
	return s.Open(ctx)
}

func (s *Store) waitForFormat2(ctx context.Context) error {
	var before []any
	for begun, quiet := time.Now(), time.Now(); time.Since(quiet) < quietFor; {
		now := make([]any, oldShards)
		for k := range now {
			swept, err := s.rdb.Get(ctx, s.oldBase(k)+"swept").Result()
			if failed(err) {
				return err
			}
			now[k] = swept
		}
		if fmt.Sprint(now) != fmt.Sprint(before) {
			before, quiet = now, time.Now()
		}
		if time.Since(begun) > 4*quietFor {
			return ErrStillRuns
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(quietFor / 20):
		}
	}
	return nil
}

// oldNames are the sets of format 2; its other keys end in an id of 36 characters, or a hash of 32.
var oldNames = []string{"due", "leases", "callbacks", "ids", "swept", "rewind", "rewind:callbacks",
	"quarantine"}

// dropKeys removes the keys of one shard of format 2, and none of this format's.
func (s *Store) dropKeys(ctx context.Context, base string) error {
	for from := int64(0); ; {
		ids, err := s.rdb.ZRange(ctx, base+"ids", from, from+sweepLimit-1).Result()
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		pipe := s.rdb.Pipeline()
		var claims []*redis.StringCmd
		for _, id := range ids {
			claims = append(claims, pipe.HGet(ctx, base+"j:"+id, "ik"))
		}
		if _, err := pipe.Exec(ctx); failed(err) {
			return err
		}
		pipe = s.rdb.Pipeline()
		for i, id := range ids {
			if len(id) != 36 {
				continue
			}
			for _, kind := range []string{"j:", "p:", "r:", "g:", "e:", "u:", "w:", "c:"} {
				pipe.Unlink(ctx, base+kind+id)
			}
			if hash := claims[i].Val(); len(hash) == 32 {
				pipe.Unlink(ctx, base+"i:"+hash)
			}
		}
		for _, id := range ids {
			pipe.ZRem(ctx, base+"ids", id)
		}
		if _, err := pipe.Exec(ctx); failed(err) {
			return err
		}
	}
	for _, name := range oldNames {
		if err := s.rdb.Unlink(ctx, base+name).Err(); err != nil {
			return err
		}
	}
	return nil
}

// dropTickets removes tickets of format 2: "<32 hex>.<delivery>", pending and active.
func (s *Store) dropTickets(ctx context.Context) error {
	for _, at := range job.PlacesOf("") {
		keys := QueueKeys(QueueName(s.prefix, at.Name(), 0, 1))
		lists := []string{keys + "pending", keys + "active"}
		for _, kind := range s.rdb.SMembers(ctx, keys+"parked").Val() {
			lists = append(lists, keys+"pending:type:"+kind)
		}
		for _, list := range lists {
			entries, err := s.rdb.LRange(ctx, list, 0, -1).Result()
			if err != nil {
				return err
			}
			pipe := s.rdb.Pipeline()
			for _, entry := range entries {
				if oldEntry.MatchString(entry) {
					pipe.Unlink(ctx, keys+"t:"+entry)
				}
			}
			if pipe.Len() > 0 {
				if _, err := pipe.Exec(ctx); err != nil {
					return err
				}
			}
			if err := oldEntries.Run(ctx, s.rdb, []string{list}).Err(); err != nil {
				return err
			}
		}
		if err := s.rdb.Del(ctx, keys+"active").Err(); err != nil {
			return err
		}
	}
	return nil
}

var oldEntry = regexp.MustCompile(`^[0-9a-f]{32}\.[0-9]+$`)

// oldEntries keeps all other entries in a list of tickets, in their order.
var oldEntries = redis.NewScript(`#!lua flags=allow-oom
local ours = {}
for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if not (#entry > 33 and string.find(entry, '^%x+%.%d+$')) then ours[#ours + 1] = entry end
end
redis.call('DEL', KEYS[1])
for i = 1, #ours, 1000 do redis.call('RPUSH', KEYS[1], unpack(ours, i, math.min(i + 999, #ours))) end
return #ours`)

// RegisterBlobs notes the id of the installation's blob store, if none is
// noted yet, and returns the noted one.
func (s *Store) RegisterBlobs(ctx context.Context, id string) (string, error) {
	if there, err := s.rdb.HExists(ctx, s.metaKey(), "blobs").Result(); err != nil {
		return "", err
	} else if !there { // else a full Redis would refuse
		if err := s.rdb.HSetNX(ctx, s.metaKey(), "blobs", id).Err(); err != nil {
			return "", err
		}
	}
	return s.rdb.HGet(ctx, s.metaKey(), "blobs").Result()
}

// Epoch returns a random text that lives as long as the data of this Redis:
// another one than before says that all records were lost. Then it opens the
// installation anew.
func (s *Store) Epoch(ctx context.Context) (string, error) {
	if err := s.Open(ctx); err != nil {
		return "", err
	}
	return s.rdb.HGet(ctx, s.metaKey(), "epoch").Result()
}

// Probed tells whether the way that asynq keeps its queues was compared, for a text that says which.
func (s *Store) Probed(ctx context.Context, asynq string) (bool, error) {
	said, err := s.rdb.HGet(ctx, s.metaKey(), "asynq").Result()
	if failed(err) {
		return false, err
	}
	return said == asynq, nil
}

// NoteProbe notes that it was.
func (s *Store) NoteProbe(ctx context.Context, asynq string) error {
	return s.rdb.HSet(ctx, s.metaKey(), "asynq", asynq).Err()
}
