//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/localredis"
)

// batchFile writes lines of n jobs and returns the file's name.
func batchFile(t *testing.T, n int) string {
	t.Helper()
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `{"type":"math.primes","payload":{"n":%d},"priority":"low"}`+"\n", i)
	}
	name := filepath.Join(t.TempDir(), "jobs.ndjson")
	if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// journaled returns the ids in the journal beside a file.
func journaled(t *testing.T, file string) (ids []string) {
	t.Helper()
	text, err := os.ReadFile(file + ".journal")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var e struct{ Jobs []struct{ IDs []string } }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("journal line %q: %v", line, err)
		}
		for _, run := range e.Jobs {
			ids = append(ids, run.IDs...)
		}
	}
	return ids
}

// exactly checks that the installation has these jobs and no other.
func exactly(t *testing.T, url string, n int, ids []string) {
	t.Helper()
	have := map[string]bool{}
	for snap, err := range clientOf(t, url).List(t.Context(), client.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		have[string(snap.ID)] = true
	}
	distinct := slices.Compact(slices.Sorted(slices.Values(ids)))
	if len(have) != n || len(ids) != n || len(distinct) != n {
		t.Fatalf("%d jobs, %d ids in the journal (%d distinct), want %d", len(have), len(ids), len(distinct), n)
	}
	for _, id := range ids {
		if !have[id] {
			t.Fatalf("job %s of the journal is not there", id)
		}
	}
}

// journalGrows waits until the journal has at least so many bytes.
func journalGrows(t *testing.T, p *process, file string, size int64) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); ; {
		if info, err := os.Stat(file + ".journal"); err == nil && info.Size() >= size {
			return
		}
		select {
		case <-p.done:
			return // faster than we looked: the next run finds all done
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(until) {
			t.Fatalf("the journal does not grow; enqueue said\n%s", p.tail(10))
		}
	}
}

// TestBatchKilled kills enqueue at several points, with SIGKILL and with an
// interrupt, and runs it again each time: in the end each line is one job.
func TestBatchKilled(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	for _, way := range []struct {
		name, url string
		n, begin  int
	}{{"direct", "", 6_000, 0}, {"http", url, 6_000, 6_000}} {
		file := batchFile(t, way.n)
		env := append(in.env[:len(in.env):len(in.env)], "LONGSHORE_URL="+way.url)
		killed := 0
		for i, size := range []int64{60, 20_000, 60_000, 110_000, 160_000} {
			p := startProgram(t, "", env, "enqueue", "batch", file)
			journalGrows(t, p, file, size)
			if i == 2 {
				p.signal(syscall.SIGINT)
			} else {
				p.signal(syscall.SIGKILL)
			}
			if p.end(t, 20*time.Second) != 0 {
				killed++
			}
		}
		if killed < 3 {
			t.Errorf("%s: only %d runs were killed", way.name, killed)
		}
		if code, _, stderr := call(t, "", env, "enqueue", "batch", file); code != 0 ||
			!strings.Contains(stderr, " before") {
			t.Fatalf("%s: the last run ends with %d: %s", way.name, code, stderr)
		}
		ids := journaled(t, file)
		if way.begin == 0 {
			exactly(t, url, way.n, ids)
			continue
		}
		if distinct := slices.Compact(slices.Sorted(slices.Values(ids))); len(distinct) != way.n {
			t.Errorf("%s: %d ids for %d lines", way.name, len(distinct), way.n)
		}
		count := 0
		for _, err := range clientOf(t, url).List(t.Context(), client.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			count++
		}
		if count != way.begin+way.n {
			t.Errorf("%s: %d jobs, want %d", way.name, count, way.begin+way.n)
		}
	}
}

// TestBatchWebRestart kills the web server while a batch goes through it, and
// starts another on its port: enqueue goes on, and each line is one job.
func TestBatchWebRestart(t *testing.T) {
	t.Parallel()
	in := installOn(t, localredis.Options{})
	web, url := in.web(t)
	port := url[strings.LastIndex(url, ":")+1:]
	const n = 8_000
	file := batchFile(t, n)
	p := startProgram(t, "", append(in.env[:len(in.env):len(in.env)], "LONGSHORE_URL="+url), "enqueue",
		"batch", file)
	for i, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		journalGrows(t, p, file, int64(40_000+i*120_000))
		web.signal(how)
		web.end(t, 30*time.Second)
		web, _ = in.web(t, "PORT="+port)
	}
	if code := p.end(t, 60*time.Second); code != 0 {
		t.Fatalf("enqueue ends with %d:\n%s", code, p.tail(5))
	}
	exactly(t, url, n, journaled(t, file))
}

// TestBatchWaits runs a batch to the end of its jobs.
func TestBatchWaits(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	env := append(in.env[:len(in.env):len(in.env)], "LONGSHORE_URL="+url)
	code, stdout, stderr := call(t, "", env, "enqueue", "batch", batchFile(t, 300), "--wait", "--format",
		"json")
	if code != 0 || !strings.Contains(stdout, `"submitted": 300`) ||
		!strings.Contains(stderr, "300 of 300 jobs ended: 300 succeeded") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := call(t, "", env, "enqueue", "doctor"); code != 0 ||
		!strings.Contains(stdout, "workers") || strings.Contains(stdout, "none is alive") {
		t.Errorf("doctor: exit code %d\n%s", code, stdout)
	}
}
