package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"longshore/internal/blob"
	"longshore/internal/httpapi"
)

// What an upload may cost others. A handler whose request's body is going to
// be stored calls beginUpload before it reads any of it.

// beginUpload admits the request's body as an upload: there is space for it,
// its client has not too many under way, and from here on it must keep coming
// at Config.MinUploadRate. end is to be called when the body was read, and may be
// called again. The error comes before the client was asked for the body ("100 Continue").
func (s *Server) beginUpload(r *http.Request) (end func(), err error) {
	if end, err = s.admitUpload(r, r.ContentLength); err != nil {
		return nil, err
	}
	s.limitRate(r)
	return end, nil
}

// limitRate holds the body from now on to Config.MinUploadRate, after a grace.
func (s *Server) limitRate(r *http.Request) {
	if body, ok := r.Body.(*requestBody); ok {
		body.pace = pace{rate: s.MinUploadRate, grace: s.Idle, left: s.Idle}
	}
}

// beginPieces is beginUpload for a request of tus, size bytes long or, if it
// begins an upload, for an upload of that size. A client of tus gives up for
// good at most codes of 4xx, so "too many" is 503 here, and so is "too slow" in
// servePieces.
func (s *Server) beginPieces(r *http.Request, size int64) (end func(), err error) {
	end, err = s.admitUpload(r, size)
	var refused *httpapi.Error
	if errors.As(err, &refused) && refused.Code == httpapi.RateLimited {
		err = refused.WithStatus(http.StatusServiceUnavailable)
	}
	if err != nil {
		return nil, err
	}
	s.limitRate(r)
	return end, nil
}

func (s *Server) admitUpload(r *http.Request, size int64) (end func(), err error) {
	if s.MaxUpload > 0 && size > s.MaxUpload { // first: no space that comes free would help
		return nil, tooLarge(s.MaxUpload)
	}
	if err := s.checkSpace(r.Context(), size); err != nil {
		return nil, err
	}
	client := s.clientAddress(r)
	if !s.uploads.enter(client) {
		return nil, s.tooManyUploads()
	}
	return sync.OnceFunc(func() { s.uploads.leave(client) }), nil
}

func (s *Server) tooManyUploads() *httpapi.Error {
	e := httpapi.NewError(httpapi.RateLimited, fmt.Sprintf("%d uploads or batches from this address are under way, more are not taken", s.MaxUploadsPerAddress))
	e.RetryAfter = 2 * time.Second
	return e
}

// checkSpace refuses an upload that would leave the blob store with less space
// than Config.MinFreeSpace. A store that doesn't know its space has enough.
func (s *Server) checkSpace(ctx context.Context, size int64) error {
	store, ok := s.Blobs.(blob.Spacer)
	if !ok || s.MinFreeSpace <= 0 {
		return nil
	}
	floor := blob.Floor{Min: s.MinFreeSpace, Space: func() (free, total int64, err error) {
		if free, total, err = store.Space(ctx); err != nil {
			s.Log.DebugContext(ctx, "free space of the blob store is not known", "error", err)
		}
		return free, total, err
	}}
	if floor.Room(max(0, size)) == nil {
		return nil
	}
	e := httpapi.NewError(httpapi.Unavailable, "not enough space left for inputs").WithStatus(http.StatusInsufficientStorage)
	e.RetryAfter = time.Minute
	return e
}

// A pace is a least rate. A client starts with a grace, loses the time that we
// wait for its bytes, and each byte earns it 1/rate seconds, up to the grace
// again. So a stall is forgiven, a trickle is not, and the time in which we are
// busy costs nobody anything.
type pace struct {
	rate  int64 // bytes per second; 0 = any
	grace time.Duration
	left  time.Duration
}

// took counts n bytes for which we waited a while. It reports whether they came
// fast enough.
func (p *pace) took(n int, waited time.Duration) bool {
	if p.rate <= 0 {
		return true
	}
	earned := p.grace // more than the grace is never kept
	if int64(n) < p.rate*int64(p.grace/time.Second+1) {
		earned = time.Duration(int64(n) * int64(time.Second) / p.rate)
	}
	p.left = min(p.left-waited+earned, p.grace)
	return p.left > 0
}
