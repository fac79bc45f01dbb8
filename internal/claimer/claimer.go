// Package claimer runs jobs in this process, or in programs that it starts, and reaches no Redis: it claims
// them over HTTP (docs/claims.md), keeps their leases, and says how they have ended. What a job does is its
// caller's.
//
// Three things go on at the same time. One request for jobs waits at the server while a slot is free. One
// renewal for all jobs that run waits there too; it brings what is to stop, and takes progress and lines
// along. And each job runs in a goroutine, which says its end.
package claimer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"longshore/answer"
	"longshore/client"
	"longshore/internal/loop"
	"longshore/job"
)

// What ends an attempt before its time is the cause of its context.
var (
	ErrCanceled = errors.New("a client has canceled the job")
	ErrTimeout  = errors.New("the attempt ran longer than its timeout")
	ErrLost     = errors.New("the job is another process's, or has ended")
	ErrDrain    = errors.New("this process is to end")
)

// A Config is what Run needs.
type Config struct {
	Client        *client.Client
	Types, Queues []string // names or globs; no queues = all
	Slots         int      // how many jobs run at a time, 1 to 100
	Worker        string   // the name of this process, as host:pid:random
	Grace         time.Duration
	// Do runs one attempt, and says how it has ended; ID, Claim and Log are filled in. It is called by as
	// many goroutines as there are slots, and is to return soon after ctx has ended.
	Do  func(ctx context.Context, j *Job) client.FinishJob
	Log *slog.Logger
}

// How long is waited at the server, and for it.
const (
	claimWait   = 25 * time.Second
	renewWait   = 8 * time.Second
	stopWait    = 5 * time.Second
	talkAfter   = 300 * time.Millisecond // news of a job wait so long for more
	firstPause  = 200 * time.Millisecond
	longestRest = 5 * time.Second
)

type claimer struct {
	Config
	free chan struct{} // a slot each
	news chan struct{} // there is something to say, or another job

	mu      sync.Mutex
	jobs    []*Job // that run
	running sync.WaitGroup
}

// Run runs jobs until ctx ends: then it takes no more, waits for those that it has for Grace, stops the
// rest and releases them. The error says why no jobs can be had at all, as a key that is refused; an end by
// ctx is none.
func Run(ctx context.Context, config Config) error {
	c := &claimer{Config: config, free: make(chan struct{}, config.Slots), news: make(chan struct{}, 1)}
	for range config.Slots {
		c.free <- struct{}{}
	}
	// What is under way outlives ctx.
	working, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var beside sync.WaitGroup
	beside.Go(func() { c.keepLeases(working) })
	err := c.claim(ctx, working)
	c.drain()
	end()
	beside.Wait()
	return err
}

// final are refusals that time doesn't mend.
var final = []client.Code{client.Unauthorized, client.Forbidden, client.Invalid}

// claim asks for jobs until ctx ends, and starts them.
func (c *claimer) claim(ctx, working context.Context) error {
	asking, cut := context.WithCancel(working)
	defer cut()
	var stopped sync.WaitGroup
	defer stopped.Wait()
	defer context.AfterFunc(ctx, func() {
		stopped.Go(func() { // a request that waits is answered by it
			soon, cancel := context.WithTimeout(working, stopWait)
			defer cancel()
			if err := c.Client.StopClaims(soon, c.Worker); err != nil {
				c.Log.WarnContext(ctx, "the server was not told that no more jobs are taken", "error", err)
				cut()
			}
		})
	})()
	for {
		n := c.slots(ctx)
		if n == 0 {
			return nil
		}
		got, err := c.Client.Claim(asking, client.ClaimRequest{Types: c.Types, Queues: c.Queues, N: n,
			Wait: claimWait.String(), Worker: c.Worker})
		got.Jobs = got.Jobs[:min(n, len(got.Jobs))]
		for range n - len(got.Jobs) {
			c.free <- struct{}{}
		}
		for i := range got.Jobs {
			c.start(working, &got.Jobs[i], got.Sent)
		}
		if err != nil && ctx.Err() == nil {
			var refused *client.Error
			if errors.As(err, &refused) && slices.Contains(final, refused.Code) {
				return err
			}
			c.Log.WarnContext(ctx, "no jobs can be had now", "error", err)
			_ = loop.Sleep(ctx, longestRest) // its error is ctx's end
		}
	}
}

// slots waits for a free slot and takes all that are free; 0 = ctx has ended.
func (c *claimer) slots(ctx context.Context) (n int) {
	if ctx.Err() != nil {
		return 0
	}
	select {
	case <-ctx.Done():
		return 0
	case <-c.free:
	}
	for n = 1; n < c.Slots; n++ {
		select {
		case <-c.free:
		default:
			return n
		}
	}
	return n
}

func (c *claimer) start(working context.Context, told *client.ClaimedJob, sent time.Time) {
	j := &Job{ClaimedJob: *told, Deadline: sent.Add(time.Duration(told.TimeoutMS) * time.Millisecond),
		news: c.news, next: 1}
	ctx, stop := context.WithCancelCause(working)
	j.stop = stop
	c.mu.Lock()
	c.jobs = append(c.jobs, j)
	c.mu.Unlock()
	j.tell()
	c.running.Go(func() {
		defer func() { c.free <- struct{}{} }()
		timed, cancel := context.WithDeadlineCause(ctx, j.Deadline, ErrTimeout)
		c.run(timed, j)
		cancel()
		stop(nil)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.jobs = slices.DeleteFunc(c.jobs, func(other *Job) bool { return other == j })
	})
}

// run runs a job and says its end.
func (c *claimer) run(ctx context.Context, j *Job) {
	end := c.Do(ctx, j)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrTimeout), errors.Is(cause, ErrLost):
		return // the server knows, and has ended it
	case errors.Is(cause, ErrCanceled):
		end = client.FinishJob{Error: &answer.ClaimFailure{Message: ErrCanceled.Error()}}
	case errors.Is(cause, ErrDrain) && end.Error != nil:
		end = client.FinishJob{Release: true}
	}
	end.ID, end.Claim, end.Log = j.ID, j.Claim, j.rest() // its lease is kept until its end is taken
	c.finish(context.WithoutCancel(ctx), j, end)
}

// finish says an end; one that the server can't take, as it is too large, is the attempt's failure.
func (c *claimer) finish(ctx context.Context, j *Job, end client.FinishJob) {
	told, err := c.Client.FinishClaims(ctx, []client.FinishJob{end})
	var refused *client.Error
	if errors.As(err, &refused) && refused.Status >= 400 && refused.Status < 500 {
		told, err = []client.FinishedJob{{Problem: answer.ProblemOf(refused)}}, nil
	}
	switch {
	case err != nil:
		c.Log.WarnContext(ctx, "the end of a job was not taken; it runs again once its lease is over", "job", j.ID,
			"error", err)
	case len(told) != 1 || told[0].Problem == nil:
	case told[0].Problem.Code == client.Lost, told[0].Problem.Code == client.AlreadyFinished:
		c.Log.WarnContext(ctx, "the end of a job comes too late", "job", j.ID, "reason", told[0].Problem.Detail)
	case end.Error == nil:
		p := told[0].Problem
		message := p.Detail
		for _, wrong := range p.Errors {
			message += "; " + wrong.Pointer + " " + wrong.Detail
		}
		c.finish(ctx, j, client.FinishJob{ID: j.ID, Claim: j.Claim,
			Error: &answer.ClaimFailure{Message: cmp.Or(message, string(p.Code))}})
	default:
		c.Log.WarnContext(ctx, "the end of a job was refused", "job", j.ID, "reason", told[0].Problem.Detail)
	}
}

// drain waits for what runs.
func (c *claimer) drain() {
	ended := make(chan struct{})
	go func() {
		c.running.Wait()
		close(ended)
	}()
	timer := time.NewTimer(c.Grace)
	defer timer.Stop()
	select {
	case <-ended:
		return
	case <-timer.C:
	}
	for _, j := range c.current() {
		j.end(ErrDrain)
	}
	<-ended
}

func (c *claimer) current() []*Job {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.jobs)
}

// keepLeases renews until ctx ends. A renewal that says something asks for no wait; after it comes one that
// says nothing and waits at the server for what is to stop. That one is cut short once there is something
// to say.
func (c *claimer) keepLeases(ctx context.Context) {
	pause, quiet := firstPause, false
	for turn := 0; ctx.Err() == nil; turn++ {
		if !quiet {
			select { // what it tells of is said now
			case <-c.news:
			default:
			}
		}
		jobs, ask, said := gather(c.current(), turn, quiet)
		if len(jobs) == 0 {
			select {
			case <-ctx.Done():
			case <-c.news:
				quiet = false
			}
			continue
		}
		ask.Worker = c.Worker
		talks := !quiet && slices.ContainsFunc(ask.Jobs, func(one answer.RenewJob) bool {
			return one.Log != nil || one.Progress != nil
		})
		if !talks {
			ask.Wait = renewWait.String()
		}
		told, cut, err := c.renew(ctx, ask, !talks)
		switch {
		case err == nil:
			pause, quiet = firstPause, talks
			c.heard(jobs, said, told)
		case cut, ctx.Err() != nil:
			quiet = false
		default:
			if refused := (*client.Error)(nil); errors.As(err, &refused) && refused.Code == client.Invalid {
				c.heard(jobs, said, nil) // it dislikes what was said
			}
			c.Log.WarnContext(ctx, "leases can't be renewed now", "error", err)
			_ = loop.Sleep(ctx, pause)
			pause, quiet = min(2*pause, longestRest), false
		}
	}
}

// renew sends a renewal; cut says that it waited, and that there was news meanwhile.
func (c *claimer) renew(ctx context.Context, ask client.RenewRequest,
	waits bool) (told []client.RenewedJob, cut bool, err error) {
	if !waits {
		told, err = c.Client.RenewClaims(ctx, ask)
		return told, false, err
	}
	asking, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	listening.Go(func() {
		select {
		case <-asking.Done():
		case <-c.news:
			if loop.Sleep(asking, talkAfter) == nil {
				cut = true
				cancel()
			}
		}
	})
	told, err = c.Client.RenewClaims(asking, ask)
	cancel()
	listening.Wait()
	return told, cut, err
}

// heard acts on what became of a renewal.
func (c *claimer) heard(jobs []*Job, said []saying, told []client.RenewedJob) {
	stops := map[job.ID]error{}
	for _, one := range told {
		switch one.Stop {
		case answer.StopCanceled:
			stops[one.ID] = ErrCanceled
		case answer.StopTimeout:
			stops[one.ID] = ErrTimeout
		case answer.StopLost:
			stops[one.ID] = ErrLost
		}
	}
	for i, j := range jobs {
		j.took(said[i])
		if cause := stops[j.ID]; cause != nil {
			j.end(cause)
		}
	}
}
