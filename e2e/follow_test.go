//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// compare checks that all books end the same story of these jobs.
func compare(t *testing.T, url string, ids []job.ID, books map[string]*book) {
	t.Helper()
	truth := newBook(t, "a look")
	for _, id := range ids {
		truth.note(request(t, "GET", url+httpapi.JobPath(id), nil).snapshot(t))
	}
	states := map[job.State]int{}
	for _, end := range truth.ends {
		states[end.State]++
	}
	for name, b := range books {
		if diff := cmp.Diff(truth.ends, b.ends); diff != "" || len(b.ends) != len(ids) {
			t.Errorf("%s tells of %d ends (-look +%s):\n%.2000s", name, len(b.ends), name, diff)
		}
		t.Logf("%s: %d snapshots", name, b.told)
	}
	t.Logf("ends: %v", states)
}

// mixture submits n jobs of several kinds, some of which fail or are canceled.
// Each calls back, if there is an address.
func mixture(t *testing.T, c *client.Client, n int, callback string) (ids []job.ID) {
	t.Helper()
	for i := range n {
		s := client.Submission{CallbackURL: callback}
		var snap job.Snapshot
		var err error
		switch text := strings.NewReader(strings.Repeat("line "+strconv.Itoa(i)+"\n", 1000)); i % 5 {
		case 0, 1:
			s.Type = "file.compress"
			snap, err = c.SubmitFile(t.Context(), s, text, -1)
		case 2:
			s.Type, s.Payload = "math.primes", map[string]int{"n": 1_000_000 + i}
			snap, err = c.Submit(t.Context(), s)
		case 3:
			s.Type = "file.checksum"
			snap, err = c.SubmitFile(t.Context(), s, text, -1)
		case 4:
			s.Type = "file.decompress" // it is not packed
			snap, err = c.SubmitFile(t.Context(), s, text, -1)
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, snap.ID)
	}
	return ids
}

// TestFollowEverywhere follows the same jobs in all ways at once, and is called
// back, while the subscriptions that carry notifications are killed again and again.
func TestFollowEverywhere(t *testing.T) {
	t.Parallel()
	in := install(t, signing, allowing)
	web, url := in.web(t)
	c := clientOf(t, url)
	sink := newSink(t, taken)
	ids := mixture(t, c, 500, sink.URL)
	books, finish := follow(t, url, ids, slices.Collect(maps.Keys(followers))...)

	ctx, stop := context.WithCancel(t.Context())
	var killed atomic.Int64
	var nemesis sync.WaitGroup
	rdb := redistest.ClientOf(t, in.redis.URL())
	nemesis.Go(func() {
		tick := time.NewTicker(30 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			// An error is a busy machine's: those that were killed are counted.
			killed.Add(rdb.ClientKillByFilter(ctx, "TYPE", "pubsub").Val())
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	for i := 10; i < len(ids); i += 50 {
		if _, err := c.Cancel(t.Context(), ids[i]); err != nil {
			t.Error(err)
		}
	}
	in.worker(t)
	finish()
	stop()
	nemesis.Wait()
	if killed.Load() < 20 {
		t.Errorf("invalid run: %d subscriptions killed", killed.Load())
	}
	books["webhook"] = newBook(t, "webhook")
	for len(books["webhook"].ends) < len(ids) { // a callback may come twice
		var snap job.Snapshot
		if err := json.Unmarshal(sink.next(t, 90*time.Second).body, &snap); err != nil {
			t.Fatal(err)
		}
		books["webhook"].note(snap)
	}
	compare(t, url, ids, books)
	if said := web.said(`"level":"ERROR"`); len(said) > 0 {
		t.Errorf("web logged errors: %v", said[0])
	}
	t.Logf("%d subscriptions killed", killed.Load())
}

// TestFollowThroughRestart stops the web server while everybody follows, and
// starts it again at the same port.
func TestFollowThroughRestart(t *testing.T) {
	t.Parallel()
	in := install(t)
	web, url := in.web(t)
	port := url[strings.LastIndex(url, ":")+1:]
	c := clientOf(t, url)
	ids := mixture(t, c, 50, "")
	// Plain long-polls, which know nothing of restarts, stay away.
	books, finish := follow(t, url, ids, "events", "events for many", "socket", "client")
	eventually(t, "all follow", func() bool {
		for _, b := range books {
			b.mu.Lock()
			n := len(b.revs)
			b.mu.Unlock()
			if n < len(ids) {
				return false
			}
		}
		return true
	})
	web.signal(syscall.SIGTERM)
	begun := time.Now()
	if code := web.end(t, 60*time.Second); code != 0 {
		t.Errorf("web exits with %d", code)
	}
	if took := time.Since(begun); took > 25*time.Second {
		t.Errorf("web took %v to stop", took)
	}
	in.worker(t)
	_, again := in.web(t, "PORT="+port)
	finish()
	compare(t, again, ids, books)
}
