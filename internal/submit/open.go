package submit

import (
	"context"
	"errors"
	"net/http"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/job"
)

// there reports whether a job has the key or the id of a new one already, and will keep it: an upload
// that died doesn't.
func (d *Submitter) there(ctx context.Context, n jobstore.NewJob) (bool, error) {
	id, err := d.Store.Find(ctx, n)
	if errors.Is(err, job.ErrNotFound) || errors.Is(err, jobstore.ErrMismatch) {
		return false, nil // a mismatch is for the creation to tell
	}
	if err != nil {
		return false, refusal.Of(err)
	}
	snap, err := d.Store.Get(ctx, id)
	return err == nil && (snap.State != job.Failed || snap.StartedAt != nil), nil
}

// open counts an upload in pieces as open, or refuses it if it is new. A client of
// tus gives up for good at 429, so "too many" is 503.
func (d *Submitter) open(ctx context.Context, id job.ID, client string, there bool) error {
	most, mostOfOne := d.MaxOpenUploads, d.MaxOpenUploadsPerAddress
	if there {
		most, mostOfOne = 0, 0
	}
	err := d.Store.OpenUpload(ctx, id, client, d.UploadExpiry, most, mostOfOne)
	detail := ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jobstore.ErrTooManyFromOne):
		detail = "too many uploads from this address have begun and not ended"
	case errors.Is(err, jobstore.ErrTooManyOpen):
		detail = "too many uploads have begun and not ended"
	default:
		return refusal.Of(err)
	}
	e := httpapi.NewError(httpapi.RateLimited, detail).WithStatus(http.StatusServiceUnavailable).Wrap(err)
	e.RetryAfter = 30 * time.Second
	return e
}

// closeUpload ends the counting. Where that fails the entry ends by itself.
func (d *Submitter) closeUpload(ctx context.Context, id job.ID, client string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := d.Store.CloseUpload(ctx, id, client); err != nil {
		d.Log.WarnContext(ctx, "an ended upload counts as open for a while", "job_id", id, "error", err)
	}
}
