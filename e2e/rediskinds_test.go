//go:build linux

package e2e

import (
	"net/http"
	"slices"
	"strings"
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
	servers := redistest.NewSentinels(t)
	in := install(t, "REDIS_URL="+servers.URL, "ACK=replicated")
	web, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	long := submit(t, c, client.Submission{Type: "math.primes",
		Payload: map[string]int64{"n": 2_000_000_000}})
	poll(t, c, long.ID, "runs", runs)
	ids := submitMany(t, c, 200, func(i int) (client.Submission, string) {
		return client.Submission{Type: "math.primes", Payload: map[string]int{"n": 1_000_000 + i}}, ""
	})
	l := load(t, url)
	servers.Failover(t)
	eventually(t, "the server is ready again", func() bool {
		return request(t, "GET", url+httpapi.PathReady, nil).StatusCode == http.StatusOK
	})
	l.judge(slices.Concat(l.stop(), ids, []job.ID{long.ID}))
	if l.refused.Load() == 0 {
		t.Error("invalid run: no submission met the failover")
	}
	noErrors(t, map[string]*process{"web": web, "worker": worker})
}

// TestClusterIsMoved moves all slots of a Cluster to other masters while jobs are submitted and run: each
// that was acknowledged ends, once.
func TestClusterIsMoved(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewCluster(t)
	in := install(t, "REDIS_URL="+cluster.URL)
	web, url := in.web(t)
	worker := in.worker(t)
	l := load(t, url)
	long := submit(t, l.client, client.Submission{Type: "math.primes",
		Payload: map[string]int64{"n": 200_000_000}})
	for i := range cluster.Masters {
		l.grown(200)
		if moved := cluster.Move(t, i, nil); moved < 50 {
			t.Errorf("invalid run: %d keys were moved", moved)
		}
	}
	l.grown(200)
	l.judge(append(l.stop(), long.ID))
	noErrors(t, map[string]*process{"web": web, "worker": worker})
}

// TestClusterFailover kills a master of a Cluster with replicas while jobs are submitted and run: each that
// was acknowledged ends, and all goes on by itself.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewReplicatedCluster(t)
	in := install(t, "REDIS_URL="+cluster.URL, "ACK=replicated")
	web, url := in.web(t)
	worker := in.worker(t)
	l := load(t, url)
	l.grown(200)
	dead := cluster.Failover(t, "longshore:meta")
	l.grown(20)
	if err := dead.Restart(t.Context()); err != nil { // a replica of the new master from now on
		t.Fatal(err)
	}
	l.grown(500)
	l.judge(l.stop())
	if l.refused.Load() == 0 {
		t.Error("invalid run: no submission met the failover")
	}
	noErrors(t, map[string]*process{"web": web, "worker": worker})
}

// TestClusterPartEmptied empties a master of a Cluster, but not the one that says how far the installation
// had come: its jobs are lost, not unknown, until that is accepted.
func TestClusterPartEmptied(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewCluster(t)
	in := install(t, "REDIS_URL="+cluster.URL)
	web, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	ids := submitMany(t, c, 40, func(i int) (client.Submission, string) {
		return client.Submission{Type: "math.primes", Payload: map[string]int{"n": 10 + i}}, ""
	})
	for _, id := range ids {
		wait(t, c, id)
	}
	rdb := redistest.ClientOf(t, cluster.URL)
	eventually(t, "all partitions are marked", func() bool {
		return rdb.HGet(t.Context(), "longshore:meta", "parted").Val() != ""
	})
	for _, master := range cluster.Masters {
		node := redistest.ClientOf(t, master.URL())
		if node.HLen(t.Context(), "longshore:meta").Val() > 0 {
			continue
		}
		if err := node.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		break
	}
	web.await(t, lostData)
	var gone job.ID
	for _, id := range ids {
		switch r := request(t, "GET", url+httpapi.JobPath(id), nil); r.StatusCode {
		case http.StatusOK:
		case http.StatusServiceUnavailable:
			r.problem(t, 503, httpapi.StoreReset)
			gone = id
		default:
			t.Errorf("%s: %s", r.Status, r.body)
		}
	}
	if gone == "" {
		t.Fatal("invalid run: no job was lost")
	}
	in.accept(t, url, gone)
	fresh := submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 100}})
	if fresh = wait(t, c, fresh.ID); fresh.State != job.Succeeded {
		t.Errorf("new job ended as %+v", fresh)
	}
}

// TestCluster runs the programs on three masters: jobs with and without files, in a batch,
// canceled and listed, by the Go client and by enqueue straight on Redis.
func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewCluster(t)
	in := install(t, "REDIS_URL="+cluster.URL)
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
	noErrors(t, map[string]*process{"web": web, "worker": worker})
}
