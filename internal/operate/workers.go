package operate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/queue"
	"longshore/job"
)

// A Beat is what a worker says of itself beside its line in the list of workers.
type Beat struct {
	Busy    int       `json:"busy"`
	Runs    []BeatRun `json:"runs,omitempty"` // the oldest, up to MaxBeatRuns
	RSS     int64     `json:"rss,omitempty"`
	Live    int64     `json:"live,omitempty"`
	Jobs    int64     `json:"jobs,omitempty"` // that ended
	Alarm   string    `json:"alarm,omitempty"`
	Recycle string    `json:"recycle,omitempty"`
	LagMS   int64     `json:"lag,omitempty"`
	Started int64     `json:"started"` // ms
}

// A BeatRun is one job that it runs.
type BeatRun struct {
	Job     job.ID `json:"j"`
	Type    string `json:"t"`
	Attempt int    `json:"a"`
	Since   int64  `json:"s"`           // ms
	Limit   int64  `json:"l,omitempty"` // its timeout, ms
}

const (
	// MaxBeatRuns is how many runs a beat names.
	MaxBeatRuns = 64
	// BeatEvery is the time between two beats.
	BeatEvery = 5 * time.Second

	beatLife = time.Hour // longer than a worker is listed: what a lost one ran is told then
	goneLife = 14 * 24 * time.Hour
	maxGone  = 1000
	toldLife = time.Minute

	silentAfter  = 10 * time.Second
	lagging      = time.Second
	overTimeout  = 30 * time.Second
	answerWithin = time.Minute
)

func (d *Desk) beatKey(worker string) string { return d.Prefix + ":w:" + worker }
func (d *Desk) toldKey(worker string) string { return d.Prefix + ":told:" + worker }
func (d *Desk) goneKey() string              { return d.Prefix + ":gone" }

// Beat tells all what a worker is at, and returns what it is told.
func (d *Desk) Beat(ctx context.Context, worker string, b Beat) ([]Message, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	pipe := d.Redis.Pipeline()
	pipe.Set(ctx, d.beatKey(worker), text, beatLife)
	told := pipe.LRange(ctx, d.toldKey(worker), 0, -1)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	return parseMessages(told.Val()), nil
}

// Told returns what a worker is told, and has not answered.
func (d *Desk) Told(ctx context.Context, worker string) ([]Message, error) {
	texts, err := d.Redis.LRange(ctx, d.toldKey(worker), 0, -1).Result()
	return parseMessages(texts), err
}

// A Message is what a worker is to do.
type Message struct {
	Operation job.ID
	Action    string // drain, resume, stop or log-level
	Level     string
	text      string
}

func parseMessages(texts []string) (all []Message) {
	for _, text := range texts {
		parts := strings.SplitN(text, " ", 3)
		if len(parts) == 3 {
			all = append(all, Message{job.ID(parts[0]), parts[1], parts[2], text})
		}
	}
	return all
}

// outcomeScript notes what a worker answers, once.
var outcomeScript = redis.NewScript("#!lua flags=allow-oom\n" + `
if redis.call('HGET', KEYS[1], ARGV[1]) ~= '' then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[1], 'rev', 1)
return 1`)

// Obeyed notes what became of a message; "" = it was done.
func (d *Desk) Obeyed(ctx context.Context, worker string, m Message, refused string) error {
	outcome := "ok"
	if refused != "" {
		outcome = "refused " + refused
	}
	if err := outcomeScript.Run(ctx, d.Redis, []string{d.opKey(m.Operation)}, "w:"+worker, outcome).
		Err(); err != nil {
		return err
	}
	return d.Redis.LRem(ctx, d.toldKey(worker), 1, m.text).Err()
}

// actions are the messages that there are.
var actions = []string{"drain", "resume", "stop", "log-level"}

var levels = []string{"debug", "info", "warn", "error"}

// Tell tells a worker, or for "all" each that is alive, what to do: an operation that ends when all have
// answered, or can't any more.
func (d *Desk) Tell(ctx context.Context, worker, action string, m answer.WorkerMessage,
	by string) (answer.Operation, error) {
	switch {
	case !slices.Contains(actions, action):
		return answer.Operation{}, httpapi.NewError(httpapi.NotFound, "there is no such message to workers")
	case len(m.Why) > maxWhy:
		return answer.Operation{}, httpapi.InvalidAt("/why", fmt.Sprintf("expected at most %d bytes", maxWhy))
	case (action == "log-level") != slices.Contains(levels, m.Level):
		return answer.Operation{}, httpapi.InvalidAt("/level",
			"expected debug, info, warn or error, with log-level")
	case worker != "all" && !jobstore.IsWorkerID(worker):
		return answer.Operation{}, errNoWorker()
	}
	alive, err := d.Queue.Workers(ctx)
	if err != nil {
		return answer.Operation{}, err
	}
	alive = slices.DeleteFunc(alive, func(w queue.WorkerInfo) bool {
		return w.ID == "" || worker != "all" && w.ID != worker
	})
	if len(alive) == 0 && worker != "all" {
		return answer.Operation{}, errNoWorker()
	}
	now, err := d.clock(ctx)
	if err != nil {
		return answer.Operation{}, err
	}
	id := job.NewID(now)
	fields := []any{"kind", control, "action", action, "why", m.Why, "by", by, "state", running, "n",
		len(alive)}
	for _, w := range alive {
		fields = append(fields, "w:"+w.ID, "")
	}
	if err := d.create(ctx, id, now, fields...); err != nil {
		return answer.Operation{}, err
	}
	_, err = d.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, w := range alive {
			p.RPush(ctx, d.toldKey(w.ID), string(id)+" "+action+" "+m.Level)
			p.PExpire(ctx, d.toldKey(w.ID), toldLife)
		}
		return nil
	})
	if err != nil {
		return answer.Operation{}, err
	}
	d.notify(ctx)
	return d.Operation(ctx, id)
}

func errNoWorker() error {
	return httpapi.NewError(httpapi.NotFound, "there is no such worker that is alive")
}

// settle works out what became of workers that have not answered.
func (d *Desk) settle(ctx context.Context, o *answer.Operation) error {
	o.Moved = 0
	slices.SortFunc(o.Workers, func(a, b answer.WorkerOutcome) int { return cmp.Compare(a.ID, b.ID) })
	var alive map[string]time.Time
	open := 0
	for i := range o.Workers {
		w := &o.Workers[i]
		if w.Outcome == "" && !o.Done {
			if alive == nil {
				var err error
				if alive, err = d.aliveIDs(ctx); err != nil {
					return err
				}
			}
			w.Outcome = d.unanswered(alive, w.ID, o.CreatedAt)
		}
		switch w.Outcome {
		case "":
			open++
		case "ok":
			o.Moved++
		default:
			o.Skipped[w.Outcome]++
		}
	}
	if open > 0 || o.Done {
		return nil
	}
	return d.endControl(ctx, o)
}

func (d *Desk) aliveIDs(ctx context.Context) (map[string]time.Time, error) {
	workers, err := d.Queue.Workers(ctx)
	ids := map[string]time.Time{}
	for _, w := range workers {
		ids[w.ID] = w.SaidAt
	}
	return ids, err
}

// unanswered is the outcome of a worker that has not answered; "" = it may still.
func (d *Desk) unanswered(alive map[string]time.Time, id string, asked time.Time) string {
	beat, there := alive[id]
	switch late := time.Since(asked); {
	case !there:
		return "gone"
	case late < answerWithin:
		return ""
	case time.Since(beat) > silentAfter:
		return "silent"
	}
	return "expired"
}

// endControl notes the end of what was told to workers.
func (d *Desk) endControl(ctx context.Context, o *answer.Operation) error {
	now, err := d.clock(ctx)
	if err != nil {
		return err
	}
	o.Done, o.State, o.FinishedAt = true, succeeded, &now
	if o.Moved < int64(len(o.Workers)) {
		o.State = failed
	}
	o.Rev++
	fields := []any{"state", o.State, "fin", now.UnixMilli(), "rev", o.Rev}
	for _, w := range o.Workers {
		fields = append(fields, "w:"+w.ID, strings.TrimSpace(w.Outcome+" "+w.Detail))
	}
	return d.Redis.HSet(ctx, d.opKey(o.ID), fields...).Err()
}

// Workers lists the worker processes that are alive; bad ones only, if that is asked.
func (d *Desk) Workers(ctx context.Context, bad bool) (answer.WorkerDetails, error) {
	list := answer.WorkerDetails{Workers: []answer.WorkerDetail{}}
	infos, err := d.Queue.Workers(ctx)
	if err != nil {
		return list, err
	}
	if !bad { // of programs that claim jobs nobody knows more than that they ask
		claimers, err := d.Queue.Claimers(ctx)
		if err != nil {
			return list, err
		}
		for _, one := range claimers {
			list.Workers = append(list.Workers, detail(one).WorkerDetail)
		}
	}
	if len(infos) == 0 {
		return list, nil
	}
	pipe := d.Redis.Pipeline()
	beats := make([]*redis.StringCmd, len(infos))
	for i, w := range infos {
		beats[i] = pipe.Get(ctx, d.beatKey(w.ID))
	}
	if _, err := pipe.Exec(ctx); err != nil && err != redis.Nil { //nolint:errorlint // never wrapped
		return list, err
	}
	now, err := d.clock(ctx)
	if err != nil {
		return list, err
	}
	for i, info := range infos {
		w := detail(info)
		var b Beat
		if info.ID != "" && json.Unmarshal([]byte(beats[i].Val()), &b) == nil {
			w.add(b)
		}
		w.Bad = w.health(b, now)
		if !bad || w.Bad != nil {
			list.Workers = append(list.Workers, w.WorkerDetail)
		}
	}
	return list, nil
}

type worker struct{ answer.WorkerDetail }

func detail(w queue.WorkerInfo) worker {
	beat := w.SaidAt
	d := worker{answer.WorkerDetail{ID: w.ID, Host: w.Host, PID: w.PID, Version: w.Version, Slots: w.Slots,
		Types: append([]string{}, w.Types...), Queues: w.Queues,
		State: answer.WorkerTaking, Runs: []answer.WorkerRun{},
		BeatAt: &beat, Control: w.ID != ""}}
	switch {
	case w.Stopping:
		d.State = answer.WorkerStopping
	case w.Draining:
		d.State = answer.WorkerDraining
	}
	return d
}

func (w *worker) add(b Beat) {
	started := time.UnixMilli(b.Started).UTC()
	w.Busy, w.RSS, w.LagMS, w.Started = b.Busy, b.RSS, b.LagMS, &started
	w.Live, w.Jobs, w.Alarm, w.Recycle = b.Live, b.Jobs, b.Alarm, b.Recycle
	w.Runs = runsOf(b)
}

func runsOf(b Beat) []answer.WorkerRun {
	runs := []answer.WorkerRun{}
	for _, r := range b.Runs {
		runs = append(runs, answer.WorkerRun{Job: r.Job, Type: r.Type, Attempt: r.Attempt,
			Since: time.UnixMilli(r.Since).UTC()})
	}
	return runs
}

// health says what is wrong with a worker.
func (w *worker) health(b Beat, now time.Time) (bad []string) {
	if late := now.Sub(*w.BeatAt); late > silentAfter {
		bad = append(bad, "silent for "+late.Round(time.Second).String())
	}
	if lag := time.Duration(b.LagMS) * time.Millisecond; lag >= lagging {
		bad = append(bad, "its timers are "+lag.String()+" late")
	}
	if b.Alarm != "" {
		bad = append(bad, b.Alarm+": see enqueue profiles")
	}
	for _, r := range b.Runs {
		limit := time.Duration(r.Limit) * time.Millisecond
		if over := now.Sub(time.UnixMilli(r.Since)) - limit; r.Limit > 0 && over > overTimeout {
			bad = append(bad, "job "+string(r.Job)+" runs "+over.Round(time.Second).String()+
				" over its timeout")
		}
	}
	return bad
}

// Gone notes that a worker has ended, and why: stopped, drained or lost.
func (d *Desk) NoteGone(ctx context.Context, w queue.WorkerInfo, why string) {
	if w.ID == "" {
		return
	}
	at := time.Now()
	if why == "lost" {
		at = w.SaidAt // the same for all who notice
	}
	g := answer.GoneWorker{ID: w.ID, Host: w.Host, PID: w.PID, Version: w.Version, Why: why,
		At: at.UTC().Truncate(time.Millisecond), Ran: []answer.WorkerRun{}}
	var b Beat
	if text, err := d.Redis.Get(ctx, d.beatKey(w.ID)).Bytes(); err == nil &&
		json.Unmarshal(text, &b) == nil && why == "lost" {
		g.Ran = runsOf(b)
	}
	text, err := json.Marshal(g)
	if err != nil {
		return
	}
	old := strconv.FormatInt(time.Now().Add(-goneLife).UnixMilli(), 10)
	_, err = d.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAdd(ctx, d.goneKey(), redis.Z{Score: float64(g.At.UnixMilli()), Member: text})
		p.ZRemRangeByScore(ctx, d.goneKey(), "-inf", old)
		p.ZRemRangeByRank(ctx, d.goneKey(), 0, -maxGone-1)
		p.Del(ctx, d.toldKey(w.ID))
		return nil
	})
	if err != nil {
		d.Log.DebugContext(ctx, "the end of a worker is not noted", "worker", w.ID, "error", err)
	}
}

// GoneWorkers lists the workers that ended since a time, the newest first.
func (d *Desk) GoneWorkers(ctx context.Context, since time.Time) (answer.GoneWorkers, error) {
	list := answer.GoneWorkers{Workers: []answer.GoneWorker{}}
	bottom := "-inf"
	if !since.IsZero() {
		bottom = strconv.FormatInt(since.UnixMilli(), 10)
	}
	texts, err := d.Redis.ZRevRangeByScore(ctx, d.goneKey(), &redis.ZRangeBy{Max: "+inf", Min: bottom,
		Count: maxGone}).Result()
	for _, text := range texts {
		var g answer.GoneWorker
		if json.Unmarshal([]byte(text), &g) == nil {
			list.Workers = append(list.Workers, g)
		}
	}
	return list, err
}
