package jobstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/internal/batch"
	"longshore/internal/redisdb"
	"longshore/job"
)

// Schedules lie in the partition of a hash of their tenant and name, and so do the jobs of their ticks: one
// script makes the job and moves the schedule on. What a schedule says is opaque here, but for these fields:
//
//	rev     revision, of a counter that never restarts    next    the tick to come (ms); "" = none
//	last    the newest tick that was decided (ms)         lj      its last job, raw
//	paused  by whom and why, JSON; absent = it isn't      made    jobs of ticks
//	byhand  jobs of no tick                               missed  ticks that came too late
//	refused ticks whose job can't be made                 overlapped  … that met one
//	err     why a tick is not made, erat since when (ms)
//
// all others are the room's (internal/schedules).

// A Schedule is one as it is kept.
type Schedule struct {
	Tenant, Name string
	Rev          string
	Next, Last   time.Time // zero = none
	LastJob      job.ID
	Fields       map[string]string // all of them
}

// Key names it among all of an installation.
func (s *Schedule) Key() string { return scheduleKey(s.Tenant, s.Name) }

// Count reads a counter.
func (s *Schedule) Count(name string) int64 {
	n, _ := strconv.ParseInt(s.Fields[name], 10, 64) // what a hand has spoiled counts nothing
	return n
}

// Time reads a time; zero = none.
func (s *Schedule) Time(name string) time.Time {
	n := s.Count(name)
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

// ErrScheduleStale says that a schedule is not as the caller has read it.
var ErrScheduleStale = errors.New("schedule has changed")

// A ScheduleRun is one job of a schedule.
type ScheduleRun struct {
	At time.Time // the tick, or when it was made by hand
	ID job.ID
}

func scheduleKey(tenant, name string) string {
	return cmp.Or(tenant, access.DefaultTenant) + "/" + name
}

// schedulePart is where a schedule lies: its shard is also that of its jobs' ids.
func (s *Store) schedulePart(tenant, name string) (base string, shard int) {
	sum := sha256.Sum256([]byte(scheduleKey(tenant, name)))
	shard = int(sum[0] & (job.Shards - 1))
	return s.bases[shard%len(s.bases)], shard
}

// Clock is Redis's time.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	if s.turned {
		now, err := s.rdb.Get(ctx, s.bases[0]+"clock").Int64()
		return time.UnixMilli(now).UTC(), err
	}
	now, err := s.rdb.Time(ctx).Result()
	return now.Truncate(time.Millisecond).UTC(), err
}

// Schedule reads one. Errors: job.ErrNotFound.
func (s *Store) Schedule(ctx context.Context, tenant, name string) (Schedule, error) {
	list, err := s.SchedulesNamed(ctx, []string{scheduleKey(tenant, name)})
	if err == nil && len(list) == 0 {
		err = job.ErrNotFound
	}
	if err != nil {
		return Schedule{}, err
	}
	return list[0], nil
}

// Schedules reads all of a tenant, or of access.Installation, by tenant and name.
func (s *Store) Schedules(ctx context.Context, tenant string) ([]Schedule, error) {
	keys, err := s.scheduleKeys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	all := make([]Schedule, 0, len(keys))
	for part := range slices.Chunk(keys, bulkSize) {
		list, err := s.SchedulesNamed(ctx, part)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// CountSchedules says how many a tenant has.
func (s *Store) CountSchedules(ctx context.Context, tenant string) (int, error) {
	keys, err := s.scheduleKeys(ctx, tenant)
	return len(keys), err
}

func (s *Store) scheduleKeys(ctx context.Context, tenant string) ([]string, error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.StringSliceCmd, len(s.bases))
	for part, base := range s.bases {
		cmds[part] = pipe.ZRange(ctx, base+"ticks", 0, -1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	var keys []string
	for _, cmd := range cmds {
		for _, key := range cmd.Val() {
			of, _, _ := strings.Cut(key, "/")
			if tenant == access.Installation || of == cmp.Or(tenant, access.DefaultTenant) {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// ScheduleDue is when a schedule is to be looked at; zero = never.
func (s *Store) ScheduleDue(ctx context.Context, of *Schedule) (time.Time, error) {
	base, _ := s.schedulePart(of.Tenant, of.Name)
	at, err := s.rdb.ZScore(ctx, base+"ticks", of.Key()).Result()
	if err != nil || math.IsInf(at, 1) {
		return time.Time{}, err
	}
	return time.UnixMilli(int64(at)).UTC(), nil
}

// SchedulesNamed reads those of some keys that are there.
func (s *Store) SchedulesNamed(ctx context.Context, keys []string) ([]Schedule, error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.MapStringStringCmd, len(keys))
	for i, key := range keys {
		tenant, name, _ := strings.Cut(key, "/")
		base, _ := s.schedulePart(tenant, name)
		cmds[i] = pipe.HGetAll(ctx, base+"sch:"+key)
	}
	if _, err := pipe.Exec(ctx); err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
		return nil, err
	}
	list := make([]Schedule, 0, len(keys))
	for i, cmd := range cmds {
		if cmd.Err() != nil { // a strange hand's key, which the next to write makes room for
			continue
		}
		if fields := cmd.Val(); fields["rev"] != "" {
			sch := Schedule{Rev: fields["rev"], Fields: fields, LastJob: job.FromRaw(fields["lj"])}
			sch.Tenant, sch.Name, _ = strings.Cut(keys[i], "/")
			sch.Next, sch.Last = sch.Time("next"), sch.Time("last")
			list = append(list, sch)
		}
	}
	return list, nil
}

// ScheduleRuns are the newest jobs of a schedule, newest first.
func (s *Store) ScheduleRuns(ctx context.Context, tenant, name string) ([]ScheduleRun, error) {
	base, _ := s.schedulePart(tenant, name)
	lines, err := s.rdb.LRange(ctx, base+"runs:"+scheduleKey(tenant, name), 0, -1).Result()
	if err != nil {
		return nil, err
	}
	var runs []ScheduleRun
	for _, line := range lines {
		at, id, _ := strings.Cut(line, " ")
		ms, err := strconv.ParseInt(at, 10, 64)
		if _, bad := job.ParseID(id); err != nil || bad != nil {
			continue
		}
		runs = append(runs, ScheduleRun{time.UnixMilli(ms).UTC(), job.ID(id)})
	}
	return runs, nil
}

// A ScheduleChange is what is written of a schedule.
type ScheduleChange struct {
	Tenant, Name string
	Rev          string    // that the caller has read; "" = there is none
	Read         time.Time // the tick that he has read as next
	Due          time.Time // when the next tick is to be made; zero = never
	Set          map[string]string
}

// ChangeSchedule writes fields, of which empty ones go, and returns the new revision. A
// schedule that isn't as the caller has read it is ErrScheduleStale.
func (s *Store) ChangeSchedule(ctx context.Context, c ScheduleChange) (rev string, err error) {
	base, _ := s.schedulePart(c.Tenant, c.Name)
	args := []any{scheduleKey(c.Tenant, c.Name), c.Rev, milli(c.Read), due(c.Due)}
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		args = append(args, name, c.Set[name])
	}
	rev, err = s.scripts.schedule.Run(redisdb.Replicated(ctx), s.rdb, []string{base}, args...).Text()
	if err == nil && rev == "" {
		err = ErrScheduleStale
	}
	return rev, err
}

// milli is a time as schedules have it; "" of none.
func milli(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

func due(t time.Time) string {
	if t.IsZero() {
		return "inf"
	}
	return milli(t)
}

// RemoveSchedule removes a schedule; its jobs stay. Errors: job.ErrNotFound.
func (s *Store) RemoveSchedule(ctx context.Context, tenant, name string) error {
	there, err := s.unschedule(ctx, tenant, name, false)
	if err == nil && !there {
		err = job.ErrNotFound
	}
	return err
}

// ForgetSchedule removes what is left of a schedule that isn't there.
func (s *Store) ForgetSchedule(ctx context.Context, tenant, name string) error {
	_, err := s.unschedule(ctx, tenant, name, true)
	return err
}

func (s *Store) unschedule(ctx context.Context, tenant, name string, absent bool) (bool, error) {
	base, _ := s.schedulePart(tenant, name)
	n, err := s.scripts.unschedule.Run(redisdb.Replicated(ctx), s.rdb, []string{base},
		scheduleKey(tenant, name), flagText(absent)).Int()
	return n == 1, err
}

// A Tick is a step of a schedule, to the tick after it. It makes the one job of the tick, unless Why says
// that
// there is to be none.
type Tick struct {
	Schedule  *Schedule // as it was read
	At        time.Time // the tick; zero: a job by hand
	Following time.Time // the next one; zero = none
	Due       time.Time // when that is to be made
	Missed    int       // how many before this one are left out
	Overlap   Overlap
	Why       Untick
	By        string // who has the job before canceled
	Job       NewJob // its id is drawn here
}

// Overlap is what a tick does that meets an open job of the one before.
type Overlap string

// The kinds of overlap.
const (
	OverlapAllow  Overlap = "allow"
	OverlapSkip   Overlap = "skip"
	OverlapCancel Overlap = "cancel_running"
)

// An Untick is why a tick makes no job.
type Untick string

// The reasons.
const (
	TickMade    Untick = ""
	TickMissed  Untick = "missed"  // it was too late
	TickRefused Untick = "refused" // the job can't be made
)

// A Ticked is what became of a tick.
type Ticked struct {
	ID  job.ID // of its job; "" = there is none
	New bool
	Err error // ErrScheduleStale, job.ErrNotFound, an *OverlapError, those of Create
}

// An OverlapError says that a job by hand would meet one that hasn't ended.
type OverlapError struct{ ID job.ID }

func (e *OverlapError) Error() string { return fmt.Sprintf("the job before, %s, has not ended", e.ID) }

// TickMany makes ticks, of different schedules. Each may be repeated: whoever comes second is stale.
func (s *Store) TickMany(ctx context.Context, ticks []Tick) []Ticked {
	results, calls := make([]Ticked, len(ticks)), make([]*batch.Call, 0, len(ticks))
	whose := make([]int, 0, len(ticks))
	for i := range ticks {
		call, err := s.tickCall(&ticks[i])
		if err != nil {
			results[i].Err = err
			continue
		}
		calls, whose = append(calls, call), append(whose, i)
	}
	_ = batch.RunAll(redisdb.Replicated(ctx), s.rdb, s.scripts.tick, groupSize, calls) // each has its error
	for k, c := range calls {
		results[whose[k]] = ticked(&ticks[whose[k]], c)
	}
	return results
}

func (s *Store) tickCall(t *Tick) (*batch.Call, error) {
	base, shard := s.schedulePart(t.Schedule.Tenant, t.Schedule.Name)
	if t.At.IsZero() {
		t.Job.ID = job.NewIDIn(time.Now(), shard)
	} else {
		t.Job.ID = tickID(t.Schedule, t.At, shard)
	}
	args, err := s.createArgs(&batch.Call{Args: []any{&t.Job}})
	if err != nil {
		return nil, err
	}
	first := []any{scheduleKey(t.Schedule.Tenant, t.Schedule.Name), t.Schedule.Rev, t.Schedule.Fields["next"],
		milli(t.At), milli(t.Following), due(t.Due), t.Missed, string(t.Overlap), cancelCapMS,
		string(t.Why), t.By}
	return &batch.Call{Key: base, Args: append(first, args...)}, nil
}

// tickID is the id of a tick's job: whoever makes it, it is the same one.
func tickID(of *Schedule, at time.Time, shard int) job.ID {
	sum := sha256.Sum256([]byte(scheduleKey(of.Tenant, of.Name) + "\x00" + of.Rev + "\x00" + milli(at)))
	id := []byte(job.NewIDIn(at, shard))
	random := hex.EncodeToString(sum[:10])
	copy(id[15:18], random[:3])
	copy(id[20:23], random[3:6])
	copy(id[24:35], random[6:17])
	id[19] = "89ab"[sum[10]&3]
	return job.ID(id)
}

func ticked(t *Tick, c *batch.Call) Ticked {
	if c.Err != nil {
		return Ticked{Err: c.Err}
	}
	switch text(c.Reply[0]) {
	case "created":
		return Ticked{ID: t.Job.ID, New: true}
	case "exists":
		return Ticked{ID: job.FromRaw(text(c.Reply[1]))}
	case "skipped":
		return Ticked{}
	case "stale":
		return Ticked{Err: ErrScheduleStale}
	case "open":
		return Ticked{Err: &OverlapError{job.FromRaw(text(c.Reply[1]))}}
	}
	return Ticked{Err: status(t.Job.ID, c.Reply)}
}
