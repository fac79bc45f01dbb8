package scaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

const (
	// sampleEvery is the time between two samples, and between two reports of a worker.
	sampleEvery = 5 * time.Second
	period      = 10 * time.Second // that is summed in one field
	window      = time.Minute      // of Lane.Spent and Lane.Finished
)

// A Store keeps samples and what jobs cost, in two keys.
type Store struct {
	rdb    redis.UniversalClient
	prefix string
}

// NewStore returns the store of an installation.
func NewStore(rdb redis.UniversalClient, prefix string) *Store { return &Store{rdb, prefix} }

// spentKey names a hash: "<period's number>:<lane>:ms" and "…:n" are the slot-ms that were
// spent in a period of Redis's clock, and the jobs that ended. samplesKey names a sorted
// set of samples, as JSON, by their time in ms.
func (s *Store) spentKey() string   { return s.prefix + ":scale:spent" }
func (s *Store) samplesKey() string { return s.prefix + ":scale:samples" }

// spendScript adds ARGV[3…] (field, number, …) to this period, and forgets those that are
// older than ARGV[2]; ARGV[1] is a period's length. Both in s.
var spendScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local now = tonumber(redis.call('TIME')[1])
local this = math.floor(now / ARGV[1])
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local n = tonumber(string.match(field, '^%d+'))
  if not n or (n + 1) * ARGV[1] < now - ARGV[2] then redis.call('HDEL', KEYS[1], field) end
end
for i = 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], this .. ':' .. ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[2] * 2)
return 1`)

// Spent is what a worker's jobs have cost since it told before.
type Spent struct {
	Lane job.Lane
	Time time.Duration // of slots
	Jobs int64         // that ended
}

// Spend adds to what was spent. A call whose answer is lost may count twice, or never:
// the rule goes by a mean, which bears that.
func (s *Store) Spend(ctx context.Context, spent []Spent) error {
	args := []any{int(period.Seconds()), int((window + period).Seconds())}
	for _, is := range spent {
		args = append(args, string(is.Lane)+":ms", is.Time.Milliseconds(), string(is.Lane)+":n", is.Jobs)
	}
	if err := spendScript.Run(ctx, s.rdb, []string{s.spentKey()}, args...).Err(); err != nil {
		return fmt.Errorf("tell what jobs cost: %w", err)
	}
	return nil
}

// Complete adds to a sample what was spent in the minute before its time.
func (s *Store) Complete(ctx context.Context, sample *Sample) error {
	fields, err := s.rdb.HGetAll(ctx, s.spentKey()).Result()
	if err != nil {
		return fmt.Errorf("ask what jobs cost: %w", err)
	}
	since := sample.At.Add(-window).Unix() / int64(period.Seconds())
	for field, value := range fields {
		parts := strings.Split(field, ":")
		n, err1 := strconv.ParseInt(value, 10, 64)
		if len(parts) != 3 || err1 != nil {
			continue
		}
		at, err := strconv.ParseInt(parts[0], 10, 64)
		lane := sample.Lanes[job.Lane(parts[1])]
		if err != nil || lane == nil || at < since {
			continue
		}
		switch parts[2] {
		case "ms":
			lane.Spent += max(0, n)
		case "n":
			lane.Finished += max(0, n)
		}
	}
	for _, lanes := range sample.Queues { // what a job costs is known of lanes
		for name, lane := range lanes {
			lane.Spent, lane.Finished = sample.Lanes[name].Spent, sample.Lanes[name].Finished
		}
	}
	return nil
}

// noteScript keeps a sample ARGV[2] of the time ARGV[1], unless there is one that is
// younger than ARGV[3]; those older than ARGV[4] go. All in ms.
var noteScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local at = tonumber(ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] and tonumber(last[2]) > at + 60000 then redis.call('DEL', KEYS[1]) last = {} end
if last[2] and at - tonumber(last[2]) < tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], at, ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', at - ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[4] * 2)
return 1`)

// Note keeps a sample for those to come, unless another process has just kept one.
func (s *Store) Note(ctx context.Context, sample Sample) error {
	text, err := json.Marshal(sample.busy())
	if err != nil {
		return err
	}
	err = noteScript.Run(ctx, s.rdb, []string{s.samplesKey()}, sample.At.UnixMilli(), text,
		(sampleEvery - sampleEvery/10).Milliseconds(), (remember + 2*sampleEvery).Milliseconds()).Err()
	if err != nil {
		return fmt.Errorf("keep a sample: %w", err)
	}
	return nil
}

// History returns the samples of the last five minutes, the oldest first.
func (s *Store) History(ctx context.Context) ([]Sample, error) {
	texts, err := s.rdb.ZRange(ctx, s.samplesKey(), 0, -1).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	var history []Sample
	for _, text := range texts {
		var sample Sample
		if json.Unmarshal([]byte(text), &sample) == nil && sample.Lanes != nil { // else another release's
			history = append(history, sample)
		}
	}
	return history, nil
}

// Every is how often a process takes a sample, and a worker tells what its jobs cost.
const Every = sampleEvery
