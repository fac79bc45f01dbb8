package schedules

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/cron"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/sealing"
	"longshore/internal/submit"
)

const everywhere = access.Installation

// A definition is what a schedule says, read.
type definition struct {
	spec    answer.ScheduleSpec // in the one form in which it is kept
	request submit.Request
	table   *cron.Timetable
	overlap jobstore.Overlap
	every   time.Duration // 0 = by cron
	start   time.Time
}

// Bounds of a definition.
const (
	minEvery  = time.Second
	maxEvery  = 366 * 24 * time.Hour
	maxJitter = time.Hour
	maxBack   = 366 * 24 * time.Hour // of starts_at
)

// A reading is a definition that is being read; what is wrong with it is noted by what it says next.
type reading struct {
	definition
	expression *cron.Expression
	place      *time.Location
	name       string // from a list
	named      bool
	jitter     time.Duration
	end        time.Time
}

// member takes one member that is the schedule's own.
func (r *reading) member(name string, value []byte) (known bool, err error) {
	switch name {
	case "cron", "every", "timezone", "overlap", "catch_up", "jitter", "starts_at", "ends_at":
	case "name":
		if !r.named {
			return false, nil
		}
	default:
		return false, nil
	}
	if value[0] == 'n' { // null: as if it were not there
		return true, nil
	}
	if value[0] != '"' && (name == "every" || name == "jitter") { // a bare number is seconds
		value = []byte(`"` + string(value) + `"`)
	}
	text, err := httpapi.TextOf(value)
	if err != nil {
		return true, err
	}
	return true, r.take(name, text)
}

func (r *reading) take(name, text string) (err error) {
	switch name {
	case "name":
		r.name = text
		return httpapi.CheckName(text)
	case "cron":
		r.spec.Cron = strings.Join(strings.Fields(text), " ")
		r.expression, err = cron.Parse(text)
	case "every":
		if r.every, err = httpapi.ParseDuration(text); err == nil && (r.every < minEvery ||
			r.every > maxEvery ||
			r.every%time.Millisecond != 0) {
			err = errors.New("expected 1s to 8784h, in whole milliseconds")
		}
		r.spec.Every = httpapi.FormatDuration(r.every)
	case "timezone":
		r.spec.Timezone = text
		r.place, err = cron.Zone(text)
	case "overlap":
		r.spec.Overlap, r.overlap = text, jobstore.Overlap(text)
		err = oneOf(text, string(jobstore.OverlapAllow), string(jobstore.OverlapSkip),
			string(jobstore.OverlapCancel))
	case "catch_up":
		r.spec.CatchUp = text
		err = oneOf(text, string(cron.CatchUpLast), string(cron.CatchUpNone), string(cron.CatchUpAll))
	case "jitter":
		if r.jitter, err = httpapi.ParseDuration(text); err == nil && (r.jitter < 0 || r.jitter > maxJitter) {
			err = errors.New("expected a duration up to 1h")
		}
	case "starts_at":
		r.start, err = moment(text)
		r.spec.StartsAt = &r.start
	case "ends_at":
		r.end, err = moment(text)
		r.spec.EndsAt = &r.end
	}
	return err
}

func oneOf(text string, all ...string) error {
	for _, one := range all {
		if text == one {
			return nil
		}
	}
	return errors.New(httpapi.ExpectedOneOf(all))
}

// moment reads a time, cut to milliseconds.
func moment(text string) (at time.Time, err error) {
	if at.UnmarshalText([]byte(text)) != nil {
		return at, httpapi.ErrTime
	}
	return at.UTC().Truncate(time.Millisecond), nil
}

// read reads what a schedule says. From a list it has a name, too. The error is an *httpapi.Error.
func read(text []byte, named bool, now time.Time) (*definition, string, error) {
	r := &reading{named: named}
	r.overlap, r.place = jobstore.OverlapAllow, time.UTC
	problem := r.request.ReadSchedule(text, r.member)
	if problem == nil {
		problem = r.check(now)
	}
	if problem != nil {
		return nil, r.name, problem
	}
	r.settle()
	return &r.definition, r.name, nil
}

// check says what is wrong with parts that are right each for itself.
func (r *reading) check(now time.Time) error {
	bad := httpapi.InvalidAt
	switch {
	case r.named && r.name == "":
		return bad("/name", "expected the schedule's name")
	case r.expression == nil && r.every == 0:
		return bad("/cron", "expected cron or every: when the jobs are to be made")
	case r.expression != nil && r.every > 0:
		return bad("/every", "stands beside cron: one of the two")
	case !r.start.IsZero() && r.start.Before(now.Add(-maxBack)):
		return bad("/starts_at", "lies more than a year back")
	case r.start.After(now.AddDate(10, 0, 0)): // later ones may have no form as JSON
		return bad("/starts_at", "lies more than ten years ahead")
	case !r.end.IsZero() && r.end.Before(r.start):
		return bad("/ends_at", "lies before starts_at")
	}
	if r.jitter > 0 {
		if closest := r.closest(now); r.jitter >= closest {
			return bad("/jitter",
				"expected less than from one tick to the next, "+httpapi.FormatDuration(closest))
		}
	}
	return nil
}

// closest is the shortest way between some ticks.
func (r *reading) closest(now time.Time) time.Duration {
	if r.every > 0 {
		return r.every
	}
	table := cron.Timetable{Times: r.expression.In(r.place)}
	at, shortest := table.First(now), maxEvery
	for range 10 {
		next := table.First(at)
		if at.IsZero() || next.IsZero() {
			break
		}
		at, shortest = next, min(shortest, next.Sub(at))
	}
	return shortest
}

// settle gives what was read its one form.
func (r *reading) settle() {
	s, q := &r.spec, &r.request
	if r.expression != nil {
		s.Timezone = cmp.Or(s.Timezone, "UTC")
	}
	s.Overlap, s.CatchUp = string(r.overlap), cmp.Or(s.CatchUp, string(cron.CatchUpLast))
	s.Jitter = said(r.jitter)
	s.Type, s.Payload, s.Priority = q.Type, compact(q.Payload), q.Priority
	s.Queue = q.Queue
	s.Timeout, s.ExpiresIn, s.Retention = said(q.Timeout), said(q.ExpiresIn), said(q.Retention)
	s.MaxAttempts, s.CallbackURL = q.MaxAttempts, q.CallbackURL
	r.request.Payload = s.Payload
	r.table = &cron.Timetable{Start: r.start, End: r.end, Jitter: r.jitter, CatchUp: cron.CatchUp(s.CatchUp)}
	if r.expression != nil {
		r.table.Times = r.expression.In(r.place)
	}
}

func said(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return httpapi.FormatDuration(d)
}

func compact(text json.RawMessage) json.RawMessage {
	if len(text) == 0 {
		return nil
	}
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text // Prepare says what is wrong
	}
	return b.Bytes()
}

// on has the timetable be that of one schedule: an interval counts from somewhere.
func (d *definition) on(tenant, name string, anchor time.Time) {
	d.table.Name = tenant + "/" + name
	if d.every > 0 {
		d.table.Times = cron.Every{From: anchor, Period: d.every}
	}
}

// known are definitions that were read, since ticks come often and definitions change seldom.
var known = struct {
	sync.Mutex
	of map[string]*definition
}{of: map[string]*definition{}}

const maxKnown = 20_000

// definitionOf reads what is kept of a schedule. It is shared: nobody changes it.
func definitionOf(s *jobstore.Schedule) (*definition, error) {
	key := s.Key() + "\x00" + s.Fields["anchor"] + "\x00" + s.Fields["spec"]
	known.Lock()
	d := known.of[key]
	known.Unlock()
	if d != nil {
		return d, nil
	}
	// What was right when it was put isn't judged by today's date.
	d, _, err := read([]byte(s.Fields["spec"]), false, s.Time("changed"))
	if err != nil {
		return nil, fmt.Errorf("what it says can't be read: %w", err)
	}
	d.on(s.Tenant, s.Name, s.Time("anchor"))
	known.Lock()
	defer known.Unlock()
	if len(known.of) >= maxKnown {
		clear(known.of)
	}
	known.of[key] = d
	return d, nil
}

// show is a schedule as clients see it. A value that its type has made a secret since is not among that.
func (r *Room) show(s *jobstore.Schedule) answer.Schedule {
	a := answer.Schedule{Name: s.Name, Source: s.Fields["source"], NotInSource: s.Fields["orphan"] != "",
		Rev: s.Count("rev"), Next: []time.Time{}, LastJob: s.LastJob, Made: s.Count("made"),
		ByHand: s.Count("byhand"),
		Missed: s.Count("missed"), Overlapped: s.Count("overlapped"), Refused: s.Count("refused"),
		ChangedBy: s.Fields["by"], ChangedAt: s.Time("changed")}
	if s.Tenant != access.DefaultTenant {
		a.Tenant = s.Tenant
	}
	if !s.Last.IsZero() {
		a.LastTick = &s.Last
	}
	if text := s.Fields["err"]; text != "" {
		a.Problem = &answer.ScheduleProblem{Since: s.Time("erat"), Detail: text}
	}
	if text := s.Fields["paused"]; text != "" {
		a.Paused = &answer.SchedulePause{}
		_ = json.Unmarshal([]byte(text), a.Paused) // what it can't read it doesn't show
	}
	d, err := definitionOf(s)
	if err != nil {
		a.Problem = &answer.ScheduleProblem{Since: a.ChangedAt, Detail: textOf(err)}
		return a
	}
	a.ScheduleSpec = d.spec
	if r.Submitter == nil { // who only looks, as the doctor, knows no types
		a.Payload = nil
	} else {
		a.Payload = sealing.Hide(a.Payload, r.Submitter.Catalog.Secrets(a.Type, a.Payload))
	}
	if a.Paused == nil {
		for next := s.Next; len(a.Next) < 5 && !next.IsZero(); next = d.table.First(next) {
			a.Next = append(a.Next, next)
		}
	}
	return a
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprint(t.UnixMilli())
}

// textOf words a problem for whoever looks at the schedule.
func textOf(err error) string {
	e := httpapi.AsError(err)
	text := e.Detail
	for _, p := range e.Errors {
		text += fmt.Sprintf("; %s: %s", p.Pointer, p.Detail)
	}
	text = strings.TrimPrefix(cmp.Or(text, string(e.Code)), "; ")
	return text[:min(len(text), 500)]
}
