//go:build linux

package e2e

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// TestRedisTLS runs the programs on a Redis whose certificate they trust by a file,
// or not at all.
func TestRedisTLS(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url, certificate := redistest.NewTLS(t)
	in.env = append(in.env, "REDIS_URL="+url)
	stranger := in.start(t, "web")
	stranger.await(t, "certificate signed by unknown authority")

	for _, trust := range []string{"SSL_CERT_FILE=" + certificate, "REDIS_TLS_INSECURE=true"} {
		in := *in
		in.env = append(in.env[:len(in.env):len(in.env)], trust)
		_, address := in.web(t)
		in.worker(t)
		c := clientOf(t, address)
		primes := submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 100}})
		if snap := wait(t, c, primes.ID); snap.State != job.Succeeded {
			t.Errorf("%s: job ended as %+v", trust, snap)
		}
	}
}

// TestSentinelFailover kills the primary of a Redis with sentinels while jobs are
// submitted and run: each that was acknowledged ends, and all goes on by itself.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	in := install(t)
	servers := redistest.NewSentinels(t)
	in.env = append(in.env, "REDIS_URL="+servers.URL, "ACK=replicated")
	web, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	long := submit(t, c, client.Submission{Type: "math.primes",
		Payload: map[string]int64{"n": 2_000_000_000}})
	poll(t, c, long.ID, "runs", runs)
	ids := submitMany(t, c, 200, func(i int) (client.Submission, string) {
		return client.Submission{Type: "math.primes", Payload: map[string]int{"n": 1_000_000 + i}}, ""
	})
	// Submissions go on: each is answered, with the job or with a refusal.
	load, stop := context.WithCancel(t.Context())
	defer stop()
	var refused int
	var wg sync.WaitGroup
	wg.Go(func() {
		for load.Err() == nil {
			r, err := tryRequest(t, "POST", url+httpapi.PathJobs,
				strings.NewReader(`{"type":"math.primes","payload":{"n":10}}`))
			switch {
			case err != nil:
				t.Error(err)
				return
			case r.StatusCode == http.StatusAccepted:
				ids = append(ids, r.snapshot(t).ID)
			case r.StatusCode == http.StatusServiceUnavailable:
				refused++
			default:
				t.Errorf("submit in the failover: %s: %s", r.Status, r.body)
			}
		}
	})
	servers.Failover(t)
	eventually(t, "the server is ready again", func() bool {
		return request(t, "GET", url+httpapi.PathReady, nil).StatusCode == http.StatusOK
	})
	stop()
	wg.Wait()
	if refused == 0 {
		t.Error("invalid run: no submission met the failover")
	}
	for _, id := range append(ids, long.ID) {
		if snap := wait(t, c, id); snap.State != job.Succeeded || snap.Attempt != 1 {
			t.Errorf("job ended as %+v", snap)
		}
	}
	for name, p := range map[string]*process{"web": web, "worker": worker} {
		if said := p.said(`"level":"ERROR"`); len(said) > 0 {
			t.Errorf("%s logged errors: %v", name, said[0])
		}
	}
}

// TestCluster runs the programs on three masters: jobs with and without files, in a batch,
// canceled and listed, by the Go client and by enqueue straight on Redis.
func TestCluster(t *testing.T) {
	t.Parallel()
	in := install(t)
	cluster := redistest.NewCluster(t)
	in.env = append(in.env, "REDIS_URL="+cluster.URL)
	web, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	ids := submitMany(t, c, 200, func(i int) (client.Submission, string) {
		if i%4 == 0 {
			return client.Submission{Type: "file.checksum"}, strings.Repeat("a line\n", i+1)
		}
		return client.Submission{Type: "math.primes", Payload: map[string]int{"n": 1000 + i}}, ""
	})
	endless := submit(t, c, burner)
	poll(t, c, endless.ID, "runs", runs)
	if _, err := c.Cancel(t.Context(), endless.ID); err != nil {
		t.Error(err)
	}
	if snap := wait(t, c, endless.ID); snap.State != job.Canceled {
		t.Errorf("job ended as %+v", snap)
	}
	for _, id := range ids {
		if snap := wait(t, c, id); snap.State != job.Succeeded || snap.Attempt != 1 {
			t.Errorf("job ended as %+v", snap)
		}
	}
	lines := strings.Repeat(`{"type":"math.primes","payload":{"n":10}}`+"\n", 50)
	if code, out, text := call(t, lines, in.env, "enqueue", "batch", "-", "--wait"); code != 0 {
		t.Errorf("enqueue batch: exit %d: %s%s", code, out, text)
	}
	for _, args := range [][]string{{"ls", "--state", "succeeded"}, {"doctor"}} {
		code, out, text := call(t, "", in.env, "enqueue", args...)
		if code != 0 {
			t.Errorf("enqueue %v: exit %d: %s%s", args, code, out, text)
		}
	}
	for name, p := range map[string]*process{"web": web, "worker": worker} {
		if said := p.said(`"level":"ERROR"`); len(said) > 0 {
			t.Errorf("%s logged errors: %v", name, said[0])
		}
	}
}
