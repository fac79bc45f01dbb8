package within

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"longshore/cmd/internal/cli"
	"longshore/config"
	"longshore/internal/access"
	"longshore/internal/blob"
	"longshore/internal/connect"
	"longshore/internal/overview"
	"longshore/internal/redisdb"
	"longshore/internal/schedules"
	"longshore/job"
	"longshore/tasks"
)

// A doctor collects findings of what can be seen from within.
type doctor struct{ *cli.Doctor }

// Examine has the doctor look at Redis, the blob store and what is in them.
func (within) Examine(ctx context.Context, of *cli.Doctor, s config.Enqueue) {
	d := &doctor{of}
	where := connection(s)
	where.Log = slog.New(slog.DiscardHandler) // what it would warn of is said here
	redisdb.LogTo(where.Log)
	if !d.redis(ctx, where) {
		return
	}
	sys, err := connect.Open(ctx, where)
	if err != nil {
		code := cli.ExitOther
		if errors.Is(err, connect.ErrSettings) {
			code = cli.ExitConfiguration
		} else if redisdb.Unavailable(err) {
			code = cli.ExitUnavailable
		}
		d.Fail(code, "blob store", "set BLOB_URL to what the other processes have", "%v", err)
		return
	}
	defer func() { _ = sys.Close() }() // nothing is under way
	if err := tryBlobs(ctx, sys); err != nil {
		d.Fail(cli.ExitOther, "blob store", "see that every process may write there, and that there is space",
			"%s: %v", s.Blobs.URL, err)
	} else {
		d.OK("blob store", "%s: written, read and deleted", s.Blobs.URL)
	}
	if store, ok := sys.Blobs.(blob.Ruled); ok {
		for _, r := range store.Rules(ctx) {
			if r.Bad {
				d.Warn(r.Name, r.Fix, "%s", r.Detail)
			} else {
				d.OK(r.Name, "%s", r.Detail)
			}
		}
	}
	d.data(ctx, sys)
	d.records(ctx, sys.Store)
	d.workers(ctx, sys)
	d.schedulesIn(ctx, sys)
	d.alertsIn(ctx, sys)
	o, err := sys.Overview(ctx)
	if err != nil {
		d.Fail(cli.ExitUnavailable, "queues", "", "%v", err)
		return
	}
	d.Oldest(o.Answer())
	pauses, err := sys.Desk.Pauses(ctx)
	d.Pauses(pauses.Pauses, nil, err)
	d.NoQueue(o.Answer(), overview.Workers(o.Workers))
	types := o.Unserved()
	d.Unserved(slices.Sorted(maps.Keys(types)))
}

// workers says who is there to run jobs.
func (d *doctor) workers(ctx context.Context, sys *connect.System) {
	workers, err := sys.Queue.Workers(ctx)
	if err != nil {
		d.Fail(cli.ExitUnavailable, "workers", "", "%v", err)
		return
	}
	d.Lanes(overview.Workers(workers))
	if list, err := sys.Desk.Workers(ctx, true); err == nil { // the workers were just asked for
		d.Sick(list.Workers)
	}
	if len(workers) > 0 {
		d.types(ctx, sys)
	}
}

func (d *doctor) types(ctx context.Context, sys *connect.System) {
	types, err := sys.Store.Types(ctx, tasks.MaxDefinition)
	switch {
	case err != nil:
		d.Fail(cli.ExitUnavailable, "types", "", "%v", err)
	case len(types) == 0:
		d.Warn("types", "start a worker", "no worker has published its types")
	default:
		d.OK("types", "workers have published %d", len(types))
		d.refused(types)
	}
}

// tryBlobs writes a blob, reads it back and deletes it.
func tryBlobs(ctx context.Context, sys *connect.System) (err error) {
	id := string(job.NewID(time.Now()))
	text := []byte("enqueue doctor was here")
	w, err := sys.Blobs.Create(ctx, id+"/doctor")
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	defer w.Abort()
	defer func() {
		if deleted := sys.Blobs.Delete(ctx, id); deleted != nil && err == nil {
			err = fmt.Errorf("delete: %w", deleted)
		}
	}()
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if _, err := w.Commit(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	r, err := sys.Blobs.Open(ctx, id+"/doctor")
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	defer r.Close()
	back := make([]byte, len(text)+1)
	n, _ := r.Read(back)
	if !bytes.Equal(back[:n], text) {
		return errors.New("read: it is not what was written")
	}
	return nil
}

// refused names the published definitions that nobody can use.
func (d *doctor) refused(published map[string]string) {
	catalog, err := tasks.NewCatalog()
	if err != nil {
		return
	}
	_ = catalog.Publish(published) // what is wrong is listed
	for _, r := range catalog.Refused() {
		d.Warn("types", "update or stop the workers that publish it, or delete it from Redis",
			"type %q is refused: %s", r.Type, r.Reason)
	}
}

func (d *doctor) alertsIn(ctx context.Context, sys *connect.System) {
	list, err := sys.Alerts.List(ctx)
	d.Alerts(list, err)
}

// schedulesIn looks at those that a Redis has.
func (d *doctor) schedulesIn(ctx context.Context, sys *connect.System) {
	room := schedules.New(schedules.Config{Store: sys.Store, Log: sys.Log})
	list, err := room.List(ctx, schedules.Asker{View: access.Everything}, "")
	now, clockErr := sys.Store.Clock(ctx)
	d.Schedules(list, errors.Join(err, clockErr), now)
}
