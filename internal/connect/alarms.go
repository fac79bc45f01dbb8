package connect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/alerts"
	"longshore/internal/blob"
	"longshore/internal/bytesize"
	"longshore/internal/jobstore"
	"longshore/internal/redisdb"
	"longshore/internal/schedules"
	"longshore/internal/webhook"
	"longshore/job"
)

// openAlerts makes the desk of alerts, and the senders that its receivers need.
func (s *System) openAlerts(c Config) error {
	receivers, err := alerts.ParseReceivers(c.AlertURLs)
	if err != nil {
		return fmt.Errorf("%w: ALERT_URLS: %w", ErrSettings, err)
	}
	config := alerts.Config{Redis: s.Redis, Prefix: s.Prefix, Log: s.Log, Age: c.AlertAge,
		Receivers: receivers, Look: (&alarms{sys: s}).look}
	if len(receivers) > 0 {
		s.plain, err = webhook.NewSender(webhook.Config{Unsigned: true, Allow: c.CallbackAllow,
			Ports: c.CallbackPorts})
		if err != nil {
			return fmt.Errorf("%w: alerts: %w", ErrSettings, err)
		}
		config.Plain = s.plain
	}
	if s.Callbacks != nil {
		config.Signed = s.Callbacks
	} else if alerts.NeedSecret(receivers) {
		return fmt.Errorf("%w: ALERT_URLS: CALLBACK_SECRETS or CALLBACK_KEY is missing, which signs what "+
			"they get", ErrSettings)
	}
	s.Alerts = alerts.New(config)
	return nil
}

// alarms sees what alerts are about.
type alarms struct {
	sys *System

	mu     sync.Mutex // of what follows
	failed int64      // jobs that had failed, of all times
	quiet  int        // looks since that number was another one
}

// look reads all that an alert may be about. What fails stays nil, so that nobody takes it for well.
func (a *alarms) look(ctx context.Context, until, since time.Time, ticks bool) (seen alerts.Seen,
	err error) {
	var errs []error
	try := func(what string, f func() error) {
		if err := f(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	try("queues", func() error {
		o, err := a.sys.Overview(ctx)
		if err == nil {
			seen.Overview = &o
		}
		return err
	})
	try("pauses", func() error { return found(&seen.Pauses)(a.sys.Desk.Pauses(ctx)) })
	try("workers", func() error { return found(&seen.Workers)(a.sys.Desk.Workers(ctx, true)) })
	try("lost workers", func() error {
		return found(&seen.Gone)(a.sys.Desk.GoneWorkers(ctx, until.Add(-time.Hour)))
	})
	try("failures", func() error { return found(&seen.Failures)(a.failures(ctx, since, until)) })
	if ticks {
		try("schedules", func() error { return found(&seen.Schedules)(a.schedules(ctx)) })
	}
	try("memory", func() error { return found(&seen.Memory)(a.memory(ctx)) })
	try("space", func() error { return found(&seen.Disk)(a.space(ctx)) })
	return seen, errors.Join(errs...)
}

// found puts what was seen in its place, unless that failed.
func found[T any](to **T) func(T, error) error {
	return func(is T, err error) error {
		if err == nil {
			*to = &is
		}
		return err
	}
}

// failures are those of a while. They are looked for only where the counters say that there may be some.
func (a *alarms) failures(ctx context.Context, since, until time.Time) (answer.Failures, error) {
	totals, err := a.sys.Store.Totals(ctx, "", "")
	if err != nil {
		return answer.Failures{}, err
	}
	var failed int64
	for of := range maps.Values(totals) {
		failed += of.Ended[job.Failed]
	}
	a.mu.Lock()
	if a.quiet++; failed != a.failed {
		a.failed, a.quiet = failed, 0
	}
	calm := a.quiet > 1 // twice: what ended just now isn't looked at before the next time
	a.mu.Unlock()
	if calm {
		return answer.Failures{}, nil
	}
	list, err := a.sys.Desk.Failures(ctx, access.Everything, job.Filter{State: job.Failed, Since: since,
		Until: until})
	if errors.Is(err, jobstore.ErrManyTenants) {
		return answer.Failures{}, nil // nobody reads those of so many each 5 s
	}
	return list, err
}

// schedules are all, which takes a while where there are many: once a minute.
func (a *alarms) schedules(ctx context.Context) (alerts.SeenSchedules, error) {
	room := schedules.New(schedules.Config{Store: a.sys.Store, Log: a.sys.Log})
	list, err := room.List(ctx, schedules.Asker{View: access.Everything}, "")
	if err != nil {
		return alerts.SeenSchedules{}, err
	}
	seen := alerts.SeenSchedules{All: list, Last: map[string]job.State{}}
	var ids []job.ID
	whose := map[job.ID]string{}
	for i := range list {
		if id := list[i].LastJob; id != "" {
			ids = append(ids, id)
			whose[id] = alerts.ScheduleName(&list[i])
		}
	}
	jobs, err := a.sys.Store.GetMany(ctx, ids)
	for _, snap := range jobs {
		if snap.Err == nil {
			seen.Last[whose[snap.ID]] = snap.State
		}
	}
	return seen, err
}

const edge = 5 // percent of a limit, below which what was over it counts as under

func (a *alarms) memory(ctx context.Context) (alerts.Room, error) {
	used, limit, err := redisdb.Used(ctx, a.sys.Redis)
	if err != nil || limit == 0 {
		return alerts.Room{}, err
	}
	return alerts.Room{Full: used >= limit/100*redisdb.MemoryFull,
		Edge: used >= limit/100*(redisdb.MemoryFull-edge),
		Text: fmt.Sprintf("Redis uses %s of %s", bytesize.Format(used), bytesize.Format(limit))}, nil
}

func (a *alarms) space(ctx context.Context) (alerts.Room, error) {
	spacer, ok := a.sys.Blobs.(blob.Spacer)
	if !ok || a.sys.MinFreeSpace <= 0 {
		return alerts.Room{}, nil
	}
	free, total, err := spacer.Space(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return alerts.Room{}, nil
	}
	if err != nil {
		return alerts.Room{}, err
	}
	floor := blob.FloorOf(a.sys.MinFreeSpace, total)
	return alerts.Room{Full: free < floor, Edge: free < floor+floor/100*edge,
		Text: fmt.Sprintf("%s of %s are free", bytesize.Format(free), bytesize.Format(total))}, nil
}
