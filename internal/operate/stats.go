package operate

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/job"
)

// A ring keeps samples of the counters, one a step, for its newest steps.
type ring struct {
	name  string
	step  time.Duration
	slots int64
	shown int64 // steps of its window
}

var rings = map[string]ring{
	"1h":  {"1m", time.Minute, 120, 60},
	"24h": {"5m", 5 * time.Minute, 312, 288},
}

const (
	defaultWindow = "1h"
	statsLife     = 27 * time.Hour
	// maxSampled is how many types of tenants a sample tells apart; the rest is in the sum alone.
	maxSampled = 200
)

// A sample is what the counters said at one moment. Numbers only grow but for those of what stands.
type sample struct {
	At   int64                `json:"t"` // ms, by Redis's clock
	Sum  sampled              `json:"s"`
	Each map[string][]sampled `json:"e"`           // tenant → its types
	More bool                 `json:"m,omitempty"` // there are others, which the sum alone has
}

// A sampled is that of one type of one tenant.
type sampled struct {
	Type    string              `json:"k,omitempty"`
	Created int64               `json:"c"`
	Waiting int64               `json:"w,omitempty"`
	Running int64               `json:"r,omitempty"`
	Ended   map[job.State]int64 `json:"e,omitempty"`
}

func (s *sampled) add(o *sampled) {
	s.Created, s.Waiting, s.Running = s.Created+o.Created, s.Waiting+o.Waiting, s.Running+o.Running
	for state, n := range o.Ended {
		if s.Ended == nil {
			s.Ended = map[job.State]int64{}
		}
		s.Ended[state] += n
	}
}

// of is what a view sees of a sample, of one type or all; ok is false where the sample may not know.
func (s *sample) of(tenant, kind string) (sum sampled, ok bool) {
	if tenant == "" && kind == "" {
		return s.Sum, true
	}
	for of, types := range s.Each {
		for i := range types {
			if (tenant == "" || tenant == of) && (kind == "" || kind == types[i].Type) {
				sum.add(&types[i])
				ok = true
			}
		}
	}
	return sum, !s.More || ok && tenant != "" && kind != "" // else some of them may be missing
}

func (d *Desk) ringKey(r ring) string { return d.Prefix + ":stat:" + r.name }

// Sample copies the counters to the rings, where nobody has done so in the minute that begins.
func (d *Desk) Sample(ctx context.Context) error {
	now, err := d.clock(ctx)
	if err != nil {
		return err
	}
	minute := now.Truncate(time.Minute).UnixMilli()
	took := d.Prefix + ":stat:took:" + strconv.FormatInt(minute, 10)
	first, err := d.Redis.SetNX(ctx, took, 1, 2*time.Minute).Result()
	if err != nil || !first {
		return err
	}
	if err := d.sampleMinute(ctx, now, minute); err != nil {
		_ = d.Redis.Del(context.WithoutCancel(ctx), took).Err() // else the minute is lost, no more
		return err
	}
	return nil
}

func (d *Desk) sampleMinute(ctx context.Context, now time.Time, minute int64) error {
	text, err := d.sampleNow(ctx, now)
	if err != nil {
		return err
	}
	pipe := d.Redis.Pipeline()
	for _, r := range rings {
		if minute%r.step.Milliseconds() != 0 { // the first one of all is a beginning, whenever it comes
			if n, err := d.Redis.HLen(ctx, d.ringKey(r)).Result(); err != nil || n > 0 {
				continue
			}
		}
		slot := minute / r.step.Milliseconds() % r.slots
		pipe.HSet(ctx, d.ringKey(r), strconv.FormatInt(slot, 10), text)
		pipe.PExpire(ctx, d.ringKey(r), statsLife)
	}
	_, err = pipe.Exec(ctx)
	return err
}

func (d *Desk) sampleNow(ctx context.Context, now time.Time) ([]byte, error) {
	totals, err := d.Store.TotalsByTenant(ctx)
	if err != nil {
		return nil, err
	}
	s := sample{At: now.UnixMilli(), Each: map[string][]sampled{}}
	for i, t := range totals { // those with the most jobs first
		one := sampled{Type: t.Type, Waiting: t.Counts[job.Queued], Running: t.Counts[job.Running],
			Ended: t.Ended}
		for state, n := range t.Counts {
			if !state.Terminal() {
				one.Created += n
			}
		}
		for _, n := range t.Ended {
			one.Created += n
		}
		s.Sum.add(&one)
		if s.More = i >= maxSampled; !s.More {
			s.Each[t.Tenant] = append(s.Each[t.Tenant], one)
		}
	}
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed) // a level that there is
	if err := json.NewEncoder(z).Encode(s); err != nil {
		return nil, err
	}
	err = z.Close()
	return packed.Bytes(), err
}

// maxUnpacked bounds what a sample is taken for, whoever wrote it.
const maxUnpacked = 1 << 20

func unpack(text string) (s sample, ok bool) {
	z, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		return s, false
	}
	err = json.NewDecoder(io.LimitReader(z, maxUnpacked)).Decode(&s)
	return s, err == nil
}

// Stats tells how many jobs came, ended and waited, step by step, in the last hour or day.
func (d *Desk) Stats(ctx context.Context, by access.View, window, kind string) (answer.Stats, error) {
	if window == "" {
		window = defaultWindow
	}
	r, ok := rings[window]
	if !ok {
		return answer.Stats{}, httpapi.InvalidAt("?window", "expected 1h or 24h")
	}
	if by.Subject != "" {
		return answer.Stats{}, httpapi.NewError(httpapi.Forbidden,
			"numbers are of a whole tenant: this needs scope jobs:all")
	}
	stats := answer.Stats{Window: window, StepMS: r.step.Milliseconds(), Points: []answer.StatsPoint{}}
	now, err := d.clock(ctx)
	if err != nil {
		return stats, err
	}
	last := now.UnixMilli() / r.step.Milliseconds()
	fields := make([]string, 0, r.shown+1)
	for at := last - r.shown; at <= last; at++ {
		fields = append(fields, strconv.FormatInt(at%r.slots, 10))
	}
	texts, err := d.Redis.HMGet(ctx, d.ringKey(r), fields...).Result()
	if err != nil {
		return stats, err
	}
	tenant := jobstore.Within(by, job.Filter{}).Tenant
	samples := map[int64]sampled{}
	for _, one := range texts {
		text, _ := one.(string)
		if s, ok := unpack(text); ok {
			of, known := s.of(tenant, kind)
			if at := s.At / r.step.Milliseconds(); known && at >= last-r.shown && at <= last {
				samples[at] = of
			}
		}
	}
	live, err := d.Counts(ctx, by, kind)
	if err != nil {
		return stats, err
	}
	stats.Points = points(samples, last, r, &live, now)
	if by.All() {
		stats.RunMS, err = d.runTimes(ctx, window, kind, now)
	}
	return stats, err
}

// points are the steps between samples; the newest one goes on, and ends with what the counters say now.
func points(samples map[int64]sampled, last int64, r ring, live *answer.Counts,
	now time.Time) []answer.StatsPoint {
	if len(samples) == 0 {
		return []answer.StatsPoint{}
	}
	current := sampled{Waiting: live.Counts[job.Queued], Running: live.Counts[job.Running], Ended: live.Ended}
	for state, n := range live.Counts {
		if !state.Terminal() {
			current.Created += n
		}
	}
	for _, n := range live.Ended {
		current.Created += n
	}
	samples[last+1] = current
	list := []answer.StatsPoint{}
	before, begun := int64(0), false
	for at := last - r.shown; at <= last+1; at++ {
		s, ok := samples[at]
		if !ok {
			continue
		}
		if begun {
			list = append(list, between(samples[before], s, before, at, r)...)
		}
		before, begun = at, true
	}
	if n := len(list); n > 0 {
		list[n-1].Partial = now.UnixMilli() < (last+1)*r.step.Milliseconds()
	}
	return list
}

// between are the steps from one sample to the next one: where nobody took one, what happened is spread.
func between(a, b sampled, from, to int64, r ring) []answer.StatsPoint {
	steps := to - from
	share := func(n, i int64) int64 { n = max(n, 0); return n*(i+1)/steps - n*i/steps }
	var list []answer.StatsPoint
	for i := range steps {
		p := answer.StatsPoint{At: time.UnixMilli((from + i) * r.step.Milliseconds()).UTC(),
			Created: share(b.Created-a.Created, i), Waiting: b.Waiting, Running: b.Running,
			Ended: map[job.State]int64{}}
		for state, n := range b.Ended {
			if moved := share(n-a.Ended[state], i); moved > 0 {
				p.Ended[state] = moved
			}
		}
		list = append(list, p)
	}
	return list
}

// RunBuckets is how many buckets durations of runs are counted in: bucket i has those of up to √2^i ms.
const RunBuckets = 48

// RunBucket is that of a duration.
func RunBucket(took time.Duration) int {
	ms := max(took.Milliseconds(), 1)
	return min(int(math.Ceil(2*math.Log2(float64(ms)))), RunBuckets-1)
}

// Runs are how many runs of each type lasted how long.
type Runs map[string]*[RunBuckets]uint32

// timesOf are the keys that runs are counted in, and which of them a window has.
func (d *Desk) timesOf(window string, now time.Time, back int64) string {
	if window == "24h" {
		return fmt.Sprintf("%s:hd:h:%d", d.Prefix, now.Unix()/3600-back)
	}
	return fmt.Sprintf("%s:hd:5m:%d", d.Prefix, now.Unix()/300-back)
}

// NoteRuns counts runs that have ended.
func (d *Desk) NoteRuns(ctx context.Context, runs Runs) error {
	if len(runs) == 0 {
		return nil
	}
	now := time.Now()
	pipe := d.Redis.Pipeline()
	for window := range rings {
		key := d.timesOf(window, now, 0)
		for kind, buckets := range runs {
			for i, n := range buckets {
				if n > 0 {
					pipe.HIncrBy(ctx, key, strconv.Itoa(i)+" "+kind, int64(n))
				}
			}
		}
		pipe.PExpire(ctx, key, statsLife)
	}
	_, err := pipe.Exec(ctx)
	return err
}

// runTimes tells how long runs took; nil where none has ended.
func (d *Desk) runTimes(ctx context.Context, window, kind string, now time.Time) (*answer.RunTimes, error) {
	keys := int64(13)
	if window == "24h" {
		keys = 25
	}
	pipe := d.Redis.Pipeline()
	cmds := make([]*redis.MapStringStringCmd, keys)
	for i := range keys {
		cmds[i] = pipe.HGetAll(ctx, d.timesOf(window, now, i))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	var buckets [RunBuckets]int64
	all := int64(0)
	for _, cmd := range cmds {
		for field, text := range cmd.Val() {
			bucket, of, _ := strings.Cut(field, " ")
			i, err := strconv.Atoi(bucket)
			n, _ := strconv.ParseInt(text, 10, 64)
			if err == nil && i >= 0 && i < RunBuckets && n > 0 && (kind == "" || kind == of) {
				buckets[i] += n
				all += n
			}
		}
	}
	if all == 0 {
		return nil, nil
	}
	at := func(share float64) int64 {
		want, sum := int64(math.Ceil(share*float64(all))), int64(0)
		i := slices.IndexFunc(buckets[:], func(n int64) bool { sum += n; return sum >= want })
		return int64(math.Round(math.Pow(2, float64(i)/2)))
	}
	return &answer.RunTimes{N: all, P50: at(0.5), P95: at(0.95)}, nil
}
