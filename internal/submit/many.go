package submit

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/internal/tracing"
	"longshore/job"
)

// A Draft is one line of a batch on its way in: a request, or what is wrong
// with the line.
type Draft struct {
	Line    int64 // number, from 1
	Request Request
	Err     error // an *httpapi.Error
}

// Read makes a draft of a line.
func Read(l httpapi.Line) Draft {
	d := Draft{Line: l.Number}
	if l.TooLong {
		d.Err = httpapi.LineTooLong()
		return d
	}
	if d.Err = d.Request.ReadLine(l.Text); d.Err != nil {
		d.Request = Request{}
	}
	return d
}

// SubmitMany takes many jobs in that bring no file, in their order, and answers
// for each: one that is refused, or whose fate is unknown, doesn't hold up the
// others. None waits for room.
func (d *Submitter) SubmitMany(ctx context.Context, drafts []Draft) []httpapi.BatchAnswer {
	g := d.checkMany(drafts)
	d.createMany(ctx, g, 0)
	return g.answers
}

// SubmitBatch is SubmitMany for any number of jobs: next returns the drafts
// that there are, at least one, until it returns an error, and answer gets the
// answers in the same order. Checking and records go on at the same
// time, each for another group of jobs, and the groups are of what has come:
// a lone draft is not kept waiting. What is under way is bounded, so a slow
// answer slows next. It returns the first error of next, but for io.EOF, or of
// answer, when all that was read has been answered; after an error of answer
// nothing more is taken.
func (d *Submitter) SubmitBatch(ctx context.Context, next func() ([]Draft, error),
	answer func([]httpapi.BatchAnswer) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	checked, sent := make(chan *group, underWay), make(chan *group, underWay)
	var readErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(checked)
		readErr = d.readGroups(ctx, next, checked)
	})
	wg.Go(func() {
		defer close(sent)
		free := make(chan struct{}, creating)
		var before chan struct{}
		for g := range checked {
			free <- struct{}{}
			g = gather(g, checked)
			g.recorded, g.before = make(chan struct{}), before
			before = g.recorded
			wg.Go(func() {
				d.createMany(ctx, g, d.Patience)
				close(g.recorded)
				<-free
			})
			sent <- g
		}
	})
	var answerErr error
	for g := range sent {
		<-g.recorded
		if answerErr == nil {
			if answerErr = answer(g.answers); answerErr != nil {
				stop(answerErr)
			}
		}
	}
	wg.Wait()
	switch {
	case answerErr != nil:
		return answerErr
	case errors.Is(readErr, io.EOF):
		return nil
	default:
		return readErr
	}
}

// Bounds of a batch: jobs of one pipeline, groups that wait between two steps,
// and groups whose records are being made: while Redis works on one, the next is
// on its way.
const (
	groupSize = 400 // two calls of the store
	underWay  = 4
	creating  = 2
)

// readGroups checks what next returns, in parts of a group's size at most.
func (d *Submitter) readGroups(ctx context.Context, next func() ([]Draft, error), to chan<- *group) error {
	for {
		drafts, err := next()
		if err != nil {
			return err
		}
		for len(drafts) > 0 {
			n := min(len(drafts), groupSize)
			select {
			case to <- d.checkMany(drafts[:n]):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			drafts = drafts[n:]
		}
	}
}

// A group is jobs that go in together.
type group struct {
	answers []httpapi.BatchAnswer
	jobs    []jobstore.NewJob // those that are not refused
	at      []int             // where in answers they are
	// alone are jobs that work on another's output, or are after others: each is made on its own, when all
	// jobs of earlier lines are there that are to be.
	alone []alone

	recorded chan struct{} // closed when the records are made
	before   chan struct{} // … of the group before; nil = there is none
}

type alone struct {
	at      int
	request Request
	job     jobstore.NewJob
}

// gather adds the groups that have come meanwhile, up to a group's size.
func gather(g *group, from <-chan *group) *group {
	for len(g.answers) <= groupSize/2 {
		select {
		case more, ok := <-from:
			if !ok {
				return g
			}
			for i := range more.at {
				more.at[i] += len(g.answers)
			}
			for _, r := range more.alone {
				r.at += len(g.answers)
				g.alone = append(g.alone, r)
			}
			g.at = append(g.at, more.at...)
			g.answers = append(g.answers, more.answers...)
			g.jobs = append(g.jobs, more.jobs...)
		default:
			return g
		}
	}
	return g
}

func (d *Submitter) checkMany(drafts []Draft) *group {
	g := &group{answers: make([]httpapi.BatchAnswer, len(drafts)),
		jobs: make([]jobstore.NewJob, 0, len(drafts)), at: make([]int, 0, len(drafts))}
	for i, draft := range drafts {
		g.answers[i].Line = draft.Line
		err := draft.Err
		if err == nil {
			var n jobstore.NewJob
			n, _, err = d.check(draft.Request)
			if err == nil && (draft.Request.referred() || len(draft.Request.After) > 0) {
				g.alone = append(g.alone, alone{i, draft.Request, n})
				continue
			}
			if err == nil {
				g.jobs, g.at = append(g.jobs, n), append(g.at, i)
				continue
			}
		}
		g.refuse(i, inLine(httpapi.AsError(err)))
	}
	return g
}

func (g *group) refuse(i int, e *httpapi.Error) {
	g.answers[i] = httpapi.Refusal(g.answers[i].Line, e)
}

// refuseAll refuses all that was not refused before.
func (g *group) refuseAll(e *httpapi.Error) {
	for _, i := range g.at {
		g.refuse(i, e)
	}
	for _, r := range g.alone {
		g.refuse(r.at, e)
	}
}

// createMany makes the records. All of it is one call or a few, and goes on
// when ctx ends: who asked may be gone, what was sent can't be taken back. Jobs that limits hold back
// wait for room, for as long as patience says.
func (d *Submitter) createMany(ctx context.Context, g *group, patience time.Duration) {
	if err := d.Room(); err != nil {
		g.refuseAll(httpapi.AsError(err))
		return
	}
	g.trace(tracing.From(ctx))
	until := time.Now().Add(patience)
	d.createPlain(ctx, g, until)
	if len(g.alone) > 0 && g.before != nil {
		<-g.before
	}
	for _, r := range g.alone {
		d.createAlone(ctx, g, r, until)
	}
}

// createPlain makes the records of the jobs that need nothing else.
func (d *Submitter) createPlain(ctx context.Context, g *group, until time.Time) {
	for first := true; len(g.jobs) > 0; first = false {
		if ctx.Err() != nil {
			for _, i := range g.at {
				g.refuse(i, refusal.Of(ctx.Err()))
			}
			return
		}
		back, errs := d.createAdmitted(ctx, g, first)
		if g.jobs, g.at = back.jobs, back.at; len(g.jobs) > 0 && !d.waitForRoom(ctx, until) {
			for j, i := range g.at {
				g.refuse(i, httpapi.AsError(errs[j]))
			}
			return
		}
	}
}

// createAdmitted makes the records of the jobs that may come in, and returns the others with why not.
func (d *Submitter) createAdmitted(ctx context.Context, g *group, first bool) (back group, why []error) {
	jobs, at := g.jobs, g.at
	if d.Limits != nil && d.Limits.Any(ctx) {
		refused, done := d.Limits.Admit(ctx, jobs)
		defer done()
		if refused != nil {
			jobs, at = nil, nil
			for j := range g.jobs {
				if refused[j] == nil || first && d.known(ctx, &g.jobs[j]) {
					jobs, at = append(jobs, g.jobs[j]), append(at, g.at[j])
					continue
				}
				back.jobs, back.at, why = append(back.jobs, g.jobs[j]), append(back.at, g.at[j]),
					append(why, refused[j])
			}
		}
	}
	if len(jobs) > 0 {
		d.createThese(ctx, g, jobs, at)
	}
	return back, why
}

// createThese makes the records of jobs, which answer the lines at these places. Those that limits of
// jobs at once hold for are made in the order of their lines: it is the order in which they run.
func (d *Submitter) createThese(ctx context.Context, g *group, jobs []jobstore.NewJob, at []int) {
	limited := func(n jobstore.NewJob) bool { return len(n.Limits) > 0 }
	if !slices.ContainsFunc(jobs, limited) {
		d.createAny(ctx, g, jobs, at)
		return
	}
	var rest, ordered []jobstore.NewJob
	var restAt, orderedAt []int
	for i, n := range jobs {
		if limited(n) {
			ordered, orderedAt = append(ordered, n), append(orderedAt, at[i])
		} else {
			rest, restAt = append(rest, n), append(restAt, at[i])
		}
	}
	d.createAny(ctx, g, rest, restAt)
	if g.before != nil {
		<-g.before
	}
	for i := 0; i < len(ordered); i += oneCall {
		end := min(i+oneCall, len(ordered))
		d.createAny(ctx, g, ordered[i:end], orderedAt[i:end])
	}
}

// oneCall is how many jobs go to the store in one call, at most.
const oneCall = groupSize / 2

// createAny makes the records of jobs in any order.
func (d *Submitter) createAny(ctx context.Context, g *group, jobs []jobstore.NewJob, at []int) {
	if len(jobs) == 0 {
		return
	}
	created, errs := d.Store.CreateMany(context.WithoutCancel(ctx), jobs)
	for j, i := range at {
		if errs[j] != nil {
			d.refuseLine(ctx, g, i, refusal.Of(errs[j]))
			continue
		}
		g.answers[i].ID, g.answers[i].Created = created[j].ID, created[j].New
		if in := jobs[j].Batch; !created[j].New && in != "" {
			if snap, err := d.Store.Get(ctx, created[j].ID); err == nil {
				g.answers[i].Joined = joined(in, &snap)
			}
		}
	}
}

// createAlone makes a job that has to do with others, as Submit does.
func (d *Submitter) createAlone(ctx context.Context, g *group, r alone, until time.Time) {
	done, err := d.admit(ctx, &r.job)
	for err != nil && d.waitForRoom(ctx, until) {
		done, err = d.admit(ctx, &r.job)
	}
	if err != nil {
		d.refuseLine(ctx, g, r.at, err)
		return
	}
	defer done()
	if ctx.Err() != nil {
		g.refuse(r.at, refusal.Of(ctx.Err()))
		return
	}
	snap, created, err := d.submitWhole(context.WithoutCancel(ctx), r.request, r.job)
	if err != nil {
		d.refuseLine(ctx, g, r.at, err)
		return
	}
	g.answers[r.at].ID, g.answers[r.at].Created = snap.ID, created
	if !created {
		g.answers[r.at].Joined = joined(r.request.Batch, &snap)
	}
}

// joined is what is said of a job that was there before: false if it is not of the batch that a line names.
func joined(in job.ID, snap *job.Snapshot) *bool {
	if in == "" || in == snap.Batch {
		return nil
	}
	return new(bool)
}

func (d *Submitter) refuseLine(ctx context.Context, g *group, i int, err error) {
	e := httpapi.AsError(err)
	if e.Code == httpapi.Internal {
		d.Log.ErrorContext(ctx, "line of a batch not taken", "error", err)
	}
	g.refuse(i, e)
}
