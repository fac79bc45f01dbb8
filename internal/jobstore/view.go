package jobstore

import (
	"cmp"
	"context"
	"errors"

	"longshore/internal/access"
	"longshore/internal/batch"
	"longshore/job"
)

// Views is the store as those see it who ask: a job that isn't theirs is as if it weren't there. All that
// a caller from outside reads or changes goes this way. A record that can't be read doesn't tell whose
// it is, and is damaged for everybody.
type Views struct{ s *Store }

// Views returns the store as others see it.
func (s *Store) Views() Views { return Views{s} }

// Get is Store.Get.
func (v Views) Get(ctx context.Context, by access.View, id job.ID) (job.Snapshot, error) {
	r, err := v.read(ctx, by, id, false)
	return r.Snapshot, err
}

// Read is Store.Read.
func (v Views) Read(ctx context.Context, by access.View, id job.ID) (Record, error) {
	return v.read(ctx, by, id, true)
}

func (v Views) read(ctx context.Context, by access.View, id job.ID, spec bool) (Record, error) {
	r, err := v.s.read(ctx, id, spec)
	if err == nil && !by.Has(r.Owner) {
		return Record{}, v.s.missing(ctx, id, job.ErrNotFound) // as for one that isn't there
	}
	return r, err
}

// GetMany is Store.GetMany.
func (v Views) GetMany(ctx context.Context, by access.View, ids []job.ID) ([]job.Reading, error) {
	readings, err := v.s.GetMany(ctx, ids)
	for i, r := range readings {
		if r.Err == nil && !by.Has(ownerOf(&r.Snapshot)) {
			readings[i] = job.Reading{Snapshot: job.Snapshot{ID: r.ID}, Err: job.ErrNotFound}
		}
	}
	if err == nil {
		err = v.s.missingOf(ctx, readings)
	}
	return readings, err
}

// ownerOf is whose a job is, by what its snapshot tells.
func ownerOf(snap *job.Snapshot) access.Owner {
	return access.Owner{Tenant: snap.Tenant, Subject: snap.Subject}
}

// List is Store.List. Errors besides: ErrManyTenants.
func (v Views) List(ctx context.Context, by access.View, f job.Filter) (job.Page, error) {
	return v.s.List(ctx, Within(by, f))
}

// CancelBy is Store.CancelBy.
func (v Views) CancelBy(ctx context.Context, by access.View, id job.ID, who string) (job.Snapshot, error) {
	if err := v.s.requestCancel(ctx, by, id, who); err != nil {
		return job.Snapshot{}, err
	}
	return v.Get(ctx, by, id)
}

// RequestCancel is Store.RequestCancel.
func (v Views) RequestCancel(ctx context.Context, by access.View, id job.ID) error {
	return v.s.requestCancel(ctx, by, id, "")
}

// Remove is Store.Remove. Who still uses the job's files is told to those who see that job.
func (v Views) Remove(ctx context.Context, by access.View, id job.ID) error {
	err := v.s.removeUnused(ctx, by, id)
	var used *job.InUseError
	if errors.As(err, &used) && used.By != "" && !by.All() {
		if _, unseen := v.Get(ctx, by, used.By); unseen != nil {
			return &job.InUseError{ID: id}
		}
	}
	return err
}

// Callback is Store.Callback.
func (v Views) Callback(ctx context.Context, by access.View, id job.ID) (job.Callback, error) {
	return v.s.callback(ctx, by, id)
}

// Use is Store.Use.
func (v Views) Use(ctx context.Context, by access.View, owner, user job.ID) error {
	return v.s.use(ctx, by, owner, user, "output")
}

// callFor is a call about one job that ends as if the job weren't there where it isn't in the view.
func (s *Store) callFor(by access.View, id job.ID, args ...any) *batch.Call {
	tenant := by.Tenant
	switch {
	case by.All():
		tenant = ""
	case tenant == "":
		tenant = noTenant
	}
	return s.call(id, append(args, tenant, by.Code())...)
}

// noTenant is a tenant that no job is of.
const noTenant = "-"

// Within is a filter of what a view has.
func Within(by access.View, f job.Filter) job.Filter {
	f.Tenant, f.Subject = by.Tenant, by.Subject
	switch by.Tenant {
	case access.Installation:
		f.Tenant = ""
	case "":
		f.Tenant = noTenant
	}
	return f
}

// ViewOf is whose jobs a filter means.
func ViewOf(f job.Filter) access.View {
	return access.View{Tenant: cmp.Or(f.Tenant, access.Installation), Subject: f.Subject}
}
