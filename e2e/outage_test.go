//go:build linux

package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// TestRedisKilled kills Redis several times while jobs are submitted, run and
// awaited. Meanwhile refusals are 503 with Retry-After and the server is not
// ready; afterwards all goes on by itself, and each acknowledged job ends.
func TestRedisKilled(t *testing.T) {
	t.Parallel()
	in := installOn(t, localredis.Options{DataDir: t.TempDir()})
	syncAlways(t, in)
	web, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)

	load, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	var acknowledged []job.ID
	refusals := map[string]int{}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for load.Err() == nil {
				path, body := httpapi.PathJobs, `{"type":"math.primes","payload":{"n":3000000}}`
				if i%2 == 0 {
					path, body = httpapi.SubmitPath("file.compress"), strings.Repeat("a line of a file\n", 5000)
				}
				r, err := tryRequest(t, "POST", url+path, strings.NewReader(body))
				if err != nil {
					t.Errorf("submit: %v", err)
					return
				}
				mu.Lock()
				if r.StatusCode == http.StatusAccepted {
					acknowledged = append(acknowledged, r.snapshot(t).ID)
				} else {
					refusals[fmt.Sprintf("%d %s", r.StatusCode, r.Header.Get("Retry-After"))]++
				}
				mu.Unlock()
			}
		})
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	for range 3 {
		mu.Lock()
		before := len(acknowledged)
		mu.Unlock()
		more := before + 1 + random.IntN(100)
		eventually(t, "jobs are acknowledged", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acknowledged) >= more
		})
		if err := in.redis.Kill(); err != nil {
			t.Fatal(err)
		}
		request(t, "GET", url+httpapi.PathReady, nil).problem(t, 503, httpapi.Unavailable)
		r := request(t, "GET", url+httpapi.PathJobs, nil)
		r.problem(t, 503, httpapi.Unavailable)
		if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err != nil || seconds < 1 ||
			seconds > 10 {
			t.Errorf("Retry-After: %q", r.Header.Get("Retry-After"))
		}
		if r := request(t, "GET", url+httpapi.PathHealth, nil); r.StatusCode != http.StatusOK {
			t.Errorf("healthz: %s", r.Status)
		}
		if err := in.redis.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		syncAlways(t, in)
		eventually(t, "the server is ready again", func() bool {
			return request(t, "GET", url+httpapi.PathReady, nil).StatusCode == http.StatusOK
		})
	}
	stop()
	wg.Wait()
	for name, p := range map[string]*process{"web": web, "worker": worker} {
		if said := p.said(`"level":"ERROR"`); len(said) > 0 {
			t.Errorf("%s logged errors: %v", name, said[0])
		}
	}
	t.Logf("seed %d: %d jobs acknowledged, refusals: %v", seed, len(acknowledged), refusals)
	if refusals["503 2"] == 0 {
		t.Error("invalid run: no submission met the outage")
	}
	for kind := range refusals {
		if kind != "503 2" {
			t.Errorf("refusal %s", kind)
		}
	}
	for _, id := range acknowledged {
		if snap := wait(t, c, id); snap.State != job.Succeeded || snap.Attempt != 1 {
			t.Errorf("job ended as %+v", snap)
		}
	}
}

// syncAlways makes Redis answer only what is on disk: with everysec it may
// hold the writes of up to two seconds back while an fsync is under way.
func syncAlways(t *testing.T, in *installation) {
	t.Helper()
	if err := redistest.ClientOf(t, in.redis.URL()).ConfigSet(t.Context(), "appendfsync", "always").
		Err(); err != nil {
		t.Fatal(err)
	}
}

// TestRedisStalls stops Redis for a while: connections stay, answers don't
// come. Requests are refused in good time, and all goes on by itself.
func TestRedisStalls(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	before := submit(t, c, client.Submission{Type: "math.primes",
		Payload: map[string]int64{"n": 2_000_000_000}})
	poll(t, c, before.ID, "runs", runs)
	if err := in.redis.Pause(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	var wg sync.WaitGroup
	for _, path := range []string{httpapi.PathReady, httpapi.PathJobs, httpapi.JobPath(before.ID),
		httpapi.JobPath(before.ID) + "?wait=20s", httpapi.PathQueues} {
		wg.Go(func() {
			r, err := tryRequest(t, "GET", url+path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.problem(t, 503, httpapi.Unavailable)
		})
	}
	wg.Go(func() {
		r, err := tryRequest(t, "POST", url+httpapi.PathJobs,
			strings.NewReader(`{"type":"math.primes","payload":{"n":1}}`))
		if err != nil {
			t.Error(err)
			return
		}
		r.problem(t, 503, httpapi.Unavailable)
	})
	wg.Wait()
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("refused only after %v", took)
	}
	// Whoever comes later is refused at once: one after the other, these would take minutes.
	begun = time.Now()
	for range 50 {
		request(t, "GET", url+httpapi.JobPath(before.ID), nil).problem(t, 503, httpapi.Unavailable)
	}
	t.Logf("a refusal takes %v", time.Since(begun)/50)
	if took := time.Since(begun); took > 40*time.Second {
		t.Errorf("50 refusals took %v", took)
	}
	if err := in.redis.Resume(); err != nil {
		t.Fatal(err)
	}
	if snap := wait(t, c, before.ID); snap.State != job.Succeeded || snap.Attempt != 1 {
		t.Errorf("job ended as %+v", snap)
	}
}

// TestRedisEmptied takes all of Redis away, by FLUSHALL and by a restart
// without its data. That is noticed, waiters are answered, nothing crashes, and
// new jobs run.
func TestRedisEmptied(t *testing.T) {
	t.Parallel()
	in := install(t)
	web, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	for round, empty := range map[string]func() error{
		"flushed": func() error {
			return redistest.ClientOf(t, in.redis.URL()).FlushAll(t.Context()).Err()
		},
		"restarted": func() error { return in.redis.Restart(t.Context()) },
	} {
		noticed := []int{len(web.said(lostData)), len(worker.said(lostData))}
		running := submit(t, c, burner)
		poll(t, c, running.ID, "runs", runs)
		body, trickle := io.Pipe()
		uploaded := make(chan reply, 1)
		upload := job.NewID(time.Now())
		go func() {
			r, err := tryRequest(t, "POST", url+httpapi.SubmitPath("file.checksum"), body, "Longshore-Job: "+
				string(upload))
			if err != nil {
				t.Error(err)
			}
			uploaded <- r
		}()
		io.WriteString(trickle, "abc")
		known(t, url, upload)
		waiter := make(chan reply, 1)
		go func() {
			r, err := tryRequest(t, "GET", url+httpapi.JobPath(running.ID)+"?wait=25s", nil)
			if err != nil {
				t.Error(err)
			}
			waiter <- r
		}()
		if err := empty(); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if r := <-waiter; r.StatusCode != 503 {
			t.Errorf("%s: waiter got %s: %s", round, r.Status, r.body)
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s: waiter was answered after %v", round, took)
		}
		trickle.Close()
		if r := <-uploaded; r.StatusCode < 400 || r.StatusCode == 500 {
			t.Errorf("%s: upload under way got %s: %s", round, r.Status, r.body)
		}
		eventually(t, "the loss is noticed", func() bool {
			return len(web.said(lostData)) > noticed[0] && len(worker.said(lostData)) > noticed[1]
		})
		request(t, "GET", url+httpapi.JobPath(running.ID), nil).problem(t, 503, httpapi.StoreReset)
		fresh := submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 100}})
		if fresh = wait(t, c, fresh.ID); fresh.State != job.Succeeded {
			t.Errorf("%s: new job ended as %+v", round, fresh)
		}
		in.accept(t, url, running.ID)
		eventually(t, "the acceptance is noticed", func() bool {
			return len(web.said("whole again")) > noticed[0] && len(worker.said("whole again")) > noticed[1]
		})
		worker.await(t, `"msg":"run has lost its job","job_id":"`+string(running.ID))
	}
	for _, p := range []*process{web, worker} {
		select {
		case <-p.done:
			t.Error("a program has ended")
		default:
		}
	}
}

// lostData is what each program logs once when Redis comes back without its data.
const lostData = `"level":"ERROR","msg":"redis has lost its data`
