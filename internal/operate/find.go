package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/sealing"
	"longshore/job"
)

// ParseFilter reads a filter as clients write it. All that is wrong is told; at is what stands before a
// field's name there.
func ParseFilter(said answer.JobFilter, at string) (job.Filter, error) {
	f := job.Filter{State: job.State(said.State), Type: said.Type, Code: job.Code(said.Code),
		Group: said.Group, Worker: said.Worker, Retried: said.Retried, IDPrefix: said.IDPrefix,
		Label: said.Label, Queue: said.Queue,
		Tenant: said.Tenant, Subject: said.Subject}
	var wrong []httpapi.Pointer
	bad := func(name, detail string) {
		wrong = append(wrong, httpapi.Pointer{Pointer: at + name, Detail: detail})
	}
	if f.Tenant != "" && !access.ValidTenant(f.Tenant) {
		bad("tenant", "expected a tenant's name")
	}
	if f.Subject != "" && (f.Tenant == "" || !access.ValidSubject(f.Subject)) {
		bad("subject", "expected a user of the tenant that is named")
	}
	if f.State != "" && !slices.Contains(job.States, f.State) {
		bad("state", "expected a state")
	}
	if len(f.Type) > maxName {
		bad("type", fmt.Sprintf("expected at most %d characters", maxName))
	}
	if !plainWord(said.Code, maxName) {
		bad("code", "expected a failure code")
	}
	if said.Group != "" && (len(said.Group) != 12 || !isHex(said.Group)) {
		bad("group", "expected a group of GET /v1/failures")
	}
	if said.Worker != "" && !jobstore.IsWorkerID(said.Worker) {
		bad("worker", "expected a worker's id: 6 letters and digits")
	}
	if said.Retried != "" && said.Retried != job.RetriedAny && said.Retried != job.RetriedOnly {
		bad("retried", "expected any or only")
	}
	if l, err := job.ParseLabels(said.Label); err != nil || len(l) > 1 {
		bad("label", "expected one label, as user=7")
	}
	if said.Queue != "" && !job.IsQueue(said.Queue) {
		bad("queue", "expected "+job.QueueNames)
	}
	if len(said.IDPrefix) > 36 || !isHex(removeDashes(said.IDPrefix)) {
		bad("id_prefix", "expected the beginning of a job's id")
	}
	now := time.Now()
	for _, one := range []struct {
		name, text string
		to         *time.Time
	}{{"since", said.Since, &f.Since}, {"until", said.Until, &f.Until},
		{"created_since", said.CreatedSince, &f.CreatedSince}} {
		if one.text == "" {
			continue
		}
		t, err := ParseMoment(one.text, now)
		if err != nil {
			bad(one.name, err.Error())
		}
		*one.to = t
	}
	if (f.Code != "" || f.Group != "" || f.Retried != "") && f.State == "" {
		f.State = job.Failed // no other has one
	}
	if (f.Code != "" || f.Group != "" || f.Retried != "") && f.State != job.Failed {
		bad("state", "code, group and retried are of failed jobs")
	}
	if wrong != nil {
		return f, httpapi.NotValid(wrong...)
	}
	return f, nil
}

const maxName = 64

var errMoment = errors.New("expected a time as 2006-01-02T15:04:05Z, or a duration ago, as 15m")

// ParseMoment reads a time, or how long ago it was.
func ParseMoment(text string, now time.Time) (time.Time, error) {
	var at time.Time
	if at.UnmarshalText([]byte(text)) == nil {
		if at.Year() < 1971 || at.Year() > 9000 { // what milliseconds in Redis can say
			return at, errMoment
		}
		return at, nil
	}
	ago, err := httpapi.ParseDuration(text)
	if err != nil || ago <= 0 || ago > 100*366*24*time.Hour {
		return at, errMoment
	}
	return now.Add(-ago), nil
}

func plainWord(text string, most int) bool {
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return len(text) <= most
}

func isHex(text string) bool {
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func removeDashes(text string) string {
	b := slices.DeleteFunc([]byte(text), func(c byte) bool { return c == '-' })
	return string(b)
}

// Counts tells how many jobs there are, of one type or, for "", of all.
func (d *Desk) Counts(ctx context.Context, by access.View, kind string) (answer.Counts, error) {
	sum := answer.Counts{Counts: map[job.State]int64{}, Ended: map[job.State]int64{},
		Types: []answer.TypeCounts{}}
	for _, s := range job.States {
		sum.Counts[s] = 0
		if s.Terminal() {
			sum.Ended[s] = 0
		}
	}
	if by.Subject != "" {
		return sum, httpapi.NewError(httpapi.Forbidden,
			"counts are of a whole tenant: this needs scope jobs:all")
	}
	totals, err := d.Store.Totals(ctx, jobstore.Within(by, job.Filter{}).Tenant, kind)
	if err != nil {
		return sum, err
	}
	for _, name := range slices.Sorted(maps.Keys(totals)) {
		of := totals[name]
		maps.DeleteFunc(of.Counts, func(_ job.State, n int64) bool { return n == 0 })
		sum.Types = append(sum.Types, answer.TypeCounts{Type: name, Counts: of.Counts, Retried: of.Retried,
			Ended: of.Ended})
		for s, n := range of.Counts {
			sum.Counts[s] += n
			sum.Total += n
		}
		for s, n := range of.Ended {
			sum.Ended[s] += n
		}
		sum.Retried += of.Retried
	}
	sum.Total += sum.Retried
	return sum, nil
}

// Failures groups the newest failed jobs that a filter lets through.
func (d *Desk) Failures(ctx context.Context, by access.View, f job.Filter) (answer.Failures, error) {
	f = jobstore.Within(by, f)
	list := answer.Failures{Groups: []answer.FailureGroup{}}
	groups, scanned, complete, err := d.Store.Failures(ctx, f)
	if err != nil {
		return list, err
	}
	if f.Subject == "" {
		totals, err := d.Store.Totals(ctx, f.Tenant, f.Type)
		if err != nil {
			return list, err
		}
		for _, of := range totals {
			list.Total += of.Counts[job.Failed]
		}
	}
	for _, g := range groups {
		list.Groups = append(list.Groups, answer.FailureGroup{Group: g.Group, Type: g.Type, Code: g.Code,
			Message: g.Message, N: g.N, First: g.First, Last: g.Last, Samples: g.Samples})
		if f.Subject != "" { // which no counter knows
			list.Total += int64(g.N)
		}
	}
	list.Scanned, list.Complete = scanned, complete
	return list, nil
}

// Payload tells what a job is to do.
func (d *Desk) Payload(ctx context.Context, by access.View, id job.ID) (answer.Payload, error) {
	r, err := d.Store.Views().Read(ctx, by, id)
	if err != nil {
		return answer.Payload{}, err
	}
	p := answer.Payload{Payload: sealing.Hide(r.Spec.Payload, r.Spec.Sealed)}
	if len(p.Payload) == 0 {
		p.Payload = []byte("{}")
	}
	if in := r.Spec.Input; in != nil {
		p.Input = &answer.InputInfo{Name: in.Filename, Size: in.Size, ContentType: in.ContentType}
		if owner := in.Owner(); owner != id {
			p.Input.Job = owner
		}
	}
	return p, nil
}

// Timeline tells what happened to a job: its record knows most of it.
func (d *Desk) Timeline(ctx context.Context, by access.View, id job.ID) (answer.Timeline, error) {
	r, err := d.Store.Views().Read(ctx, by, id)
	if err != nil {
		return answer.Timeline{}, err
	}
	story, err := d.Store.Story(ctx, id)
	if err != nil {
		return answer.Timeline{}, err
	}
	snap := r.Snapshot
	t := answer.Timeline{ID: id, State: snap.State, Done: snap.Done,
		Entries: []answer.TimelineEntry{{At: snap.CreatedAt, What: "created", Other: snap.RetryOf}}}
	add := func(e answer.TimelineEntry) { t.Entries = append(t.Entries, e) }
	if snap.RunAt != nil && snap.State != job.Retrying && !snap.RunAt.After(time.Now()) {
		add(answer.TimelineEntry{At: *snap.RunAt, What: "due"})
	}
	for _, e := range snap.Errors {
		add(answer.TimelineEntry{At: e.At, What: "failed_attempt", Attempt: e.Attempt, Code: string(e.Code),
			Message: e.Message, Version: versionOf(e.Function)})
	}
	for _, line := range story {
		e := answer.TimelineEntry{At: line.At, What: line.What, By: line.About}
		switch line.What {
		case "lost":
			e.Attempt, e.Worker, e.By = line.Attempt+1, line.About, ""
		case "cancel":
			e.What = "cancel_requested"
		case "retried":
			e.Other = snap.RetriedAs
		case "resend":
			e.What = "callback_resend"
		case "changed":
			e.Message, e.By = changed(line.About)
		}
		add(e)
	}
	if snap.StartedAt != nil {
		add(answer.TimelineEntry{At: *snap.StartedAt, What: "started", Attempt: max(snap.Attempt, 1),
			Worker: snap.Worker})
	}
	if snap.FinishedAt != nil && snap.Done {
		e := answer.TimelineEntry{At: *snap.FinishedAt, What: "finished", State: snap.State}
		if snap.Error != nil {
			e.Code, e.Message = string(snap.Error.Code), snap.Error.Message
		}
		if snap.Attempt > 0 { // else nothing ran
			e.Version = versionOf(snap.Function)
		}
		add(e)
	}
	if err := d.addCallback(ctx, r.Callback, id, add); err != nil {
		return t, err
	}
	if t.Waiting, err = d.waiting(ctx, &snap); err != nil {
		return t, err
	}
	// Who pauses, and how many workers there are, is the installation's.
	if w := t.Waiting; w != nil && !by.All() {
		t.Waiting = &answer.Waiting{For: w.For, Until: w.Until, Why: w.Why, Limit: w.Limit}
		if w.For == job.WaitingJobs {
			t.Waiting.Holders = w.Holders
		}
	}
	slices.SortStableFunc(t.Entries[1:], func(a, b answer.TimelineEntry) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(rank[a.What], rank[b.What]))
	})
	return t, nil
}

func versionOf(f *job.FunctionRun) int64 {
	if f == nil {
		return 0
	}
	return f.Version
}

// rank orders what happened in one moment.
var rank = map[string]int{"changed": 1, "released": 1, "due": 2, "started": 3, "failed_attempt": 4, "lost": 4,
	"cancel_requested": 5, "finished": 6, "callback_resend": 7, "callback": 7, "retried": 8}

func (d *Desk) addCallback(ctx context.Context, has bool, id job.ID, add func(answer.TimelineEntry)) error {
	if !has {
		return nil
	}
	cb, err := d.Store.Callback(ctx, id)
	if errors.Is(err, job.ErrNoCallback) || errors.Is(err, job.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, try := range cb.Tries {
		e := answer.TimelineEntry{At: try.At, What: "callback", Attempt: try.Attempt, Code: try.Error,
			Message: try.Answer}
		if try.Status > 0 {
			e.Message = strings.TrimSpace(fmt.Sprintf("HTTP %d %s", try.Status, try.Answer))
		}
		add(e)
	}
	if len(cb.Tries) == 0 && cb.LastAttemptAt != nil { // by a process of an older release
		e := answer.TimelineEntry{At: *cb.LastAttemptAt, What: "callback", Attempt: cb.Attempts,
			Code: cb.LastError, Message: string(cb.State)}
		if cb.LastStatus > 0 {
			e.Message += fmt.Sprintf(", HTTP %d", cb.LastStatus)
		}
		add(e)
	}
	return nil
}
