//go:build linux

package e2e

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// ownWorker builds the example of a worker with types of its own.
var ownWorker = sync.OnceValue(func() error {
	dir, err := programs()
	if err != nil {
		return err
	}
	return goBuild(filepath.Join("..", "examples", "own-worker"), filepath.Join(dir, "own-worker"), ".").Run()
})

// TestOwnTypeBesideStockWorkers holds what README invites to: one worker with a
// type of its own beside three that don't know it. While it is away the job says
// so, the queues, the doctor and the log do; once it is there nobody waits longer than
// for a built-in type.
func TestOwnTypeBesideStockWorkers(t *testing.T) {
	t.Parallel()
	in := install(t, "CPU_CONCURRENCY=2")
	if err := ownWorker(); err != nil {
		t.Fatal(err)
	}
	own := in.start(t, "own-worker")
	own.await(t, `"msg":"worker takes jobs"`)
	_, url := in.web(t) // it loads the published types as it starts
	c := clientOf(t, url)
	for range 3 {
		in.worker(t)
	}
	fractal := client.Submission{Type: "fractal.render", Payload: map[string]int{"width": 16}}
	workers := func(what string, right func([]client.WorkerInfo) bool) {
		t.Helper()
		for late := time.Now().Add(20 * time.Second); ; {
			list, err := c.Workers(t.Context())
			if err != nil || time.Now().After(late) {
				t.Fatalf("%s: workers are %+v, %v", what, list, err)
			}
			if right(list) {
				return
			}
		}
	}
	draining := func(w client.WorkerInfo) bool { return w.State == httpapi.WorkerDraining }
	workers("all are there", func(list []client.WorkerInfo) bool {
		return len(list) == 4 && !slices.ContainsFunc(list, draining)
	})
	own.signal(syscall.SIGTERM)
	workers("the own one has gone", func(list []client.WorkerInfo) bool { return len(list) == 3 })

	lonely := submit(t, c, fractal)
	waitsForWorker(t, c, lonely.ID)
	parked := func(n int64) {
		t.Helper()
		want := httpapi.ParkedInfo{Type: "fractal.render", Pending: n}
		for late := time.Now().Add(20 * time.Second); ; {
			queues, err := c.Queues(t.Context())
			if err != nil || time.Now().After(late) {
				t.Fatalf("queues are %+v, %v", queues, err)
			}
			if slices.ContainsFunc(queues, func(q client.QueueInfo) bool {
				return q.Pending == n && slices.Contains(q.Parked, want)
			}) {
				return
			}
		}
	}
	parked(1)
	unwanted := submit(t, c, fractal)
	parked(2)
	if _, err := c.Cancel(t.Context(), unwanted.ID); err != nil {
		t.Fatal(err)
	}
	parked(1) // though no worker meets its ticket
	cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(own.cmd.Path), "enqueue"), "doctor")
	cmd.Env = append(slices.Clone(in.env), "LONGSHORE_URL="+url)
	if said, err := cmd.CombinedOutput(); err != nil ||
		!strings.Contains(string(said), "no worker takes their types: fractal.render") {
		t.Errorf("doctor: %v\n%s", err, said)
	}

	own = in.start(t, "own-worker")
	own.await(t, `"msg":"worker takes jobs"`)
	began := time.Now()
	if snap := wait(t, c, lonely.ID); snap.State != job.Succeeded || snap.Overall == nil ||
		*snap.Overall != 1 {
		t.Errorf("ended as %+v", snap)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it waited %v more once its worker was there", took)
	}
	var waits []time.Duration
	for range 10 {
		snap := wait(t, c, submit(t, c, fractal).ID)
		waits = append(waits, snap.StartedAt.Sub(snap.CreatedAt))
	}
	if slowest := slices.Max(waits); slowest > 3*time.Second {
		t.Errorf("with its worker there, a job waited %v", slowest)
	}
}

// TestQuietWorker holds SIGTSTP and SIGCONT: it takes nothing, stays and is
// listed as draining, and takes again.
func TestQuietWorker(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	c := clientOf(t, url)
	w := in.worker(t)
	primes := client.Submission{Type: "math.primes", Payload: map[string]int{"n": 1000}}
	wait(t, c, submit(t, c, primes).ID)
	for range 2 {
		w.signal(syscall.SIGTSTP)
		w.signal(syscall.SIGTSTP) // once is as good as twice
		eventually(t, "the worker is listed as draining", func() bool {
			list, err := c.Workers(t.Context())
			return err == nil && len(list) == 1 && list[0].State == httpapi.WorkerDraining
		})
		waiting := submit(t, c, primes)
		waitsForWorker(t, c, waiting.ID)
		w.signal(syscall.SIGCONT)
		if snap := wait(t, c, waiting.ID); snap.State != job.Succeeded {
			t.Fatalf("ended as %+v", snap)
		}
	}
}

// waitsForWorker asks until a job says that no worker takes it: that is no change, so
// nobody is told of it.
func waitsForWorker(t *testing.T, c *client.Client, id job.ID) {
	t.Helper()
	eventually(t, "the job waits for a worker", func() bool {
		snap, err := c.Get(t.Context(), id)
		return err == nil && snap.State == job.Queued && snap.WaitingFor == job.WaitingWorker
	})
}
