package web

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// How long idle connections stay open after a stop. A client that sends a request on one
// in the moment in which it is closed can't know whether that was carried out; who has
// been answered "Connection: close" meanwhile doesn't try.
const (
	leastDrain = time.Second
	mostDrain  = 3 * time.Second
)

// A drain empties a server's connections without cutting a request.
type drain struct {
	stopping atomic.Bool
	open     atomic.Int64  // connections, but for sockets
	empty    chan struct{} // told when there may be none, while stopping
}

func newDrain() *drain { return &drain{empty: make(chan struct{}, 1)} }

// watch is to be called before the server serves.
func (d *drain) watch(srv *http.Server) {
	next := srv.Handler
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
	state := srv.ConnState
	srv.ConnState = func(c net.Conn, now http.ConnState) {
		switch now {
		case http.StateNew:
			d.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			if d.open.Add(-1) == 0 && d.stopping.Load() {
				d.tell()
			}
		}
		state(c, now)
	}
}

func (d *drain) tell() {
	select {
	case d.empty <- struct{}{}:
	default:
	}
}

// stop takes no more connections, and answers all requests so that clients open another
// one for the next.
func (d *drain) stop(l net.Listener) {
	d.stopping.Store(true)
	l.Close()
	if d.open.Load() == 0 {
		d.tell()
	}
}

// wait returns when all connections are closed, or those that are idle are to be.
func (d *drain) wait(ctx context.Context, grace time.Duration) {
	patience := time.NewTimer(min(mostDrain, max(leastDrain, grace/4)))
	defer patience.Stop()
	for {
		select {
		case <-d.empty:
			if d.open.Load() == 0 {
				return
			}
		case <-patience.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
