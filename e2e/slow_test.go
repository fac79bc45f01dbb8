//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// openFiles counts a process's descriptors.
func (p *process) openFiles(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// An observer is a client that behaves: it measures how long its requests take
// while others don't.
type observer struct {
	stop  chan struct{}
	ended chan []time.Duration
}

func observe(t *testing.T, url string) *observer {
	o := &observer{stop: make(chan struct{}), ended: make(chan []time.Duration, 1)}
	go func() {
		var took []time.Duration
		defer func() { o.ended <- took }()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			begun := time.Now()
			r, err := tryRequest(t, "GET", url, nil)
			switch {
			case err == nil && r.StatusCode == http.StatusOK:
				took = append(took, time.Since(begun))
			case err == nil && r.StatusCode == http.StatusServiceUnavailable: // Redis is slow on a busy one
			default:
				t.Errorf("another client's request: %v, %s", err, r.body)
				return
			}
			select {
			case <-tick.C:
			case <-o.stop:
				return
			}
		}
	}()
	return o
}

// end returns the median and the longest time.
func (o *observer) end(t *testing.T) {
	t.Helper()
	close(o.stop)
	took := <-o.ended
	if len(took) < 20 {
		t.Fatalf("invalid run: only %d requests beside the slow ones", len(took))
	}
	slices.Sort(took)
	median, longest := took[len(took)/2], took[len(took)-1]
	t.Logf("%d requests of others: median %v, longest %v", len(took), median, longest)
	if median > soon {
		t.Errorf("requests of others took %v in the median", median)
	}
}

// TestSlowHeaders lets 500 clients send their header a byte at a time. Each is
// cut when its 10 s are over, and nobody else notices.
func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	const clients, most, tolerance = 500, 10 * time.Second, 20 * time.Second
	in := install(t)
	web, url := in.web(t)
	id := submit(t, clientOf(t, url), client.Submission{Type: "math.primes",
		Payload: map[string]int{"n": 10}}).ID
	before := web.openFiles(t)
	others := observe(t, url+httpapi.JobPath(id))
	lived := make([]time.Duration, clients)
	var wg sync.WaitGroup
	for i := range clients {
		conn := dial(t, url)
		begun := time.Now()
		wg.Go(func() {
			defer conn.Close()
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			cut := make(chan struct{})
			go func() {
				defer close(cut)
				io.Copy(io.Discard, conn) // an error is the cut, too
				lived[i] = time.Since(begun)
			}()
			rest := "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + strings.Repeat("x", 60)
			for time.Since(begun) < most+2*tolerance {
				io.WriteString(conn, rest[:1])
				rest = rest[1:]
				select {
				case <-tick.C:
				case <-cut:
					return
				}
			}
			conn.Close()
			<-cut
		})
	}
	// What was open before may be closed meanwhile, so it does not count.
	eventually(t, "all are connected", func() bool { return web.openFiles(t) >= clients })
	wg.Wait()
	others.end(t)
	slices.Sort(lived)
	t.Logf("cut after %v to %v", lived[0], lived[clients-1])
	if lived[0] < most-time.Second || lived[clients-1] > most+tolerance {
		t.Errorf("cut after %v to %v, want %v", lived[0], lived[clients-1], most)
	}
	eventually(t, "web has as many open files as before", func() bool { return web.openFiles(t) <= before+20 })
}

// TestSlowReaders lets 200 clients ask for more than the kernel takes off web's
// hands and read nothing: streams are cut after 30 s, other answers after 60 s, and
// nobody else notices.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	const streams, answers = 180, 20
	in := install(t)
	web, url := in.web(t, "LOG_LEVEL=info")
	in.worker(t)
	c := clientOf(t, url)
	ids := bigJobs(t, c, httpapi.MaxIDs)
	before := web.openFiles(t)
	others := observe(t, url+httpapi.JobPath(ids[0]))
	some, all := make([]job.Rev, 10), make([]job.Rev, len(ids))
	for i, id := range ids {
		all[i].ID = id
	}
	copy(some, all)
	begun := time.Now()
	for range streams {
		deafRequest(t, url, httpapi.PathEvents+"?id="+httpapi.FormatRevs(some))
	}
	for range answers {
		// Without a wait, which might have answered with the first job that it found moved.
		deafRequest(t, url, httpapi.PathJobs+"?id="+httpapi.FormatRevs(all))
	}
	lines := func(route, with string) (n int) {
		for _, line := range web.said(`"route":"` + route + `"`) {
			if strings.Contains(line, with) {
				n++
			}
		}
		return n
	}
	cut := func(route string) int { return lines(route, `"cut":true`) }
	eventually(t, "all are connected", func() bool { return web.openFiles(t) >= streams+answers })
	opened := streams
	within(t, 4*time.Minute, "the streams are cut", func() bool {
		// On a busy machine some are refused, while Redis doesn't answer.
		for ; opened < streams+lines(httpapi.PathEvents, `"status":503`); opened++ {
			deafRequest(t, url, httpapi.PathEvents+"?id="+httpapi.FormatRevs(some))
		}
		return cut(httpapi.PathEvents) >= streams
	})
	t.Logf("streams cut after %v", time.Since(begun))
	asked := answers
	within(t, 4*time.Minute, "the other answers are cut", func() bool {
		// On a busy machine some are refused, as reading a hundred jobs each took too long.
		for ; asked < answers+lines(httpapi.PathJobs, `"status":503`); asked++ {
			deafRequest(t, url, httpapi.PathJobs+"?id="+httpapi.FormatRevs(all))
		}
		return cut(httpapi.PathJobs) == answers
	})
	t.Logf("other answers cut after %v", time.Since(begun))
	others.end(t)
	eventually(t, "web has as many open files as before", func() bool { return web.openFiles(t) <= before+20 })
}

// bigJobs makes jobs whose snapshots have nearly 64 KiB each: reports on logs
// of long words.
func bigJobs(t *testing.T, c *client.Client, n int) (ids []job.ID) {
	t.Helper()
	var log strings.Builder
	for i := range 100 {
		word := fmt.Sprint(i) + strings.Repeat("x", 160)
		fmt.Fprintf(&log,
			"192.0.2.1 - - [10/Oct/2024:13:55:36 +0000] \"GET /%s HTTP/1.1\" 200 1 \"http://%s/\" \"%s\"\n",
			word, word, word)
	}
	ids = submitMany(t, c, n, func(int) (client.Submission, string) {
		return client.Submission{Type: "log.analyze",
			Fields: map[string][]string{"top": {"100"}}}, log.String()
	})
	for _, id := range ids {
		if snap := wait(t, c, id); snap.State != job.Succeeded || len(snap.Result) < 45_000 {
			t.Fatalf("job ended as %s with a result of %d bytes", snap.State, len(snap.Result))
		}
	}
	return ids
}

// deafRequest sends a request whose answer is never read, into a small buffer.
func deafRequest(t *testing.T, url, path string) {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		})
		return errors.Join(err, failed)
	}}
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
}

// waitedOn returns once a number of long-polls, streams and sockets wait at a web process, by its own count.
func (p *process) waitedOn(t *testing.T, url string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d clients wait", n), func() bool {
		return metricOf(t, url+"/metrics", "longshore_waiters") == strconv.Itoa(n)
	})
}
