// Package asynqmove makes jobs of the tasks that wait in asynq's queues, beside asynq's servers, and of those
// that somebody's asynq.Client pushed into our own (jobstore/foreign.go).
//
// A task goes in three steps, each of many tasks at a time:
//
//  1. one script in asynq's Redis takes its id out of the pending list (or scheduled, retry, foreign) into
//     the list "asynq:{q}:longshore" and writes into its hash the id of the job that it is to be, and when;
//  2. the job is created under that id;
//  3. one script drops the entry, the hash, and the unique lock if it is still the task's.
//
// Who has an id out of asynq's lists has the task to himself: a server that pops at the same time gets
// another one. What a kill leaves stands in the list "longshore", and is done again from step 2: the job's
// id makes one job of any number of tries, for as long as the store knows an id whose job has gone: an hour.
// A task that was taken longer ago may have run and gone, so it is told of and not tried again.
//
// A task that can't be a job is not taken. If that is only seen in step 2 (another job has its unique key, or
// there is no room) it is given back; not where somebody else has meanwhile found it in the list.
package asynqmove

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/asynqtask"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/submit"
	"longshore/job"
)

const (
	pageSize = 200
	// tooOld is how long ago a task may have been taken whose job is to be made still. The store knows an id
	// for an hour.
	tooOld = 55 * time.Minute
	// idleFor is how long a task stands in the list until a mover takes it for left behind; at its start it
	// takes all for that.
	idleFor = 10 * time.Second
	// againAfter is how long a task that couldn't be taken is left alone.
	againAfter = 30 * time.Second
)

// A Submitter takes jobs in; *submit.Submitter is one.
type Submitter interface {
	Prepare(r submit.Request) (jobstore.NewJob, error)
	SubmitMany(ctx context.Context, drafts []submit.Draft) []httpapi.BatchAnswer
}

// Config of a Mover.
type Config struct {
	From      redis.UniversalClient // asynq's Redis
	Redis     redis.UniversalClient // the installation's
	Store     *jobstore.Store
	Submitter Submitter
	Queues    []string    // of asynq's, in From
	Tell      func(Stuck) // of each task that stays, once
}

// A Stuck is a task that stays where it is.
type Stuck struct {
	Queue, ID, Why string
}

// A Mover makes jobs of tasks. Only one goroutine may use it at a time.
type Mover struct {
	Moved map[string]int64 // tasks by queue
	Stuck int              // tasks that stayed when they were last looked at

	c     Config
	by    string // names this mover
	begun bool
	lines []*line
	stuck map[string]stuck // by queue and id
	// past says how many that stay are passed over, and until when, by queue and source.
	past map[string]past
}

// A past is how many tasks at a source's old end stay there; all are looked at again later.
type past struct {
	n     int
	until time.Time
}

type stuck struct {
	why  string
	next time.Time // when to look again
}

// A line is a queue whose tasks are taken.
type line struct {
	rdb     redis.UniversalClient
	name    string
	keys    string
	sources []string
	to      asynqtask.Target
}

// ErrQueue says that a queue can't be moved.
var ErrQueue = errors.New("this queue can't be moved")

// New returns a mover. The error wraps ErrQueue, or is Redis's.
func New(ctx context.Context, c Config) (*Mover, error) {
	m := &Mover{Moved: map[string]int64{}, c: c, by: jobstore.NewFence(), stuck: map[string]stuck{},
		past: map[string]past{}}
	ours, err := c.Store.Lists(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range c.Queues {
		to, err := asynqtask.TargetOf(name, nil)
		if slices.ContainsFunc(ours, func(l jobstore.List) bool { return l.Name == name }) {
			err = errors.New("it is one of Longshore's own; what asynq's clients pushed there is taken anyway")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %q: %w", ErrQueue, name, err)
		}
		// in this order: asynq's forwarder moves on from left to right
		m.lines = append(m.lines, &line{c.From, name, jobstore.QueueKeys(name),
			[]string{"retry", "scheduled", "pending"}, to})
	}
	return m, nil
}

// Run makes passes until one moves nothing, or, if it is to follow, until ctx ends, one a second.
func (m *Mover) Run(ctx context.Context, follow bool, failed func(error)) error {
	for ctx.Err() == nil {
		n, err := m.Pass(ctx)
		switch {
		case err != nil && !follow:
			return err
		case err != nil:
			failed(err)
		case n > 0:
			continue
		case !follow:
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}

// Pass goes over all queues once and says how many tasks it has moved.
func (m *Mover) Pass(ctx context.Context) (moved int, err error) {
	foreign, err := m.foreign(ctx)
	if err != nil {
		return 0, err
	}
	age := idleFor
	if !m.begun {
		age = 0
	}
	m.Stuck = 0
	for _, l := range slices.Concat(m.lines, foreign) {
		n, err := m.adopt(ctx, l, age)
		for i := 0; err == nil && i < len(l.sources); i++ {
			moved += n
			n, err = m.take(ctx, l, l.sources[i])
		}
		moved += n
		if err != nil {
			m.begun = false // no more are taken until those that are on their way are jobs
			return moved, fmt.Errorf("queue %s: %w", l.name, err)
		}
	}
	m.begun = true // a first pass that failed is not over
	m.forget()
	return moved, nil
}

// forget keeps the list of those that stay from growing with tasks that asynq has run.
func (m *Mover) forget() {
	now := time.Now()
	maps.DeleteFunc(m.stuck, func(_ string, s stuck) bool { return now.Sub(s.next) > 10*againAfter })
}

// foreign are our own queues into which others have pushed.
func (m *Mover) foreign(ctx context.Context) (lines []*line, err error) {
	lists, err := m.c.Store.Lists(ctx)
	if err != nil {
		return nil, err
	}
	pipe := m.c.Redis.Pipeline()
	there := make([]*redis.IntCmd, len(lists))
	for i, l := range lists {
		keys := jobstore.QueueKeys(l.Name)
		there[i] = pipe.Exists(ctx, jobstore.ForeignKey(keys), listKey(keys))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	for i, l := range lists {
		if there[i].Val() > 0 {
			lines = append(lines, &line{m.c.Redis, l.Name, jobstore.QueueKeys(l.Name), []string{"foreign"},
				asynqtask.Target{Priority: l.Place.Priority, Queue: l.Place.Queue}})
		}
	}
	return lines, nil
}

func listKey(keys string) string { return keys + "longshore" }

// stays notes that a task stays, and tells of it if that is news.
func (m *Mover) stays(l *line, id, why string) {
	m.Stuck++
	at := l.name + "\x00" + id
	if m.stuck[at].why != why {
		m.c.Tell(Stuck{l.name, id, why})
	}
	m.stuck[at] = stuck{why, time.Now().Add(againAfter)}
}

// A candidate is a task on its way.
type candidate struct {
	id      string
	message []byte
	runAt   time.Time
	at      time.Time // when it was taken, by asynq's Redis
	job     job.ID
	again   bool // somebody may have made its job before
}

// request is the job that a candidate becomes: the same at each try, for it is made of what its hash says,
// but for how long it may wait, which the store counts from when the job is made.
func (l *line) request(c *candidate) (submit.Request, error) {
	t, err := asynqtask.Decode(c.message)
	if err != nil {
		return submit.Request{}, err
	}
	if t.ID == "" {
		t.ID = c.id
	}
	j, err := t.Job(c.at, c.runAt)
	if err != nil {
		return submit.Request{}, err
	}
	if j.ExpiresIn > 0 {
		if j.ExpiresIn = time.Until(t.Deadline); j.ExpiresIn <= 0 {
			return submit.Request{}, errors.New("its deadline is past")
		}
	}
	return submit.Request{Type: j.Type, Payload: j.Payload, RunAt: j.RunAt, Timeout: j.Timeout,
		ExpiresIn: j.ExpiresIn, MaxAttempts: j.MaxAttempts, Retention: j.Retention, UniqueKey: j.UniqueKey,
		UniqueUntil: j.UniqueUntil, OnConflict: jobstore.ElseRefuse, Priority: l.to.Priority,
		Queue: l.to.Queue}, nil
}

// judge says whether a candidate can be a job here, and draws its id.
func (m *Mover) judge(l *line, c *candidate) error {
	r, err := l.request(c)
	if err != nil {
		return err
	}
	n, err := m.c.Submitter.Prepare(r)
	if err != nil {
		return err
	}
	c.job = n.ID // where the unique key lies
	return nil
}
