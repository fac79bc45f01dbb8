package operate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/job"
)

// A storedPause is a field of P:pauses. It is the truth; asynq's key follows, and is mended.
type storedPause struct {
	By    string `json:"by,omitempty"`
	Why   string `json:"why,omitempty"`
	At    int64  `json:"at"` // ms
	Until int64  `json:"until,omitempty"`
	// Ended says that it is to go once asynq's key is gone.
	Ended bool `json:"ended,omitempty"`

	text string // as it was read
}

func (d *Desk) pausesKey() string { return d.Prefix + ":pauses" }

// ControlChannel tells workers that there is something to look at.
func (d *Desk) ControlChannel() string { return d.Prefix + ":control" }

func (d *Desk) notify(ctx context.Context) {
	if err := d.Redis.Publish(ctx, d.ControlChannel(), "").Err(); err != nil {
		d.Log.DebugContext(ctx, "workers are not notified, and look within 5 s", "error", err)
	}
}

// placeField, queueField and typeField name what is paused: a lane and priority of the default queue, a whole
// queue, or a type.
func placeField(at job.Place) string { return "queue:" + at.Name() }
func queueField(name string) string  { return httpapi.PausedQueue(name) }
func typeField(kind string) string   { return httpapi.PausedType(kind) }

// CheckQueue says what is wrong with the name of a queue.
func CheckQueue(l job.Lane, p job.Priority) error {
	if !slices.Contains(job.Lanes, l) || !slices.Contains(job.Priorities, p) {
		return httpapi.NewError(httpapi.NotFound,
			"there is no such queue: a lane is io or cpu, a priority "+job.PriorityNames())
	}
	return nil
}

// PauseQueue holds the jobs of a queue back until ResumeQueue, or for a while.
func (d *Desk) PauseQueue(ctx context.Context, l job.Lane, p job.Priority, asked answer.PauseRequest,
	by string) (answer.Pause, error) {
	if err := CheckQueue(l, p); err != nil {
		return answer.Pause{}, err
	}
	return d.pausePlaces(ctx, placeField(job.Place{Lane: l, Priority: p}), asked, by)
}

func (d *Desk) pausePlaces(ctx context.Context, field string, asked answer.PauseRequest,
	by string) (answer.Pause, error) {
	stored, err := d.pause(ctx, field, asked, by)
	if err == nil {
		err = d.steerPlaces(ctx, field, d.Queue.Pause)
	}
	d.notify(ctx)
	return stored.show(field), err
}

// steerPlaces does something to each place that a field names.
func (d *Desk) steerPlaces(ctx context.Context, field string,
	do func(context.Context, job.Place) error) error {
	var errs []error
	for _, at := range placesOf(field) {
		errs = append(errs, do(ctx, at))
	}
	return errors.Join(errs...)
}

// PauseWhole holds the jobs of a queue back, in all lanes and of all priorities, those too that there are
// none of yet.
func (d *Desk) PauseWhole(ctx context.Context, name string, asked answer.PauseRequest,
	by string) (answer.Pause, error) {
	if !job.IsQueue(name) {
		return answer.Pause{}, noQueue()
	}
	return d.pausePlaces(ctx, queueField(name), asked, by)
}

// ResumeWhole ends such a pause. Of a queue that isn't the default one it ends those of its places too:
// asynq's tools begin them, and in a restored installation they stand as ours.
func (d *Desk) ResumeWhole(ctx context.Context, name string) error {
	if !job.IsQueue(name) {
		return noQueue()
	}
	if in := job.InQueue(name); in != "" {
		all, err := d.pauses(ctx)
		if err != nil {
			return err
		}
		for _, at := range job.PlacesOf(in) {
			if _, paused := all[placeField(at)]; paused {
				if err := d.endPause(ctx, placeField(at)); err != nil {
					return err
				}
			}
		}
	}
	return d.endPause(ctx, queueField(name))
}

func noQueue() error {
	return httpapi.NewError(httpapi.NotFound, "there is no such queue: expected "+job.QueueNames)
}

// ResumeQueue ends a pause, whoever began it.
func (d *Desk) ResumeQueue(ctx context.Context, l job.Lane, p job.Priority) error {
	if err := CheckQueue(l, p); err != nil {
		return err
	}
	return d.endPause(ctx, placeField(job.Place{Lane: l, Priority: p}))
}

// PauseType holds the jobs of a type back until ResumeType, or for a while.
func (d *Desk) PauseType(ctx context.Context, kind string, asked answer.PauseRequest,
	by string) (answer.Pause, error) {
	if kind == "" || !plainWord(kind, maxName) {
		return answer.Pause{}, httpapi.NewError(httpapi.NotFound, "there is no such type")
	}
	stored, err := d.pause(ctx, typeField(kind), asked, by)
	d.notify(ctx)
	return stored.show(typeField(kind)), err
}

// ResumeType ends a pause.
func (d *Desk) ResumeType(ctx context.Context, kind string) error {
	if kind == "" || !plainWord(kind, maxName) {
		return httpapi.NewError(httpapi.NotFound, "there is no such type")
	}
	return d.endPause(ctx, typeField(kind))
}

// maxPauseFor is the longest that a pause may be for.
const maxPauseFor = 366 * 24 * time.Hour

func (d *Desk) pause(ctx context.Context, field string, asked answer.PauseRequest,
	by string) (storedPause, error) {
	now, err := d.clock(ctx)
	if err != nil {
		return storedPause{}, err
	}
	p := storedPause{By: by, Why: asked.Why, At: now.UnixMilli()}
	if len(p.Why) > maxWhy {
		return p, httpapi.InvalidAt("/why", fmt.Sprintf("expected at most %d bytes", maxWhy))
	}
	if asked.For != "" {
		length, err := httpapi.ParseDuration(asked.For)
		if err != nil || length < time.Second || length > maxPauseFor {
			return p, httpapi.InvalidAt("/for", "expected a duration from 1s to 8784h")
		}
		p.Until = now.Add(length).UnixMilli()
	}
	return p, d.putPause(ctx, field, p)
}

func (d *Desk) putPause(ctx context.Context, field string, p storedPause) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return d.Redis.HSet(ctx, d.pausesKey(), field, text).Err()
}

// endPause ends one, whichever it is.
func (d *Desk) endPause(ctx context.Context, field string) error {
	if strings.HasPrefix(field, "queue:") {
		if err := d.putPause(ctx, field, endedNow()); err != nil {
			return err
		}
	}
	return d.finishEnd(ctx, field, "")
}

func endedNow() storedPause { return storedPause{Ended: true, At: time.Now().UnixMilli()} }

// endThis ends a pause that is still the one that was read.
func (d *Desk) endThis(ctx context.Context, field string, p storedPause) error {
	if strings.HasPrefix(field, "queue:") && !p.Ended {
		text, err := json.Marshal(endedNow())
		if err != nil {
			return err
		}
		mine, err := swapScript.Run(ctx, d.Redis, []string{d.pausesKey()}, field, p.text, text).Bool()
		if errors.Is(err, redis.Nil) || err == nil && !mine {
			return nil // it was renewed, or ended, meanwhile
		}
		if err != nil {
			return err
		}
	}
	return d.finishEnd(ctx, field, p.text)
}

// finishEnd gives the jobs free. That a queue's pause is to end was noted before: killed after any step,
// whoever mends goes on. Of a type text is the pause that is meant; "" = any.
func (d *Desk) finishEnd(ctx context.Context, field, text string) error {
	if err := d.steerPlaces(ctx, field, d.Queue.Resume); err != nil {
		return err
	}
	if err := d.dropPause(ctx, field, text); err != nil {
		return err
	}
	if err := d.follow(ctx, field); err != nil { // a pause that came between the two
		return err
	}
	if err := d.followOthers(ctx, field); err != nil {
		return err
	}
	d.notify(ctx)
	d.Queue.NotifyAll(ctx)
	return nil
}

// follow makes asynq's key of a queue what its pause says. It looks again afterwards: a pause or its end that
// came meanwhile was perhaps undone here.
func (d *Desk) follow(ctx context.Context, field string) error {
	if placesOf(field) == nil {
		return nil
	}
	for asked := false; ; asked = true {
		text, err := d.Redis.HGet(ctx, d.pausesKey(), field).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		var p storedPause
		holds := err == nil && json.Unmarshal([]byte(text), &p) == nil && !p.Ended
		switch {
		case holds && asked, !holds && !asked:
			return nil
		case holds:
			err = d.steerPlaces(ctx, field, d.Queue.Pause)
		default:
			return d.steerPlaces(ctx, field, d.Queue.Resume)
		}
		if err != nil {
			return err
		}
	}
}

// followOthers has pauses hold that are of the same places as one that has ended.
func (d *Desk) followOthers(ctx context.Context, field string) error {
	ended := placesOf(field)
	if ended == nil {
		return nil
	}
	all, err := d.pauses(ctx)
	for other := range all {
		shares := func(at job.Place) bool { return slices.Contains(ended, at) }
		if err == nil && other != field && slices.ContainsFunc(placesOf(other), shares) {
			err = d.follow(ctx, other)
		}
	}
	return err
}

// placesOf are those that a field names; none of a type.
func placesOf(field string) []job.Place {
	name, ok := strings.CutPrefix(field, "queue:")
	if !ok {
		return nil
	}
	if whole, ok := strings.CutPrefix(name, httpapi.WholeQueue); ok {
		return job.PlacesOf(whole)
	}
	return []job.Place{job.ParsePlace(name)}
}

// dropScript takes a pause away: one that is ended, or the very one that is meant, or any.
var dropScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local p = redis.call('HGET', KEYS[1], ARGV[1])
if p and (ARGV[2] == '' or p == ARGV[2] or ARGV[2] == 'ended' and cjson.decode(p).ended) then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return 1`)

// swapScript puts another text in the place of one that is still there.
var swapScript = redis.NewScript("#!lua flags=allow-oom\n" + `
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return false end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1`)

func (d *Desk) dropPause(ctx context.Context, field, text string) error {
	if strings.HasPrefix(field, "queue:") {
		text = "ended" // a pause that came meanwhile stays
	}
	return dropScript.Run(ctx, d.Redis, []string{d.pausesKey()}, field, text).Err()
}

func (d *Desk) pauses(ctx context.Context) (map[string]storedPause, error) {
	texts, err := d.Redis.HGetAll(ctx, d.pausesKey()).Result()
	if err != nil {
		return nil, err
	}
	all := map[string]storedPause{}
	for field, text := range texts {
		var p storedPause
		if json.Unmarshal([]byte(text), &p) == nil {
			p.text = text
			all[field] = p
		}
	}
	return all, nil
}

// PausedTypes are the types that no job may be started of.
func (d *Desk) PausedTypes(ctx context.Context) (map[string]bool, error) {
	all, err := d.Paused(ctx)
	types := map[string]bool{}
	for field := range all {
		if kind, ok := strings.CutPrefix(field, "type:"); ok {
			types[kind] = true
		}
	}
	return types, err
}

// Paused are the fields of all pauses that hold: PausedType names that of a type, and PausedQueue that of a
// whole queue.
func (d *Desk) Paused(ctx context.Context) (map[string]bool, error) {
	all, err := d.pauses(ctx)
	fields, now := map[string]bool{}, time.Now().UnixMilli()
	for field, p := range all {
		if !p.Ended && (p.Until == 0 || p.Until > now) {
			fields[field] = true
		}
	}
	return fields, err
}

// Mend makes asynq's keys what the pauses say, and ends those whose time is over.
func (d *Desk) Mend(ctx context.Context) error {
	all, err := d.pauses(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	now, err := d.clock(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for field, p := range all {
		d.warn(ctx, field, p)
		switch {
		case p.Ended || p.Until > 0 && p.Until <= now.UnixMilli():
			errs = append(errs, d.endThis(ctx, field, p))
		default:
			errs = append(errs, d.follow(ctx, field))
		}
	}
	return errors.Join(errs...)
}

// warn says once an hour that something is paused: a pause that was forgotten looks like an idle system.
func (d *Desk) warn(ctx context.Context, field string, p storedPause) {
	first, err := d.Redis.SetNX(ctx, d.Prefix+":warned:pause:"+field, "1", time.Hour).Result()
	if err == nil && first && !p.Ended {
		d.Log.WarnContext(ctx, "jobs are held back by a pause", "paused", field, "by", p.By, "why", p.Why,
			"since", time.UnixMilli(p.At).UTC())
	}
}

func (p storedPause) show(field string) answer.Pause {
	shown := answer.Pause{By: p.By, Why: p.Why, State: "paused"}
	if p.Ended {
		shown.State = "resuming"
	}
	if p.At > 0 {
		at := time.UnixMilli(p.At).UTC()
		shown.At = &at
	}
	if p.Until > 0 {
		until := time.UnixMilli(p.Until).UTC()
		shown.Until = &until
	}
	if kind, ok := strings.CutPrefix(field, "type:"); ok {
		shown.Type = kind
		return shown
	}
	shown.Queue = strings.TrimPrefix(field, "queue:")
	if whole, ok := strings.CutPrefix(shown.Queue, httpapi.WholeQueue); ok {
		shown.Name = whole
		return shown
	}
	at := job.ParsePlace(shown.Queue)
	shown.Lane, shown.Priority, shown.Name = at.Lane, at.Priority, at.Queue
	return shown
}

// known tells that a place is paused by one of ours, or its whole queue is.
func known(all map[string]storedPause, at job.Place) bool {
	_, place := all[placeField(at)]
	_, whole := all[queueField(at.Queue)]
	return place || whole
}

// Pauses lists what is paused, also by asynq's tools.
func (d *Desk) Pauses(ctx context.Context) (answer.PauseList, error) {
	list := answer.PauseList{Pauses: []answer.Pause{}}
	all, err := d.pauses(ctx)
	if err != nil {
		return list, err
	}
	queues, err := d.Queue.Paused(ctx)
	if err != nil {
		return list, err
	}
	for _, q := range queues {
		if q.Paused && !known(all, q.Place) {
			list.Pauses = append(list.Pauses, storedPause{By: "asynq"}.show(placeField(q.Place)))
		}
	}
	workers, err := d.Queue.Workers(ctx)
	if err != nil {
		return list, err
	}
	for field, p := range all {
		shown := p.show(field)
		for _, w := range workers {
			if shown.Type != "" && w.ID == "" && slices.Contains(w.Types, shown.Type) {
				shown.State = "pausing"
				shown.NotObeyedBy = append(shown.NotObeyedBy, answer.WorkerName{Host: w.Host, PID: w.PID})
			}
		}
		list.Pauses = append(list.Pauses, shown)
	}
	slices.SortFunc(list.Pauses, func(a, b answer.Pause) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Queue, b.Queue))
	})
	return list, nil
}
