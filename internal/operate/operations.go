package operate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
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

// What an operation does, and the states that it has.
const (
	Retry  = "retry"
	Cancel = "cancel"
	Delete = "delete"
	Change = "change"
	Resend = "resend" // callbacks

	queued    = "queued"
	running   = "running"
	succeeded = "succeeded"
	canceled  = "canceled"
	failed    = "failed"

	bulk    = "bulk"
	control = "control"
)

const (
	operationLife = 7 * 24 * time.Hour
	leaseFor      = 10 * time.Second // of who carries an operation on
	sameFor       = time.Minute      // that no second one does the same, renewed while it lasts
	atOnce        = 4                // operations that are carried on
	dryRunScan    = 10_000
	maxErrors     = 100
	maxList       = 200
	maxWhy        = 500
)

func (d *Desk) opKey(id job.ID) string { return d.Prefix + ":op:{" + string(id) + "}" }
func (d *Desk) opsKey() string         { return d.Prefix + ":ops" }
func (d *Desk) openKey() string        { return d.Prefix + ":ops:open" }
func (d *Desk) sameKey(h string) string {
	return d.Prefix + ":ops:same:" + h
}

// clock is the time by Redis, which all that is compared with the store's times must be.
func (d *Desk) clock(ctx context.Context) (time.Time, error) {
	now, err := d.Redis.Time(ctx).Result()
	return now.Truncate(time.Millisecond).UTC(), err
}

// A task is a bulk operation that was checked.
type task struct {
	action string
	filter job.Filter // its Until is the operation's before
	max    int64
	said   answer.JobFilter // with times, not durations
	before time.Time
	change jobstore.Change // of action change
}

// checkBulk checks what is asked for.
func (d *Desk) checkBulk(ctx context.Context, b answer.BulkRequest) (t task, err error) {
	switch b.Action {
	case Retry, Cancel, Delete, Change, Resend:
	default:
		return t, httpapi.InvalidAt("/action", "expected retry, cancel, delete, change or resend")
	}
	if b.Max < 0 {
		return t, httpapi.InvalidAt("/max", "expected a whole number from 0")
	}
	if len(b.Why) > maxWhy {
		return t, httpapi.InvalidAt("/why", fmt.Sprintf("expected at most %d bytes", maxWhy))
	}
	t = task{action: b.Action, max: b.Max, said: b.Filter}
	if (b.Change != nil) != (b.Action == Change) {
		return t, httpapi.InvalidAt("/change", "stands with action change, and only there")
	}
	if t.change, err = parseChange(b.Change); err != nil {
		return t, err
	}
	if t.filter, err = ParseFilter(b.Filter, "/filter/"); err != nil {
		return t, err
	}
	if t.filter.All() {
		return t, httpapi.InvalidAt("/filter", "is empty: say which jobs; those of a state, if all are meant")
	}
	if b.Action == Retry && t.filter.State == "" {
		t.filter.State = job.Failed
	}
	open := b.Action == Cancel || b.Action == Change
	if s := t.filter.State; s != "" && (s.Terminal() == open || b.Action == Change && s == job.Running) {
		return t, httpapi.InvalidAt("/filter/state", "no job in this state can be the one to "+b.Action)
	}
	if t.before, err = d.clock(ctx); err != nil {
		return t, err
	}
	if b.Before != "" {
		at, err := ParseMoment(b.Before, t.before)
		if err != nil {
			return t, httpapi.InvalidAt("/before", err.Error())
		}
		if at.Before(t.before) {
			t.before = at
		}
	}
	if t.filter.Until.IsZero() || t.filter.Until.After(t.before) {
		t.filter.Until = t.before
	}
	t.said.State = string(t.filter.State)
	for _, one := range []struct {
		to *string
		at time.Time
	}{{&t.said.Since, t.filter.Since}, {&t.said.Until, t.filter.Until},
		{&t.said.CreatedSince, t.filter.CreatedSince}} {
		if *one.to = ""; !one.at.IsZero() {
			*one.to = one.at.UTC().Format(time.RFC3339Nano)
		}
	}
	return t, nil
}

// same names what does the same: the action, the filter and the change as they were asked for.
func (t *task) same(asked answer.BulkRequest) string {
	text, _ := json.Marshal(asked.Filter) // texts: can't fail
	if asked.Change != nil {
		change, _ := json.Marshal(asked.Change)
		text = append(text, change...)
	}
	sum := sha256.Sum256(append([]byte(t.action+" "), text...))
	return hex.EncodeToString(sum[:16])
}

// DryRun tells what an operation would do.
func (d *Desk) DryRun(ctx context.Context, by access.View, b answer.BulkRequest) (answer.DryRun, error) {
	if err := narrow(by, &b.Filter); err != nil {
		return answer.DryRun{}, err
	}
	t, err := d.checkBulk(ctx, b)
	if err != nil {
		return answer.DryRun{}, err
	}
	r := answer.DryRun{Before: t.before, Samples: []job.ID{}}
	if r.ByType, r.Exact, err = d.Store.CountMatching(ctx, t.filter, dryRunScan); err != nil {
		return r, err
	}
	for _, n := range r.ByType {
		r.N += n
	}
	w, err := d.Store.Walk(ctx, t.filter, "")
	if err != nil {
		return r, err
	}
	for looked := 0; looked < dryRunScan && len(r.Samples) < 10; {
		ids, scanned, err := w.Next(ctx, 500)
		if err != nil || scanned == 0 {
			return r, err
		}
		looked += scanned
		r.Samples = append(r.Samples, ids[:min(len(ids), 10-len(r.Samples))]...)
	}
	return r, nil
}

// expected is about how many jobs an operation moves: where a look at some doesn't tell, the counters may.
func (d *Desk) expected(ctx context.Context, f job.Filter) (n int64, err error) {
	byType, exact, err := d.Store.CountMatching(ctx, f, dryRunScan)
	for _, of := range byType {
		n += of
	}
	rest := f
	rest.Until = time.Time{}
	if err != nil || exact || rest.Narrow() || f.Subject != "" {
		return n, err
	}
	totals, err := d.Store.Totals(ctx, f.Tenant, f.Type)
	all := int64(0)
	for _, of := range totals {
		for state, has := range of.Counts {
			if f.State == "" && !state.Terminal() || f.State == state {
				all += has
			}
		}
	}
	return max(n, all), err
}

// Bulk begins an operation. Whoever sweeps carries it on.
func (d *Desk) Bulk(ctx context.Context, view access.View, b answer.BulkRequest,
	by string) (answer.Operation, error) {
	if err := narrow(view, &b.Filter); err != nil {
		return answer.Operation{}, err
	}
	t, err := d.checkBulk(ctx, b)
	if err != nil {
		return answer.Operation{}, err
	}
	n, err := d.expected(ctx, t.filter)
	if err != nil {
		return answer.Operation{}, err
	}
	id, same := job.NewID(t.before), t.same(b)
	first, err := d.Redis.SetNX(ctx, d.sameKey(same), string(id), sameFor).Result()
	if err != nil {
		return answer.Operation{}, err
	}
	if !first {
		e := httpapi.NewError(httpapi.Conflict, "an operation does the same to the same jobs already")
		e.Operation, _ = d.Redis.Get(ctx, d.sameKey(same)).Result()
		return answer.Operation{}, e
	}
	filter, err := json.Marshal(t.said)
	if err != nil {
		return answer.Operation{}, err
	}
	field := filterField
	if t.said.Label != "" {
		field = labelField
	}
	fields := []any{"kind", bulk, "action", t.action, "before", t.before.UnixMilli(), "max", t.max, "why", b.Why,
		"by", by, "state", queued, "n", n, "same", same}
	if b.Action == Change || b.Action == Resend || t.said.Queue != "" {
		field = apartField
	}
	if b.Change != nil {
		change, err := json.Marshal(b.Change)
		if err != nil {
			return answer.Operation{}, err
		}
		fields = append(fields, "change", string(change))
	}
	if err = d.create(ctx, id, t.before, append(fields, field, string(filter))...); err != nil {
		return answer.Operation{}, err
	}
	if err := d.Redis.ZAdd(ctx, d.openKey(), member(id, t.before)).Err(); err != nil {
		return answer.Operation{}, err
	}
	select {
	case d.kick <- struct{}{}:
	default:
	}
	return d.operation(ctx, view, id)
}

// narrow has a filter mean only what who asks sees.
func narrow(by access.View, f *answer.JobFilter) error {
	switch {
	case by.All():
		return nil
	case by.Tenant != access.Installation && f.Tenant != "" && f.Tenant != by.Tenant, by.Subject != "" &&
		f.Subject != "" &&
		f.Subject != by.Subject:
		return httpapi.NewError(httpapi.Forbidden, "the filter means jobs of others")
	}
	f.Tenant, f.Subject = by.Tenant, cmp.Or(by.Subject, f.Subject)
	return nil
}

// operation is one that who asks may see: of his tenant, or of his own jobs.
func (d *Desk) operation(ctx context.Context, by access.View, id job.ID) (answer.Operation, error) {
	o, err := d.Operation(ctx, id)
	if err == nil && !sees(by, &o) {
		return answer.Operation{}, ErrNoOperation
	}
	return o, err
}

func sees(by access.View, o *answer.Operation) bool {
	return by.All() || o.Filter != nil && o.Filter.Tenant != "" &&
		by.Has(access.Owner{Tenant: o.Filter.Tenant, Subject: o.Filter.Subject})
}

func member(id job.ID, at time.Time) redis.Z {
	return redis.Z{Score: float64(at.UnixMilli()), Member: string(id)}
}

// create makes an operation's hash, and lists it.
func (d *Desk) create(ctx context.Context, id job.ID, at time.Time, fields ...any) error {
	key := d.opKey(id)
	_, err := d.Redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, key, append(fields, "created", at.UnixMilli(), "rev", 1)...)
		p.PExpire(ctx, key, operationLife)
		return nil
	})
	if err != nil {
		return err
	}
	_, err = d.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAdd(ctx, d.opsKey(), member(id, at))
		p.ZRemRangeByScore(ctx, d.opsKey(), "-inf", strconv.FormatInt(at.Add(-operationLife).UnixMilli(), 10))
		return nil
	})
	return err
}

// ErrNoOperation says that there is no such operation, or that it is too old.
var ErrNoOperation = httpapi.NewError(httpapi.NotFound,
	"there is no such operation, or it ended over 7 days ago")

// Operation is one operation as it is now.
func (d *Desk) Operation(ctx context.Context, id job.ID) (answer.Operation, error) {
	fields, err := d.Redis.HGetAll(ctx, d.opKey(id)).Result()
	if err != nil {
		return answer.Operation{}, err
	}
	if len(fields) == 0 {
		return answer.Operation{}, ErrNoOperation
	}
	o := decode(id, fields)
	if o.Kind == control {
		return o, d.settle(ctx, &o)
	}
	return o, nil
}

// Operations lists the newest ones, newest first.
func (d *Desk) Operations(ctx context.Context, by access.View, limit int) (answer.OperationList, error) {
	list := answer.OperationList{Operations: []answer.Operation{}}
	ids, err := d.Redis.ZRevRange(ctx, d.opsKey(), 0, maxList-1).Result()
	if err != nil {
		return list, err
	}
	for _, id := range ids {
		o, err := d.Operation(ctx, job.ID(id))
		if errors.Is(err, ErrNoOperation) {
			continue
		}
		if err != nil {
			return list, err
		}
		if sees(by, &o) {
			list.Operations = append(list.Operations, o)
		}
		if len(list.Operations) == limit {
			break
		}
	}
	return list, nil
}

// Where an operation keeps its filter. One with a label is kept apart: a process of a release without
// labels would leave it out and carry the operation on over more jobs; so it finds no filter and fails it.
// So is that of a queue, and of an action that older releases don't know, which they would take for a retry.
const (
	filterField = "filter"
	labelField  = "filter+label"
	apartField  = "filter+action"
)

func decode(id job.ID, f map[string]string) answer.Operation {
	num := func(name string) int64 { n, _ := strconv.ParseInt(f[name], 10, 64); return n }
	at := func(name string) *time.Time {
		if f[name] == "" {
			return nil
		}
		t := time.UnixMilli(num(name)).UTC()
		return &t
	}
	o := answer.Operation{ID: id, Rev: num("rev"), State: f["state"], Kind: f["kind"], Action: f["action"],
		Why: f["why"], By: f["by"], CreatedAt: time.UnixMilli(num("created")).UTC(), FinishedAt: at("fin"),
		Before: at("before"), Max: num("max"), N: num("n"), Moved: num("moved"), Skipped: map[string]int64{},
		Errors: []answer.OperationError{}}
	o.Done = o.FinishedAt != nil
	if f["change"] != "" {
		o.Change = new(answer.BulkChange)
		_ = json.Unmarshal([]byte(f["change"]), o.Change)
	}
	if text := cmp.Or(f[apartField], f[labelField], f[filterField]); text != "" {
		o.Filter = new(answer.JobFilter)
		_ = json.Unmarshal([]byte(text), o.Filter) // what it can't read it doesn't show
	}
	if f["errors"] != "" {
		_ = json.Unmarshal([]byte(f["errors"]), &o.Errors)
	}
	for name := range f {
		if code, ok := strings.CutPrefix(name, "sk:"); ok {
			o.Skipped[code] = num(name)
		}
		if worker, ok := strings.CutPrefix(name, "w:"); ok {
			outcome, detail, _ := strings.Cut(f[name], " ")
			o.Workers = append(o.Workers, answer.WorkerOutcome{ID: worker, Outcome: outcome, Detail: detail})
		}
	}
	return o
}

// cancelScript asks for an operation's end: one that nobody carries on ends now.
var cancelScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'gone' end
if redis.call('HEXISTS', KEYS[1], 'fin') == 1 then return 'ended' end
redis.call('HSET', KEYS[1], 'cr', 1)
redis.call('HINCRBY', KEYS[1], 'rev', 1)
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lease = tonumber(redis.call('HGET', KEYS[1], 'lease') or 0)
if lease <= now then redis.call('HSET', KEYS[1], 'state', 'canceled', 'fin', now, 'fence', '') end
return 'ok'`)

// CancelOperation asks for an operation's end, which comes within a second. What it has done stays done.
func (d *Desk) CancelOperation(ctx context.Context, by access.View, id job.ID) (answer.Operation, error) {
	if _, err := d.operation(ctx, by, id); err != nil {
		return answer.Operation{}, err
	}
	said, err := cancelScript.Run(ctx, d.Redis, []string{d.opKey(id)}).Text()
	if err != nil {
		return answer.Operation{}, err
	}
	if said == "gone" {
		return answer.Operation{}, ErrNoOperation
	}
	o, err := d.Operation(ctx, id)
	if err == nil && o.Done {
		err = d.close(ctx, id)
	}
	return o, err
}

// close takes an operation that is done out of what is looked at.
func (d *Desk) close(ctx context.Context, id job.ID) error {
	same, err := d.Redis.HGet(ctx, d.opKey(id), "same").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	_, err = d.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZRem(ctx, d.openKey(), string(id))
		if same != "" {
			p.Del(ctx, d.sameKey(same))
		}
		return nil
	})
	return err
}

// WaitOperation is Operation once it has moved on from a revision, or has ended, or when the wait is over.
func (d *Desk) WaitOperation(ctx context.Context, by access.View, id job.ID, after int64,
	wait time.Duration) (answer.Operation, error) {
	end := time.NewTimer(wait)
	defer end.Stop()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for {
		o, err := d.operation(ctx, by, id)
		if err != nil || o.Done || o.Rev > after || wait <= 0 {
			return o, err
		}
		select {
		case <-ctx.Done():
			return o, context.Cause(ctx)
		case <-end.C:
			return o, nil
		case <-look.C:
		}
	}
}
