package asynqtask

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
	"longshore/tasks"
)

// Limits of what is taken over.
const (
	// MaxPayload is of a task's payload, in bytes. With headers and all else that goes beside it there may be
	// less room: job.MaxDocument is for the whole, and bytes that are no JSON take a third more.
	MaxPayload = 48 << 10
	// MaxRetry is how often a task may be retried: the first attempt counts as one.
	MaxRetry = httpapi.MaxAttempts - 1

	defaultTimeout = 30 * time.Minute
)

// ErrUnfit says that a task can't become a job. The errors that wrap it say why.
var ErrUnfit = errors.New("the task can't be taken")

func unfit(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnfit, fmt.Errorf(format, args...))
}

// A Job is what a submission says of a task.
type Job struct {
	Type        string
	Payload     []byte // JSON
	RunAt       time.Time
	Timeout     time.Duration
	ExpiresIn   time.Duration // to the start; 0 = never
	MaxAttempts int
	Retention   time.Duration // 0 = the installation's
	// UniqueKey makes another task of the same id, or the same unique lock, a conflict, and UniqueUntil says
	// how long: both are words of submissions.
	UniqueKey, UniqueUntil string
}

// Job is what a task becomes that may run from a time on (zero = at once). The error wraps ErrUnfit.
func (t Task) Job(now, runAt time.Time) (Job, error) {
	if err := t.fits(); err != nil {
		return Job{}, err
	}
	payload, err := t.wrap()
	if err != nil {
		return Job{}, unfit("%w", err)
	}
	if len(payload) > job.MaxDocument {
		return Job{}, unfit("payload and headers take %d bytes, over %d", len(payload), job.MaxDocument)
	}
	j := Job{Type: t.Type, Payload: payload, RunAt: runAt, MaxAttempts: max(t.Retry-t.Retried, 0) + 1,
		Retention: t.Retention, Timeout: t.Timeout, UniqueKey: t.uniqueKey(), UniqueUntil: "ended"}
	if t.UniqueKey == "" && t.Retention > 0 {
		j.UniqueUntil = "removed" // as long as asynq keeps a task its id is taken
	}
	if !runAt.After(now) {
		j.RunAt, runAt = time.Time{}, now
	}
	switch {
	case t.Deadline.IsZero() && t.Timeout == 0:
		j.Timeout = defaultTimeout // as asynq does
	case t.Deadline.IsZero():
	case runAt.After(t.Deadline):
		return Job{}, unfit("its deadline is before its time")
	default:
		j.ExpiresIn = max(t.Deadline.Sub(now), time.Millisecond)
		if t.Timeout == 0 {
			j.Timeout = min(max(t.Deadline.Sub(runAt), time.Second), tasks.MaxTimeout)
		}
	}
	return j, nil
}

// fits says what of a task no job has.
func (t Task) fits() error {
	switch {
	case !job.IsType(t.Type):
		return unfit("the type %.80q: expected %s", t.Type, job.TypeNames)
	case t.ID == "":
		return unfit("it has no id")
	case t.Group != "":
		return unfit("it is of a group: tasks are not aggregated here; see batches")
	case t.Retry > MaxRetry:
		return unfit("MaxRetry is %d, over %d", t.Retry, MaxRetry)
	case len(t.Payload) > MaxPayload:
		return unfit("the payload has %d bytes, over %d", len(t.Payload), MaxPayload)
	case t.Timeout < 0 || t.Timeout > tasks.MaxTimeout:
		return unfit("the timeout is %v, over %v", t.Timeout, tasks.MaxTimeout)
	case t.Retention < 0:
		return unfit("the retention is negative")
	case t.UniqueKey != "" && !Drawn(t.ID):
		return unfit("it has a TaskID and is Unique: a job is the only one by one of the two")
	}
	return nil
}

var drawn = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// Drawn reports whether an id has the form of those that asynq draws where nobody chooses one.
func Drawn(id string) bool { return drawn.MatchString(id) }

// uniqueKey is a key of fixed length for whatever an id or a queue may hold.
func (t Task) uniqueKey() string {
	if t.UniqueKey != "" {
		return "asynq-unique:" + short(t.UniqueKey)
	}
	return "asynq-id:" + short(fmt.Sprintf("%d %s %s", len(t.Queue), t.Queue, t.ID))
}

func short(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// A Target is where a queue's tasks wait as jobs.
type Target struct {
	Priority job.Priority // "" = default
	Queue    string       // "" = the default one
}

// TargetOf is where the jobs of a queue of asynq's wait: by a table, and if that has nothing of it, by the
// names that asynq's own examples have (critical, default, low), which are priorities, or else in our
// queue of the same name. The error wraps ErrUnfit.
func TargetOf(queue string, table map[string]Target) (Target, error) {
	if to, ok := table[queue]; ok {
		return to, nil
	}
	switch queue {
	case "critical":
		return Target{Priority: job.High}, nil
	case "default":
		return Target{}, nil
	case "low":
		return Target{Priority: job.Low}, nil
	}
	if !job.IsQueue(queue) {
		return Target{}, unfit("no queue is called %.80q here (%s): say where its jobs are to wait", queue, job.QueueNames)
	}
	return Target{Queue: queue}, nil
}
