package jobstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// A Fixed tells what Fix found and did.
type Fixed struct {
	Records int64    // that can be read
	Mended  int64    // jobs that lacked something: a lease, a time, a ticket, an entry of an index
	Pruned  int64    // entries of indexes without a job behind them
	Renewed int64    // streams of all jobs of a type that lacked some, written anew
	Damaged []job.ID // can't be read, and are set aside
	Newer   int64    // are a newer release's, and were left alone
}

// ErrTooMany says that counting would hold Redis up for too long.
var ErrTooMany = errors.New("too many jobs to be counted while programs run")

// Bounds of Fix.
const (
	fixChunk = 100   // jobs of one script call
	fixPage  = 5_000 // entries of a list or a set that are read at a time
	// countMax is how many jobs of a family are counted in one call, at about 2 s a million: less than
	// programs' calls to Redis wait.
	countMax = 1_200_000
)

// Fix rebuilds what moves keep beside the records, from the records: indexes, leases, times,
// tickets, counters. Programs may go on meanwhile. It may end anywhere, and be repeated.
// Errors: ErrTooMany, after all but the counters; Redis's.
func (s *Store) Fix(ctx context.Context) (sum Fixed, err error) {
	for part := range s.bases {
		f := fixing{Store: s, countMax: countMax, part: part, base: s.bases[part], sum: &sum}
		if err := f.run(ctx); err != nil {
			return sum, fmt.Errorf("fix partition %d: %w", part, err)
		}
	}
	return sum, nil
}

// A fixing is that of one partition.
type fixing struct {
	*Store
	countMax int64
	part     int
	base     string
	sum      *Fixed

	ids, streams, sets []string
	lines              []string          // of classes of limits
	ended              map[string]bool   // ids in lists of ended jobs
	listed             map[string]string // id → the newest delivery that waits
	lack               map[string]bool   // families whose stream lacks a job
}

func (f *fixing) run(ctx context.Context) error {
	// Before the lists: a job that moves meanwhile gets a ticket too many at most.
	if err := f.scan(ctx); err != nil {
		return err
	}
	if err := f.readQueues(ctx); err != nil {
		return err
	}
	f.lack = map[string]bool{}
	if err := f.mendAll(ctx); err != nil {
		return err
	}
	if err := f.renewStreams(ctx); err != nil {
		return err
	}
	if err := f.pruneAll(ctx); err != nil {
		return err
	}
	return f.tallyAll(ctx)
}

// tallyAll counts each family's jobs anew, and what is counted of all.
func (f *fixing) tallyAll(ctx context.Context) error {
	families := map[string]bool{}
	for _, stream := range f.streams {
		families[strings.TrimPrefix(stream, f.base+"all:")] = true
	}
	// Those too that came while Fix ran: nobody would count their jobs.
	fields, err := f.rdb.HKeys(ctx, f.base+"n").Result()
	if err != nil {
		return err
	}
	for _, field := range fields {
		if len(field) == 9 {
			families[field[:8]] = true
		}
	}
	var many error
	for _, family := range slices.Sorted(maps.Keys(families)) {
		n, err := f.rdb.XLen(ctx, f.base+"all:"+family).Result()
		if failed(err) {
			return err
		}
		if n > f.countMax {
			many = fmt.Errorf("%w: %d of one type", ErrTooMany, n)
			continue
		}
		if err := f.scripts.tally.Run(ctx, f.rdb, []string{f.base}, family).Err(); err != nil {
			return err
		}
	}
	err = f.scripts.tally.Run(ctx, f.rdb, []string{f.base}, "").Err()
	return errors.Join(many, err)
}

// scan notes the keys of the partition.
func (f *fixing) scan(ctx context.Context) error {
	var node redis.Cmdable = f.rdb
	if cluster, ok := f.rdb.(*redis.ClusterClient); ok { // all of the partition lies on one
		master, err := cluster.MasterForKey(ctx, f.base)
		if err != nil {
			return err
		}
		node = master
	}
	f.ended = map[string]bool{}
	pattern := strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`).Replace(f.base) + "*"
	for cursor := uint64(0); ; {
		keys, next, err := node.Scan(ctx, cursor, pattern, 1000).Result()
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := f.sort(ctx, key, key[len(f.base):]); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			f.ids = slices.Compact(slices.Sorted(slices.Values(f.ids))) // SCAN may bring a key twice
			f.streams = slices.Compact(slices.Sorted(slices.Values(f.streams)))
			return nil
		}
	}
}

// sort notes one key.
func (f *fixing) sort(ctx context.Context, key, name string) error {
	kind, rest, _ := strings.Cut(name, ":")
	switch {
	case kind == "j" && len(rest) == 16:
		f.ids = append(f.ids, rest)
	case kind == "all" && len(rest) == 8:
		f.streams = append(f.streams, key)
	case kind == "st" && len(rest) == 10:
		f.sets = append(f.sets, key)
	case kind == "line" || kind == "slots":
		if err := f.rdb.SAdd(ctx, f.base+"classes", rest).Err(); err != nil {
			return err
		}
		if kind == "line" {
			f.lines = append(f.lines, key)
		}
	case kind == "end":
		return f.eachOf(ctx, key, func(raw string) { f.ended[raw] = true })
	}
	return nil
}

// eachOf tells the entries of a list, some at a time. What is pushed at its head meanwhile may have some told
// twice.
func (f *fixing) eachOf(ctx context.Context, list string, tell func(entry string)) error {
	for at := int64(0); ; at += fixPage {
		entries, err := f.rdb.LRange(ctx, list, at, at+fixPage-1).Result()
		if failed(err) {
			return err
		}
		for _, entry := range entries {
			tell(entry)
		}
		if len(entries) < fixPage {
			return nil
		}
	}
}

// readQueues notes which tickets wait.
func (f *fixing) readQueues(ctx context.Context) error {
	f.listed = map[string]string{}
	for _, line := range f.lines {
		if err := f.eachOf(ctx, line, f.noteEntry); err != nil {
			return err
		}
	}
	places, err := f.Places(ctx, f.part)
	if err != nil {
		return err
	}
	for _, at := range places {
		keys := QueueKeys(QueueName(f.prefix, at.Name(), f.part, len(f.bases)))
		kinds, err := f.rdb.SMembers(ctx, keys+"parked").Result()
		if failed(err) {
			return err
		}
		lists := []string{keys + "pending"}
		for _, kind := range kinds {
			lists = append(lists, keys+"pending:type:"+kind)
		}
		for _, list := range lists {
			if err := f.eachOf(ctx, list, f.noteEntry); err != nil {
				return err
			}
		}
	}
	return nil
}

// noteEntry notes a ticket that waits.
func (f *fixing) noteEntry(entry string) {
	id, delivery, ok := ParseEntry(entry)
	if before := f.listed[id.Raw()]; ok && integer(before) < delivery {
		f.listed[id.Raw()] = strconv.FormatInt(delivery, 10)
	}
}

// A row is an entry of a stream of all jobs.
type row struct {
	at, place int64
	raw       string
}

func (r row) id() string { return strconv.FormatInt(r.at, 10) + "-" + strconv.FormatInt(r.place, 10) }

// mendAll mends all jobs, and notes of which families the stream lacks some.
func (f *fixing) mendAll(ctx context.Context) error {
	for chunk := range slices.Chunk(f.ids, fixChunk) {
		args := []any{ms(f.lease)}
		for _, raw := range chunk {
			ended := "0"
			if f.ended[raw] {
				ended = "1"
			}
			args = append(args, raw, ended, cmp.Or(f.listed[raw], "0"))
		}
		replies, err := f.scripts.mend.Run(ctx, f.rdb, []string{f.base}, args...).Slice()
		if err != nil {
			return err
		}
		for i, one := range replies {
			reply, _ := one.([]any)
			if len(reply) == 0 || i >= len(chunk) {
				return errors.New("script answered something else")
			}
			f.take(chunk[i], reply)
		}
	}
	return nil
}

func (f *fixing) take(raw string, reply []any) {
	switch text(reply[0]) {
	case "ok":
		if len(reply) != 4 {
			return
		}
		f.sum.Records++
		if integer(reply[1]) > 0 {
			f.sum.Mended++
		}
		if integer(reply[2]) == 0 {
			f.lack[text(reply[3])] = true
		}
	case "future":
		f.sum.Newer++
	case "gone":
	default:
		f.sum.Damaged = append(f.sum.Damaged, job.FromRaw(raw))
	}
}

// renewStreams writes streams anew that lack a job.
func (f *fixing) renewStreams(ctx context.Context) error {
	if len(f.lack) == 0 {
		return nil
	}
	rows := map[string][]row{}
	f.ended, f.listed = nil, nil
	err := f.eachRow(ctx, func(family string, at row) { rows[family] = append(rows[family], at) })
	if err != nil {
		return err
	}
	for family, list := range rows {
		list, err := f.standing(ctx, family, list)
		if err != nil {
			return err
		}
		slices.SortStableFunc(list, byPlace)
		// What was read of a record goes before what the stream says.
		list = slices.CompactFunc(list, func(a, b row) bool { return byPlace(a, b) == 0 })
		written := f.base + "new:" + family
		if err := f.rdb.Del(ctx, written).Err(); err != nil {
			return err
		}
		for chunk := range slices.Chunk(list, fixChunk) {
			pipe := f.rdb.Pipeline()
			for _, r := range chunk {
				pipe.XAdd(ctx, &redis.XAddArgs{Stream: written, ID: r.id(), Values: []any{"j", r.raw}})
			}
			// a place that no stream can have
			if _, err := pipe.Exec(ctx); err != nil && !redis.HasErrorPrefix(err, "ERR The ID") {
				return err
			}
		}
		last := list[len(list)-1]
		if err := f.scripts.renew.Run(ctx, f.rdb, []string{f.base}, family, last.id()).Err(); err != nil {
			return err
		}
		f.streams = append(f.streams, f.base+"all:"+family)
		f.sum.Renewed++
	}
	f.streams = slices.Compact(slices.Sorted(slices.Values(f.streams)))
	return nil
}

func byPlace(a, b row) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.place, b.place))
}

// standing adds what a family's stream has: a job that was created after the scan is known by it alone.
func (f *fixing) standing(ctx context.Context, family string, list []row) ([]row, error) {
	for from := "-"; ; {
		entries, err := f.rdb.XRangeN(ctx, f.base+"all:"+family, from, "+", 1000).Result()
		if failed(err) {
			return nil, err
		}
		if len(entries) == 0 {
			return list, nil
		}
		for _, m := range entries {
			if e, ok := streamEntry(m, f.part); ok {
				tie := int64(e.tie[0])<<8 | int64(e.tie[1])
				list = append(list, row{e.at, tie, e.id.Raw()})
			}
		}
		from = "(" + entries[len(entries)-1].ID
	}
}

// eachRow tells where the jobs stand that belong to the streams which lack some.
func (f *fixing) eachRow(ctx context.Context, tell func(family string, at row)) error {
	for chunk := range slices.Chunk(f.ids, mgetSize) {
		ids := make([]job.ID, len(chunk))
		for i, raw := range chunk {
			ids[i] = job.FromRaw(raw)
		}
		cores, err := getCores(ctx, f.rdb, f.base, ids)
		if err != nil {
			return err
		}
		for i, c := range cores {
			r, err := parseRecord(c.text)
			if err != nil {
				continue
			}
			h, err := f.headOf(ctx, f.part, &r)
			if bad := errRecord(""); errors.As(err, &bad) {
				continue
			} else if err != nil {
				return err
			}
			if f.lack[h.family] {
				tell(h.family, row{r.created, int64(r.place), chunk[i]})
			}
		}
	}
	return nil
}

// pruneAll takes entries out of indexes whose jobs are gone, or have left the state.
func (f *fixing) pruneAll(ctx context.Context) error {
	for _, stream := range f.streams {
		for from := "-"; from != ""; {
			entries, err := f.rdb.XRangeN(ctx, stream, from, "+", fixChunk).Result()
			if failed(err) {
				return err
			}
			args := []any{stream, ""}
			from = ""
			for _, m := range entries {
				raw, _ := m.Values["j"].(string)
				args, from = append(args, m.ID, raw), "("+m.ID
			}
			if err := f.prune(ctx, args); err != nil {
				return err
			}
		}
	}
	for _, set := range f.sets {
		if err := f.pruneSet(ctx, set); err != nil {
			return err
		}
	}
	return nil
}

// pruneSet does it for one set, from its end on: what goes doesn't move what is still to be looked at.
func (f *fixing) pruneSet(ctx context.Context, set string) error {
	n, err := f.rdb.ZCard(ctx, set).Result()
	if failed(err) {
		return err
	}
	for end := n; end > 0; end -= fixPage {
		members, err := f.rdb.ZRange(ctx, set, max(end-fixPage, 0), end-1).Result()
		if failed(err) {
			return err
		}
		for chunk := range slices.Chunk(members, fixChunk) {
			args := []any{set, set[len(f.base)+3 : len(f.base)+4]}
			for _, raw := range chunk {
				args = append(args, "", raw)
			}
			if err := f.prune(ctx, args); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fixing) prune(ctx context.Context, args []any) error {
	if len(args) == 2 {
		return nil
	}
	n, err := f.scripts.prune.Run(ctx, f.rdb, []string{f.base}, args...).Int64()
	f.sum.Pruned += n
	return err
}

// A Health is what is known to be wrong with the records, without looking at each.
type Health struct {
	Aside      []job.ID // some of those that can't be read
	AsideCount int64    // of all of them
	Spoilt     bool     // a strange hand took away what stands beside records: Fix rebuilds it
	Foreign    int64    // tasks that others enqueued into our queues, set apart: see ForeignKey
}

// someAside bounds how many ids of damaged records Health names.
const someAside = 20

// Health looks up what sweeps and moves have noted. Errors: Redis's.
func (s *Store) Health(ctx context.Context) (h Health, err error) {
	for _, base := range s.bases {
		ids, err := s.rdb.ZRange(ctx, base+"aside", 0, someAside-1).Result()
		if failed(err) {
			return h, err
		}
		for _, raw := range ids {
			if len(raw) == 16 && len(h.Aside) < someAside {
				h.Aside = append(h.Aside, job.FromRaw(raw))
			}
		}
		bad, err := s.rdb.HExists(ctx, base+"n", "bad").Result()
		if failed(err) {
			return h, err
		}
		h.Spoilt = h.Spoilt || bad
	}
	if h.Foreign, err = s.Foreign(ctx); err != nil {
		return h, err
	}
	h.AsideCount, err = s.Quarantined(ctx)
	return h, err
}
