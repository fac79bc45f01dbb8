package edge

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"longshore/internal/blob"
	"longshore/internal/httpapi"
)

// UploadLimits are what uploads may cost others.
type UploadLimits struct {
	Max     int64         // bytes of one; 0 = no limit
	MinRate int64         // bytes per second; 0 = any
	Grace   time.Duration // how long one may come too slowly
	// PerAddress is how many one client may have under way, with its batches; 0 = no limit.
	PerAddress int
	// MinFree is what one must leave free of Space, in bytes, but a twentieth of a small
	// store; 0 = nothing.
	MinFree int64
	Space   func(context.Context) (free, total int64, err error) // nil: there is enough
	Log     *slog.Logger
}

// Uploads admits uploads. A handler whose request's body is going to be stored calls
// Begin before it reads any of it.
type Uploads struct {
	UploadLimits
	underWay *Limiter
}

// NewUploads returns what admits uploads within limits.
func NewUploads(l UploadLimits) *Uploads { return &Uploads{l, NewLimiter(0, l.PerAddress)} }

// Begin admits the request's body as an upload: there is space for it, its client has
// not too many under way, and from here on it must keep coming at MinRate. end is to be
// called when the body was read, and may be called again. The error comes before the
// client was asked for the body ("100 Continue"). size is that of the whole upload in
// bytes, of which this body may be a part; < 0 = not known.
func (u *Uploads) Begin(a *Answer, r *http.Request, size int64) (end func(), err error) {
	if u.Max > 0 && size > u.Max { // first: no space that comes free would help
		return nil, httpapi.NewError(httpapi.TooLarge, fmt.Sprintf("the input is over %d bytes", u.Max))
	}
	if err := u.checkSpace(r.Context(), size); err != nil {
		return nil, err
	}
	if end, err = u.Enter(a); err != nil {
		return nil, err
	}
	if a.Body != nil {
		a.Body.pace = pace{rate: u.MinRate, grace: u.Grace, left: u.Grace}
	}
	return end, nil
}

// Enter counts one more upload of a client's, or what is as costly, until end is called.
func (u *Uploads) Enter(a *Answer) (end func(), err error) {
	if !u.underWay.Enter(a.Client) {
		return nil, httpapi.NewError(httpapi.RateLimited,
			fmt.Sprintf("%d uploads or batches from this address are under way, more are not taken",
				u.PerAddress)).
			WithRetryAfter(2 * time.Second)
	}
	return sync.OnceFunc(func() { u.underWay.Leave(a.Client) }), nil
}

// checkSpace refuses an upload that would leave too little space.
func (u *Uploads) checkSpace(ctx context.Context, size int64) error {
	if u.Space == nil || u.MinFree <= 0 {
		return nil
	}
	floor := blob.Floor{Min: u.MinFree, Space: func() (free, total int64, err error) {
		if free, total, err = u.Space(ctx); err != nil {
			u.Log.DebugContext(ctx, "free space of the blob store is not known", "error", err)
		}
		return free, total, err
	}}
	if floor.Room(max(0, size)) == nil {
		return nil
	}
	return httpapi.NewError(httpapi.Unavailable, "not enough space left for inputs").
		WithStatus(http.StatusInsufficientStorage).WithRetryAfter(time.Minute)
}
