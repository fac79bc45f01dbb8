//go:build linux

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/localredis"
	"longshore/job"
)

// waiters is how many clients wait at the same time. Each takes a descriptor
// of web and one of the swarm.
const waiters = 10_000

// swarmReport is what e2e/swarm prints at its end.
type swarmReport struct {
	States                       map[job.State]int
	Waits, Resets, Refused, Gave int64
	Late, Back                   int
	Example                      string
	Longest                      float64
}

// TestTenThousandWaiters lets that many clients wait while half of them are
// reset, Redis is killed and comes back, and web is told to end and started
// again. No wait takes longer than it may, every client that comes back learns
// the end of its job, and web holds nothing afterwards.
//
// It does not run beside the other tests of this folder: they would slow the
// clients down, and be slowed down themselves.
func TestTenThousandWaiters(t *testing.T) {
	in := installOn(t, localredis.Options{DataDir: t.TempDir()}, "LOG_LEVEL=info")
	syncAlways(t, in)
	port := freePort(t)
	web := func() *process {
		p := in.start(t, "web", "PORT="+port, fmt.Sprintf("MAX_WAITERS=%d", 2*waiters),
			fmt.Sprintf("MAX_WAITERS_PER_ADDRESS=%d", 2*waiters))
		p.await(t, `"msg":"web listens"`)
		return p
	}
	first := web()
	url := "http://127.0.0.1:" + port
	idle := first.openFiles(t)
	ids := submitPrimes(t, url, waiters)

	swarm, commands := startSwarm(t, url, ids)
	swarm.await(t, "parked")
	eventually(t, "all clients wait", func() bool { return first.openFiles(t) >= waiters })
	resident := residentMiB(t, first)
	if resident > 300 {
		t.Errorf("web holds %d MiB for %d waiters, want at most 300", resident, waiters)
	}
	fmt.Fprintln(commands, "reset")
	swarm.await(t, "reset")

	if err := in.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := in.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	syncAlways(t, in)
	eventually(t, "web is ready again", func() bool {
		r, err := tryRequest(t, "GET", url+httpapi.PathReady, nil)
		return err == nil && r.StatusCode == http.StatusOK
	})

	first.signal(os.Interrupt)
	if code := first.end(t, 27*time.Second); code != 0 {
		t.Errorf("web ended with %d", code)
	}
	second := web()
	in.worker(t) // the jobs run now that all the trouble is over
	report := swarmEnd(t, swarm)
	t.Logf("%d MiB for %d waiters; %d waits, %d resets, %d connections refused or cut, longest wait %.1f s",
		resident, waiters, report.Waits, report.Resets, report.Refused, report.Longest)
	if report.States[job.Succeeded] != waiters || report.Gave > 0 {
		t.Errorf("jobs ended as %v; %d clients never learned", report.States, report.Gave)
	}
	if report.Late > 0 || report.Back > 0 {
		t.Errorf("%d waits took too long, %d answers went back: %s", report.Late, report.Back, report.Example)
	}
	if report.Resets < waiters/3 {
		t.Errorf("invalid run: %d connections were reset", report.Resets)
	}
	eventually(t, "web holds no more descriptors than before", func() bool {
		return second.openFiles(t) <= idle+4
	})
	for name, p := range map[string]*process{"first web": first, "second web": second} {
		if said := p.said(`"level":"ERROR"`); len(said) > 0 {
			t.Errorf("%s logged errors: %v", name, said[0])
		}
	}
}

func submitPrimes(t *testing.T, url string, n int) []job.ID {
	t.Helper()
	ids := make([]job.ID, n)
	const body = `{"type":"math.primes","payload":{"n":100}}`
	http := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer http.CloseIdleConnections()
	var wg sync.WaitGroup
	for c := range 32 {
		wg.Go(func() {
			for i := c; i < n && !t.Failed(); i += 32 {
				resp, err := http.Post(url+httpapi.PathJobs, "application/json", strings.NewReader(body))
				if err != nil {
					t.Errorf("submit: %v", err)
					return
				}
				var snap job.Snapshot
				err = json.NewDecoder(resp.Body).Decode(&snap)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 202 {
					t.Errorf("submit: %s, %+v, %v", resp.Status, snap, err)
					return
				}
				ids[i] = snap.ID
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return ids
}

// startSwarm starts a client for each job.
func startSwarm(t *testing.T, url string, ids []job.ID) (*process, io.Writer) {
	t.Helper()
	folder := t.TempDir()
	program, list := filepath.Join(folder, "swarm"), filepath.Join(folder, "ids")
	if out, err := goBuild("", program, "./swarm").CombinedOutput(); err != nil {
		t.Fatalf("build swarm: %v\n%s", err, out)
	}
	var text strings.Builder
	for _, id := range ids {
		fmt.Fprintln(&text, id)
	}
	if err := os.WriteFile(list, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, url, list)
	commands, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return startCommand(t, cmd, nil), commands
}

func swarmEnd(t *testing.T, swarm *process) (r swarmReport) {
	t.Helper()
	if code := swarm.end(t, 4*time.Minute); code != 0 {
		t.Fatalf("swarm ended with %d", code)
	}
	last := swarm.tail(1)
	if err := json.NewDecoder(bufio.NewReader(strings.NewReader(last))).Decode(&r); err != nil {
		t.Fatalf("swarm: %v: %.200s", err, last)
	}
	return r
}

// descriptors counts the open files of a process.
func residentMiB(t *testing.T, p *process) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize() >> 20
}
