package jobstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"longshore/internal/access"
	"longshore/internal/batch"
	"longshore/job"
)

// A Change is what a job that waits is to have otherwise. Zero values leave it as it is.
type Change struct {
	RunAt       *time.Time // one that is over: at once
	ExpiresAt   *time.Time // the zero time: never
	ExpiresIn   time.Duration
	Labels      *job.Labels // without any: none
	Priority    job.Priority
	Queue       string // its name; "default" too is one
	Timeout     time.Duration
	Retention   time.Duration
	MaxAttempts int
}

var (
	// ErrStarted says that a job that was to wait otherwise runs, or has begun.
	ErrStarted = errors.New("job has started")
	// ErrRev says that a job has none of the revisions that it was to have.
	ErrRev = errors.New("job has another revision")
)

// errHead says that a job's head was changed since it was read.
var errHead = errors.New("head has changed")

// changeTries is how often a change is tried whose job has got another head meanwhile.
const changeTries = 5

// Change has a job that waits wait otherwise, or gives one that has ended another retention. revs are the
// revisions that it may have, none: any; by is who asks. A change that is there already is none, and no
// error. Errors: job.ErrNotFound, ErrStarted, ErrEnded, ErrRev, job.ErrDamaged.
func (v Views) Change(ctx context.Context, by access.View, id job.ID, c Change, revs []int64,
	who string) (job.Snapshot, error) {
	errs, err := v.s.change(ctx, by, []job.ID{id}, c, revs, who, "")
	if err == nil {
		err = v.s.missing(ctx, id, errs[0])
	}
	if err != nil {
		return job.Snapshot{}, err
	}
	return v.Get(ctx, by, id)
}

// ChangeMany changes jobs that are in a state that the filter means. Each has an error of its own: nil,
// ErrMoved, ErrStarted, ErrManyQueues, job.ErrNotFound or job.ErrDamaged; err is Redis's. It may be repeated.
func (s *Store) ChangeMany(ctx context.Context, ids []job.ID, c Change, by string, f job.Filter) ([]error,
	error) {
	errs, err := s.change(ctx, ViewOf(f), ids, c, nil, by, letters(f))
	if errors.Is(err, ErrManyQueues) { // no trouble that passes
		return slices.Repeat([]error{err}, len(ids)), nil
	}
	for i, one := range errs {
		if errors.Is(one, ErrEnded) {
			errs[i] = ErrMoved
		}
	}
	return errs, err
}

func (s *Store) change(ctx context.Context, view access.View, ids []job.ID, c Change, revs []int64,
	by, letters string) ([]error, error) {
	if err := s.Enroll(ctx, job.InQueue(c.Queue)); err != nil {
		return nil, err
	}
	if c.ExpiresIn > 0 { // once, so that a repeat says the same
		now, err := s.rdb.Time(ctx).Result()
		if err != nil {
			return nil, err
		}
		at := now.Add(c.ExpiresIn)
		c.ExpiresAt, c.ExpiresIn = &at, 0
	}
	errs := make([]error, len(ids))
	left := make([]int, len(ids))
	for i := range ids {
		left[i] = i
	}
	for try := 0; len(left) > 0 && try < changeTries; try++ {
		if err := s.changeSome(ctx, view, ids, left, c, revs, by, letters, errs); err != nil {
			return nil, err
		}
		var again []int
		for _, i := range left {
			if errors.Is(errs[i], errHead) {
				again = append(again, i)
			}
		}
		left = again
	}
	return errs, nil
}

// changeSome changes those of ids whose numbers are given, and puts what became of each into errs.
func (s *Store) changeSome(ctx context.Context, view access.View, ids []job.ID, which []int, c Change,
	revs []int64, by, letters string, errs []error) error {
	some := make([]job.ID, len(which))
	for k, i := range which {
		some[k] = ids[i]
	}
	cores, err := s.cores(ctx, some)
	if err != nil {
		return err
	}
	var calls []*batch.Call
	var whose []int
	for k, i := range which {
		if !cores[k].there {
			if errs[i] = job.ErrNotFound; cores[k].strange {
				errs[i] = fmt.Errorf("%s: %w", ids[i], job.ErrDamaged)
			}
			continue
		}
		was, said, what, err := s.otherHead(ctx, ids[i], cores[k].text, c)
		if bad := errRecord(""); errors.As(err, &bad) {
			errs[i] = fmt.Errorf("%s: %w: %w", ids[i], job.ErrDamaged, err)
			continue
		} else if err != nil {
			return err
		}
		calls = append(calls, s.callFor(view, ids[i], append([]any{was, said, what}, append(c.texts(),
			spaced(revs), by, letters)...)...))
		whose = append(whose, i)
	}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.change, bulkSize, calls); err != nil {
		return err
	}
	for k, call := range calls {
		switch word := text(call.Reply[0]); word {
		case "ended":
			errs[whose[k]] = ErrEnded
		case "started":
			errs[whose[k]] = ErrStarted
		case "other":
			errs[whose[k]] = ErrRev
		case "again":
			errs[whose[k]] = errHead
		default:
			errs[whose[k]] = status(ids[whose[k]], call.Reply)
		}
	}
	return nil
}

// otherHead is the head that a job is to have, as change.lua takes it: what tells the old one, the new one as
// create says it, and what of it is another; nothing where it is the same.
func (s *Store) otherHead(ctx context.Context, id job.ID, core string, c Change) (was, said, what string,
	err error) {
	r, err := parseRecord(core)
	if err != nil {
		return "", "", "", err
	}
	h, err := s.headOf(ctx, s.part(id), &r)
	if err != nil {
		return "", "", "", err
	}
	var told []string
	note := func(name, value string) { told = append(told, name+"="+value) }
	at := job.ParsePlace(h.queue)
	if c.Priority != "" && c.Priority != at.Priority {
		at.Priority = c.Priority
		note("priority", string(c.Priority))
	}
	if c.Queue != "" && c.Queue != job.QueueOf(at.Queue) {
		at.Queue = job.InQueue(c.Queue)
		note("queue", c.Queue)
	}
	h.queue = at.Name()
	if c.Timeout > 0 && c.Timeout != h.timeout {
		h.timeout = c.Timeout
		note("timeout", ms(c.Timeout))
	}
	if c.MaxAttempts > 0 && c.MaxAttempts != h.maxAttempts {
		h.maxAttempts = c.MaxAttempts
		note("max_attempts", strconv.Itoa(c.MaxAttempts))
	}
	if c.Retention > 0 && (c.Retention != h.retention || c.Retention != h.failed) {
		h.retention, h.failed = c.Retention, c.Retention
		note("retention", ms(c.Retention))
	}
	if told == nil {
		return "", "", "", nil
	}
	if was = r.head; r.has(flagN) {
		was = r.text
	}
	return was, saidOf(h.text(), h.family), strings.Join(told, ","), nil
}

// texts are those of a change that aren't in a head.
func (c *Change) texts() []any {
	runAt, expires, labels := "", "", ""
	if c.RunAt != nil {
		runAt = strconv.FormatInt(max(c.RunAt.UnixMilli(), 0), 10)
	}
	if c.ExpiresAt != nil {
		expires = unixMS(*c.ExpiresAt)
	}
	if c.Labels != nil {
		labels = "=" + c.Labels.String()
	}
	return []any{runAt, expires, labels}
}

// spaced are revisions, each between spaces; "" of none.
func spaced(revs []int64) string {
	var b strings.Builder
	for _, rev := range revs {
		b.WriteString(" " + strconv.FormatInt(rev, 10) + " ")
	}
	return b.String()
}
