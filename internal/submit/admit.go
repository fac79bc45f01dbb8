package submit

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
)

// An Admitter judges new jobs by what waits already. limits.Room implements it.
type Admitter interface {
	// Any reports whether there is anything to judge by. It costs next to nothing where there isn't.
	Any(ctx context.Context) bool
	// Classify names the limits of jobs at once that a new job is one of, by its owner, type, queue and key.
	Classify(n *jobstore.NewJob)
	// Admit judges jobs in their order: errs is nil if all may come in, else it has why the others may not.
	// done must be called when the records are there, or will not be.
	Admit(ctx context.Context, jobs []jobstore.NewJob) (errs []error, done func())
}

// admit judges one job. Without an error done must be called when its record is there. A repeat of
// one that is there already finds it, however much waits.
func (d *Submitter) admit(ctx context.Context, n *jobstore.NewJob) (done func(), err error) {
	if d.Limits == nil || n.RetryOf != "" || !d.Limits.Any(ctx) {
		return func() {}, nil
	}
	errs, done := d.Limits.Admit(ctx, []jobstore.NewJob{*n})
	if errs == nil || errs[0] == nil || d.known(ctx, n) {
		return done, nil
	}
	done()
	return nil, errs[0]
}

// known reports whether a job has the key or the id of a new one, so that none will be made.
func (d *Submitter) known(ctx context.Context, n *jobstore.NewJob) bool {
	if n.Digest == "" {
		return false
	}
	_, err := d.Store.Find(ctx, *n)
	return err == nil || errors.Is(err, jobstore.ErrMismatch)
}

// admitUpload judges a job whose file is to come. It waits for a worker only then, so it holds no room
// meanwhile; and it is refused with 503, because clients of tus give up for good at 429.
func (d *Submitter) admitUpload(ctx context.Context, n *jobstore.NewJob) error {
	done, err := d.admit(ctx, n)
	if err == nil {
		done()
		return nil
	}
	full := *httpapi.AsError(err)
	return full.WithStatus(http.StatusServiceUnavailable)
}

// waitForRoom waits a while before limits are asked again. false: it is too late for that.
func (d *Submitter) waitForRoom(ctx context.Context, until time.Time) bool {
	left := time.Until(until)
	if left <= 0 {
		return false
	}
	timer := time.NewTimer(min(left, 100*time.Millisecond+rand.N(100*time.Millisecond)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-d.Stopping:
	}
	return false
}
