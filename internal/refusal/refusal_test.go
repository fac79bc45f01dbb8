package refusal_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/job"
)

// TestTable has each error as callers have it, in the middle of others.
func TestTable(t *testing.T) {
	t.Parallel()
	away := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, c := range []struct {
		err    error
		code   httpapi.Code
		status int
		after  time.Duration
	}{
		{job.ErrNotFound, httpapi.NotFound, 404, 0},
		{blob.ErrNotFound, httpapi.NotFound, 404, 0},
		{job.ErrStoreReset, httpapi.StoreReset, 503, time.Minute},
		{job.ErrNotEnded, httpapi.Conflict, 409, 0},
		{&job.InUseError{By: job.NewID(time.Now())}, httpapi.Conflict, 409, 0},
		{jobstore.ErrMismatch, httpapi.IdempotencyMismatch, 422, 0},
		{jobstore.ErrManyTenants, httpapi.Invalid, 422, 0},
		{job.ErrNoCallback, httpapi.NotFound, 404, 0},
		{jobstore.ErrStarted, httpapi.AlreadyStarted, 409, 0},
		{jobstore.ErrRev, httpapi.PreconditionFailed, 412, 0},
		{jobstore.ErrClaimed, httpapi.Conflict, 409, 0},
		{job.ErrDamaged, httpapi.Unavailable, 503, 10 * time.Second},
		{blob.ErrNoSpace, httpapi.Unavailable, 507, 0},
		{blob.ErrUnavailable, httpapi.Unavailable, 503, 5 * time.Second},
		{context.Canceled, httpapi.Unavailable, 503, time.Second},
		{context.DeadlineExceeded, httpapi.Unavailable, 503, 2 * time.Second},
		{away, httpapi.Unavailable, 503, 2 * time.Second},
		{errors.New("OOM command not allowed when used memory > 'maxmemory'."),
			httpapi.StoreFull, 503, 2 * time.Second},
		{errors.New("something else"), httpapi.Internal, 500, 0},
		{httpapi.NewError(httpapi.TooLarge, "said").WithStatus(431), httpapi.TooLarge, 431, 0},
	} {
		got := refusal.Of(fmt.Errorf("open: %w", errors.Join(c.err)))
		if got.Code != c.code || got.Status != c.status || got.RetryAfter != c.after {
			t.Errorf("%v: %s %d after %v, want %s %d after %v",
				c.err, got.Code, got.Status, got.RetryAfter, c.code, c.status, c.after)
		}
		if said, ours := errors.AsType[*httpapi.Error](c.err); ours {
			if got != said {
				t.Errorf("%v: became %v", c.err, got)
			}
		} else if !errors.Is(got, c.err) {
			t.Errorf("%v: the cause is lost", c.err)
		}
	}
}
