package tus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"

	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/job"
)

// A store is tusd's view of our uploads.
type store struct{ uploads Uploads }

var (
	_ handler.DataStore           = store{}
	_ handler.TerminaterDataStore = store{}
	_ handler.Locker              = locker{}
)

// NewUpload creates the upload, and its job, that the request wants.
func (s store) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	c := callOf(ctx)
	r := *c.create
	r.InputSize = info.Size
	u, created, err := s.uploads.Begin(ctx, r, c.metadata)
	if err != nil {
		return nil, c.fail(err)
	}
	c.upload = u
	if !created && c.carries && u.Offset > 0 {
		// tusd would take the body for what comes next.
		c.Header().Set("Location", httpapi.UploadPath(u.ID))
		return nil, c.fail(httpapi.NewError(httpapi.Conflict,
			"the upload has begun before; ask for its offset by HEAD"))
	}
	return upload{u, c}, nil
}

// GetUpload finds an upload, and finishes one that is whole.
func (s store) GetUpload(ctx context.Context, text string) (handler.Upload, error) {
	c := callOf(ctx)
	id, err := job.ParseID(text)
	if err != nil {
		return nil, c.fail(httpapi.NewError(httpapi.NotFound, "there is no such upload").Wrap(err))
	}
	u, err := s.uploads.Resume(ctx, c.by, id)
	if err != nil {
		return nil, c.fail(err)
	}
	c.upload = u
	return upload{u, c}, nil
}

func (s store) AsTerminatableUpload(u handler.Upload) handler.TerminatableUpload { return u.(upload) }

// An upload is one upload within one request.
type upload struct {
	*submit.Resumable
	call *call
}

func (u upload) GetInfo(context.Context) (handler.FileInfo, error) {
	return handler.FileInfo{ID: string(u.ID), Size: u.Size, Offset: u.Offset}, nil
}

func (u upload) WriteChunk(ctx context.Context, _ int64, src io.Reader) (int64, error) {
	u.call.receive()
	n, err := u.Append(ctx, src, u.call.interrupt)
	return n, u.call.fail(err)
}

func (u upload) FinishUpload(ctx context.Context) error { return u.call.fail(u.Finish(ctx)) }

func (u upload) Terminate(ctx context.Context) error {
	return u.call.fail(u.Resumable.Terminate(ctx))
}

// GetReader is for downloads and concatenation, which we don't have.
func (upload) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, handler.NewError("ERR_UNSUPPORTED", "uploads can't be downloaded",
		http.StatusMethodNotAllowed)
}

// A locker is tusd's view of our locks.
type locker struct {
	uploads Uploads
	lock    func(ctx context.Context, id job.ID, asked func()) (unlock func() error, err error)
}

func (l locker) NewLock(text string) (handler.Lock, error) { return &lock{locker: l, text: text}, nil }

type lock struct {
	locker
	text   string
	unlock func() error
}

func (k *lock) Lock(ctx context.Context, asked func()) error {
	c := callOf(ctx)
	id, err := job.ParseID(k.text)
	if err != nil {
		return c.fail(httpapi.NewError(httpapi.NotFound, "there is no such upload").Wrap(err))
	}
	if err := k.uploads.Sees(ctx, c.by, id); err != nil { // another's is not even disturbed
		return c.fail(err)
	}
	k.unlock, err = k.lock(ctx, id, func() { c.whenReceiving(asked) })
	if errors.Is(err, ErrLocked) {
		e := httpapi.NewError(httpapi.Conflict, "another request holds the upload").
			WithStatus(http.StatusLocked).Wrap(err)
		e.RetryAfter = time.Second
		return c.fail(e)
	}
	if err != nil {
		return c.fail(fmt.Errorf("lock upload %s: %w", id, err))
	}
	return nil
}

func (k *lock) Unlock() error { return k.unlock() } // tusd drops the error; the lock's time ends
