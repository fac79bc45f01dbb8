package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/job"
)

// An upload is one input on its way into the blob store.
type upload struct {
	submitter *Submitter
	new       jobstore.NewJob
	req       Request
	fence     string

	done  atomic.Int64
	meter job.Meter
	told  int64 // bytes in the last progress
}

// submitInput creates the record, streams the input into the blob store and
// makes the job queued. The record tells how far the upload is meanwhile.
func (d *Submitter) submitInput(ctx context.Context, r Request,
	n jobstore.NewJob) (job.Snapshot, bool, error) {
	u := &upload{submitter: d, new: n, req: r, fence: jobstore.NewFence(), told: -1}
	if most := d.most(&r); most > 0 && r.InputSize > most {
		return job.Snapshot{}, false, tooLarge(most)
	}
	u.new.UploadFence = u.fence
	created, sent, err := u.begin(ctx)
	if err != nil {
		return job.Snapshot{}, false, refusal.Of(err)
	}
	if created {
		if err := u.run(ctx, sent); err != nil {
			return job.Snapshot{}, true, err
		}
		d.uploaded(n.Traceparent, u.new.ID, n.Type, sent)
	}
	snap, err := d.snapshot(ctx, u.new.ID)
	return snap, created, err
}

// takeOvers is how often an upload tries to take another one over, while yet
// others do so too.
const takeOvers = 3

// begin makes the record, or takes over the upload under way that has the same
// key or id: its client would not send all again if that one were to arrive. The
// last to begin counts, whatever the others still send. created is false if the
// job has its input, or has ended.
func (u *upload) begin(ctx context.Context) (created bool, sent time.Time, err error) {
	for range takeOvers {
		sent = time.Now()
		c, err := u.submitter.Store.Create(ctx, u.new)
		if err != nil {
			return false, sent, err
		}
		if c.New || c.Upload == "" {
			u.new.ID = c.ID
			return c.New, sent, nil
		}
		if c.Pieces {
			return false, sent, conflict(
				"an upload in pieces has this key or id: go on with it, or delete it", 0)
		}
		u.new.UploadFrom = c.Upload
	}
	return false, sent, conflict("other requests send the input of this key or id", time.Second)
}

func conflict(detail string, after time.Duration) *httpapi.Error {
	e := httpapi.NewError(httpapi.Conflict, detail)
	e.RetryAfter = after
	return e
}

// name is where the input is stored. No two uploads write the same blob: one
// that was taken over may still be writing.
func (u *upload) name() string { return jobstore.Folder(u.new.ID) + "/" + u.fence + "/in" }

func (u *upload) run(request context.Context, sent time.Time) error {
	ctx, stop := context.WithCancelCause(request)
	defer stop(nil)
	var reading sync.Mutex // of interrupt
	interrupt := u.req.Interrupt
	hold := &jobstore.Hold{ID: u.new.ID, Fence: u.fence, Sent: sent, Progress: u.progress,
		Stop: func(cause error) {
			stop(cause)
			reading.Lock()
			defer reading.Unlock()
			if interrupt != nil {
				interrupt()
			}
		}}
	u.submitter.Keeper.Keep(hold)
	defer hold.Drop()

	info, err := u.copy(ctx, u.name())
	// The keeper stops us too when the job is queued, and its word may come late:
	// it must not meet what the client sends next.
	reading.Lock()
	interrupt = nil
	reading.Unlock()
	if err != nil {
		return u.giveUp(ctx, err)
	}
	spec := u.new.Spec
	spec.Input = &jobstore.Input{Blob: u.name(), Size: info.Size, SHA256: info.SHA256,
		ContentType: plainName(info.ContentType), Filename: plainName(u.req.Filename)}
	// Not under ctx: once the job is queued the keeper finds that its fence is
	// gone, and may say so before we have the answer. Nor does a client that
	// left after the last byte take its job back.
	err = u.queued(context.WithoutCancel(request), spec)
	if err != nil {
		return err
	}
	return nil
}

// copy streams the input into its blob.
func (u *upload) copy(ctx context.Context, name string) (blob.Info, error) {
	w, err := u.submitter.Blobs.Create(ctx, name)
	if err != nil {
		return blob.Info{}, fmt.Errorf("store input: %w", err)
	}
	defer w.Abort()
	buf := make([]byte, 256<<10)
	for {
		if ctx.Err() != nil {
			return blob.Info{}, context.Cause(ctx)
		}
		n, readErr := u.req.Input.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return blob.Info{}, fmt.Errorf("store input: %w", err)
			}
			if done, most := u.done.Add(int64(n)), u.submitter.most(&u.req); most > 0 && done > most {
				return blob.Info{}, tooLarge(most)
			}
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil && ctx.Err() != nil {
			return blob.Info{}, context.Cause(ctx)
		}
		if readErr != nil {
			return blob.Info{}, &cutError{readErr}
		}
	}
	if want := u.req.InputSize; want >= 0 && u.done.Load() != want {
		return blob.Info{}, &cutError{io.ErrUnexpectedEOF}
	}
	info, err := w.Commit()
	if err != nil {
		return blob.Info{}, fmt.Errorf("store input: %w", err)
	}
	return info, nil
}

// queued makes the job queued. It asks until it is answered, for a while: the
// input is whole and the client still waits.
func (u *upload) queued(ctx context.Context, spec jobstore.Spec) error {
	pause := 50 * time.Millisecond
	for until := time.Now().Add(10 * time.Second); ; pause *= 2 {
		_, err := u.submitter.Store.Uploaded(ctx, u.new.ID, u.fence, spec)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, jobstore.ErrLost), errors.Is(err, job.ErrNotFound):
			// An answer may have been lost, and the job have run since: only an
			// input that the record doesn't name may go.
			if there, err := u.submitter.whole(ctx, u.new.ID, u.name()); there || err != nil {
				return err
			}
			u.submitter.deleteBlobs(ctx, u.new.ID, jobstore.Folder(u.new.ID)+"/"+u.fence)
			return u.lost(ctx)
		case time.Now().After(until):
			return refusal.Of(err) // its fate is known to the record: lost with its lease, or queued
		}
		<-time.After(pause)
	}
}

// giveUp ends a job whose input didn't arrive, and says why.
func (u *upload) giveUp(ctx context.Context, cause error) error {
	if errors.Is(cause, jobstore.ErrLost) {
		return u.lost(ctx)
	}
	end := jobstore.End{Outcome: jobstore.Failed, Code: job.UploadIncomplete,
		Message: "the upload ended before its last byte"}
	answer := httpapi.NewError(httpapi.Invalid, "the body ended before its last byte").
		WithStatus(http.StatusBadRequest).Wrap(cause)
	var cut *cutError
	var refused *httpapi.Error
	switch {
	case errors.As(cause, &refused):
		answer, end.Message = refused, refused.Detail
	case errors.As(cause, &cut), errors.Is(cause, context.Canceled):
	default:
		end.Code, end.Message = job.StorageError, "the input could not be stored"
		answer = refusal.Of(cause)
		if answer.Code == httpapi.Internal {
			answer = httpapi.NewError(httpapi.Unavailable, "the input could not be stored").Wrap(cause)
			answer.RetryAfter = 5 * time.Second
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := u.submitter.Store.Finish(ctx, u.new.ID, u.fence, end); err != nil &&
		!errors.Is(err, jobstore.ErrLost) {
		u.submitter.Log.WarnContext(ctx, "end of upload not recorded, its lease will end", "job_id", u.new.ID,
			"error", err)
	}
	return answer
}

// lost answers for an upload that was canceled, taken over, or given up by the
// sweeper.
func (u *upload) lost(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	snap, err := u.submitter.Store.Get(ctx, u.new.ID)
	switch {
	case err != nil || snap.State == job.Failed:
		return httpapi.NewError(httpapi.Conflict, "the upload was given up: it was not heard of for too long")
	case snap.State == job.Canceled:
		return httpapi.NewError(httpapi.Conflict, "the job was canceled")
	default:
		return httpapi.NewError(httpapi.Conflict, "another request has taken the upload over")
	}
}

// deleteBlobs deletes what a lost upload of a job has stored, below a prefix.
func (d *Submitter) deleteBlobs(ctx context.Context, id job.ID, prefix string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := d.Blobs.Delete(ctx, prefix); err != nil {
		d.Log.WarnContext(ctx, "blob of a lost upload stays until its job or orphans are swept", "job_id", id,
			"error", err)
	}
}

// progress is asked by the keeper, from one goroutine.
func (u *upload) progress() *job.Progress {
	done := u.done.Load()
	if done == u.told {
		return nil
	}
	u.told = done
	p := &job.Progress{Phase: job.PhaseUpload, BytesDone: done, BytesTotal: max(0, u.req.InputSize)}
	u.meter.Measure(p, time.Now(), done, p.BytesTotal)
	return p
}

// A cutError says that the client's side of an upload broke.
type cutError struct{ err error }

func (e *cutError) Error() string { return "upload cut: " + e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }

func tooLarge(limit int64) *httpapi.Error {
	return httpapi.NewError(httpapi.TooLarge, fmt.Sprintf("the input is over %d bytes", limit))
}
