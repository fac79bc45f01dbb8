// Package api is the wing of requests that are answered once: submissions, single and
// in batches, jobs and lists of them, results, and what there is to know of the
// installation. A handler is a struct of the few things it needs, and returns its
// routes; what a route's parameters are called, say and how they are read stands in one
// table beside it.
package api

import (
	"context"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/submit"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Submitter takes jobs in. submit.Submitter implements it; its errors are *httpapi.Error.
type Submitter interface {
	Submit(ctx context.Context, r submit.Request) (snap job.Snapshot, created bool, err error)
	Retry(ctx context.Context, by access.View, id job.ID, how submit.Again) (job.Snapshot, error)
	// OpenBatch makes a batch, and the jobs that it was given, for each of which it answers.
	OpenBatch(ctx context.Context, b submit.Batch) (snap job.Snapshot, created bool,
		answers []httpapi.BatchAnswer,
		err error)
	// Change has a job that waits wait otherwise. revs are those that it may have, none: any; who is who
	// asks.
	Change(ctx context.Context, by access.View, id job.ID, c submit.Change, revs []int64,
		who string) (job.Snapshot, error)
	SubmitBatch(ctx context.Context, next func() ([]submit.Draft, error),
		answer func([]httpapi.BatchAnswer) error) error
}

// Records reads and ends jobs, as far as they are in a view: all others are as if they were not there. Its
// errors wrap those of package job.
type Records interface {
	Get(ctx context.Context, by access.View, id job.ID) (job.Snapshot, error)
	GetMany(ctx context.Context, by access.View, ids []job.ID) ([]job.Reading, error)
	List(ctx context.Context, by access.View, f job.Filter) (job.Page, error)
	// CancelBy asks for a job's end; who is who does, as Principal.Name has it.
	CancelBy(ctx context.Context, by access.View, id job.ID, who string) (job.Snapshot, error)
	// Release lets a held job go; who is who does.
	Release(ctx context.Context, by access.View, id job.ID, who string) (job.Snapshot, error)
	// CloseBatch lets no more jobs into a batch; BatchJobs reads some of its jobs, and says where to go on.
	CloseBatch(ctx context.Context, by access.View, id job.ID, who string) (job.Snapshot, error)
	BatchJobs(ctx context.Context, by access.View, id job.ID, cursor string, most int) (jobs []job.Reading,
		next string, err error)
	Delete(ctx context.Context, by access.View, id job.ID) error
	Callback(ctx context.Context, by access.View, id job.ID) (job.Callback, error)
	// Resend has a job's callback sent once more; who is who asks.
	Resend(ctx context.Context, by access.View, id job.ID, who string) (job.Callback, error)
}

// Waiter lets requests wait for jobs. push.Waiters implements it.
type Waiter interface {
	// Enter cuts a wish to wait down to what is given: nothing where too many wait
	// already. Who is given something leaves.
	Enter(a *edge.Answer, wish time.Duration) time.Duration
	Leave(a *edge.Answer)
	// Wait returns the jobs that have moved, as soon as there is one or the time is over.
	Wait(ctx context.Context, a *edge.Answer, d time.Duration, wants ...hub.Want) ([]job.Rev, error)
}

// Show completes a snapshot with what its record doesn't know.
type Show func(job.Snapshot) job.Snapshot
