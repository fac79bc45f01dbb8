package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/httpapi"
	"longshore/job"
)

// story serves a job that moves on by one revision with each question. It has
// no streams, as a server of old.
func story(t *testing.T, states ...job.State) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.Path == httpapi.EventsPath(testID) {
			refuse(w, httpapi.NewError(httpapi.NotFound, "there is nothing at this path"))
			return
		}
		if r.URL.Path != httpapi.JobPath(testID) {
			t.Errorf("path = %s", r.URL.Path)
		}
		rev := 0
		if q.Has("after") {
			after, err := strconv.Atoi(q.Get("after"))
			if err != nil || q.Get("wait") != "25s" {
				t.Errorf("query = %v", q)
			}
			rev = after + 1
		}
		if q.Get("until") == httpapi.UntilDone {
			rev = len(states) - 1
		}
		reply(w, 200, job.Snapshot{ID: testID, Rev: int64(rev), State: states[rev],
			Done: states[rev].Terminal()})
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	want := []job.State{job.Queued, job.Running, job.Running, job.Succeeded}
	c, pauses := serve(t, story(t, want...))
	var got []job.State
	for snap, err := range c.Follow(t.Context(), testID) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, snap.State)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if pauses.Load() != 0 {
		t.Error("paused between changes")
	}
}

func TestFollowStopsWithItsLoop(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, story(t, job.Queued, job.Running, job.Succeeded))
	n := 0
	for range c.Follow(t.Context(), testID) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d rounds", n)
	}
}

// TestFollowThroughRestart takes the server away after the first change and
// brings it back at the same address: the story goes on where it stopped.
func TestFollowThroughRestart(t *testing.T) {
	t.Parallel()
	tell := story(t, job.Queued, job.Running, job.Succeeded)
	srv := httptest.NewServer(tell)
	address := srv.Listener.Addr().String()
	c, _ := connect(t, srv.URL)
	var again *httptest.Server
	c.onRetry = func(error, time.Duration) {
		if again != nil {
			return
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		again = httptest.NewUnstartedServer(tell)
		again.Listener.Close()
		again.Listener = l
		again.Start()
		t.Cleanup(again.Close)
	}
	var got []job.State
	for snap, err := range c.Follow(t.Context(), testID) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, snap.State); len(got) == 1 {
			srv.Close()
		}
	}
	if diff := cmp.Diff([]job.State{job.Queued, job.Running, job.Succeeded}, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if again == nil {
		t.Error("the restart was not noticed")
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	asked := 0
	c, pauses := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 4 {
			cancel(enough)
			<-r.Context().Done()
			return
		}
		reply(w, 200, job.Snapshot{ID: testID, Rev: 7, State: job.Running})
	})
	snap, err := c.Wait(ctx, testID)
	if !errors.Is(err, enough) || snap.Rev != 7 {
		t.Errorf("Wait = rev %d, %v", snap.Rev, err)
	}
	// A server that answers without waiting is not hammered.
	if pauses.Load() != 3 {
		t.Errorf("%d pauses, want 3", pauses.Load())
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, story(t, job.Queued, job.Failed))
	snap, err := c.Wait(t.Context(), testID)
	if err != nil || snap.State != job.Failed {
		t.Errorf("Wait = %v, %v", snap.State, err)
	}
}

func TestMissingJob(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, httpapi.NewError(httpapi.NotFound, "there is no such job"))
	})
	for _, err := range c.Follow(t.Context(), testID) {
		var e *Error
		if !errors.As(err, &e) || e.Code != NotFound {
			t.Errorf("err = %v", err)
		}
	}
}

// TestFollowIsPatient has a server that answers at once, without news: each
// such answer is followed by a pause, and nothing is yielded twice.
func TestFollowIsPatient(t *testing.T) {
	t.Parallel()
	asked := 0
	c, pauses := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == httpapi.EventsPath(testID) {
			w.WriteHeader(http.StatusNotAcceptable)
			return
		}
		asked++
		snap := job.Snapshot{ID: testID, Rev: 3, State: job.Running}
		if asked == 4 {
			snap = job.Snapshot{ID: testID, Rev: 4, State: job.Canceled, Done: true}
		}
		reply(w, 200, snap)
	})
	var revs []int64
	for snap, err := range c.Follow(t.Context(), testID) {
		if err != nil {
			t.Fatal(err)
		}
		revs = append(revs, snap.Rev)
	}
	if diff := cmp.Diff([]int64{3, 4}, revs); diff != "" {
		t.Error(diff)
	}
	if pauses.Load() != 2 {
		t.Errorf("%d pauses, want 2", pauses.Load())
	}
}
