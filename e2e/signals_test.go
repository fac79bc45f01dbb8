//go:build linux

package e2e

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/loggen"
	"longshore/job"
)

// TestWorkerTerminated stops a worker with a running job: it ends in time, and
// the job runs on another one with no attempt lost.
func TestWorkerTerminated(t *testing.T) {
	t.Parallel()
	in := install(t, "SHUTDOWN_GRACE=12s", "KILL_GRACE=1s")
	_, url := in.web(t)
	c := clientOf(t, url)
	first := in.worker(t)
	long := submit(t, c, burner)
	short := submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int64{"n": 300_000_000}})
	before := poll(t, c, long.ID, "runs", runs)
	poll(t, c, short.ID, "runs", func(snap job.Snapshot) bool { return runs(snap) || snap.Done })

	began := time.Now()
	first.signal(syscall.SIGTERM)
	first.await(t, `"msg":"worker takes no more jobs`)
	first.signal(syscall.SIGTERM) // as Heroku does, to all processes and again
	first.signal(syscall.SIGTERM)
	if code := first.end(t, 60*time.Second); code != 0 {
		t.Errorf("worker exits with %d", code)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("worker took %v to stop, its grace was 12 s", took)
	}
	if snap := wait(t, c, short.ID); snap.State != job.Succeeded || snap.Attempt != 1 {
		t.Errorf("a job that fitted into the grace ended as %+v", snap)
	}
	if snap, err := c.Get(t.Context(), long.ID); err != nil || snap.State != job.Queued {
		t.Errorf("the other job: %+v, %v", snap, err)
	}
	in.worker(t)
	again := poll(t, c, long.ID, "runs again", runs)
	if again.Attempt != before.Attempt || len(again.Errors) > 0 || !again.StartedAt.After(*before.StartedAt) {
		t.Errorf("ran first as %+v\nthen as %+v", before, again)
	}
	asked := time.Now()
	if _, err := c.Cancel(t.Context(), long.ID); err != nil {
		t.Fatal(err)
	}
	if snap := wait(t, c, long.ID); snap.State != job.Canceled || time.Since(asked) > 20*time.Second {
		t.Errorf("canceled job ended after %v as %+v", time.Since(asked), snap)
	}
}

// TestWebTerminated stops a web process while clients wait at it, and while one
// uploads: all are answered.
func TestWebTerminated(t *testing.T) {
	t.Parallel()
	in := install(t)
	web, url := in.web(t)
	in.worker(t)
	id := request(t, "POST", url+httpapi.PathJobs,
		strings.NewReader(`{"type":"math.primes","payload":{"n":100000000000}}`)).snapshot(t).ID
	poll(t, clientOf(t, url), id, "runs", runs)

	upload := job.NewID(time.Now())
	conn := dial(t, url)
	conn.Write(
		[]byte(
			"POST /v1/jobs/file.checksum HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nLongshore-Job: " + string(upload) + "\r\nContent-Length: 6\r\n\r\nabc"))
	known(t, url, upload)
	poll(t, clientOf(t, url), upload, "has received something", func(snap job.Snapshot) bool {
		return snap.Progress != nil && snap.Progress.BytesDone == 3
	})

	const waiters = 50
	answers := make(chan reply, waiters)
	for range waiters {
		go func() {
			for {
				r, err := tryRequest(t, "GET", url+httpapi.JobPath(id)+"?wait=25s&until=done", nil)
				if err != nil {
					t.Errorf("a waiter was cut off: %v", err)
				}
				if err != nil || r.Close { // else its 25 s were over, and web does not stop yet
					answers <- r
					return
				}
			}
		}()
	}
	web.waitedOn(t, url, waiters)
	began := time.Now()
	web.signal(syscall.SIGTERM)
	web.signal(syscall.SIGTERM)
	for range waiters {
		if r := <-answers; r.Response != nil && (r.StatusCode != http.StatusOK ||
			r.snapshot(t).State != job.Running) {
			t.Errorf("a waiter got %s: %s", r.Status, r.body)
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("waiters were answered only after %v", took)
	}
	conn.Write([]byte("def"))
	var text bytes.Buffer
	if _, err := text.ReadFrom(conn); err != nil || !strings.HasPrefix(text.String(), "HTTP/1.1 202 ") {
		t.Errorf("the upload under way got %q, %v", text.String(), err)
	}
	if code := web.end(t, 30*time.Second); code != 0 {
		t.Errorf("web exits with %d", code)
	}
	_, other := in.web(t)
	if snap := wait(t, clientOf(t, other), upload); snap.State != job.Succeeded {
		t.Errorf("the uploaded job ended as %+v", snap)
	}
}

// TestSecondInterrupt ends programs at once, whatever their grace.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	in := install(t, "SHUTDOWN_GRACE=1h")
	_, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	poll(t, c, submit(t, c, burner).ID, "runs", runs)
	worker.signal(os.Interrupt)
	worker.await(t, `"msg":"worker takes no more jobs`)
	worker.signal(os.Interrupt)
	if code := worker.end(t, 10*time.Second); code != 130 {
		t.Errorf("worker exits with %d, want 130", code)
	}
}

// TestPausedWorker stops a worker for longer than its lease. Its jobs run
// elsewhere; when it goes on, what it made of them is not counted.
func TestPausedWorker(t *testing.T) {
	t.Parallel()
	in := install(t, "LEASE=4s")
	_, url := in.web(t)
	c := clientOf(t, url)
	paused := in.worker(t)
	primes := submit(t, c, client.Submission{Type: "math.primes",
		Payload: map[string]int64{"n": 4_000_000_000}})
	log := loggen.New(loggen.Options{Seed: 1, Bytes: 48 << 20})
	packed, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.compress",
		Fields: map[string][]string{"format": {"zstd"}, "level": {"9"}}}, log, -1)
	if err != nil {
		t.Fatal(err)
	}
	ids := []job.ID{primes.ID, packed.ID}
	for _, id := range ids {
		poll(t, c, id, "runs", runs)
	}
	paused.signal(syscall.SIGSTOP)
	in.worker(t)
	var ended []job.Snapshot
	for _, id := range ids {
		snap := wait(t, c, id)
		if snap.State != job.Succeeded || snap.Attempt != 1 ||
			len(paused.said(`"msg":"run ended","job_id":"`+string(id))) > 0 {
			t.Fatalf("job ended as %+v", snap)
		}
		ended = append(ended, snap)
	}
	paused.signal(syscall.SIGCONT)
	for i, id := range ids {
		// It learns of it at its next renewal, or when it tells its result.
		eventually(t, "the paused worker has lost its job", func() bool {
			lost := paused.said(`"msg":"run has lost its job","job_id":"` + string(id))
			refused := paused.said(
				`"msg":"end of a run not counted: the job was given to another one","job_id":"` + string(id))
			return len(lost)+len(refused) > 0
		})
		if diff := cmp.Diff(ended[i], wait(t, c, id)); diff != "" {
			t.Errorf("the end of a job has changed:\n%s", diff)
		}
	}
	eventually(t, "only one run's output is kept", func() bool { return len(in.files(t)) == 2 })
	got := request(t, "GET", url+httpapi.ResultPath(packed.ID), nil)
	if got.StatusCode != http.StatusOK || int64(len(got.body)) != ended[1].Outputs[0].Size {
		t.Errorf("the output: %s, %d bytes", got.Status, len(got.body))
	}
	paused.signal(syscall.SIGTERM)
	if code := paused.end(t, 30*time.Second); code != 0 {
		t.Errorf("the paused worker exits with %d", code)
	}
}
