//go:build linux

package e2e

import (
	"fmt"
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

// TestDebounce runs the recipe of docs/flows.md: five submissions are one run, of the last.
func TestDebounce(t *testing.T) {
	t.Parallel()
	blocks := blocksOf(t, "../docs/flows.md", "bash")
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	in := install(t)
	folder := t.TempDir()
	_, url := in.web(t)
	shell := in.shell(t, url, folder)
	shell(blocks[0])
	in.worker(t, "FUNCTIONS_DIR="+folder)
	served(t, url, "search.index")
	shell(blocks[1])
	id := job.ID(strings.TrimSpace(shell("sort -u ids")))
	c := clientOf(t, url)
	if snap := look(t, c, id); snap.State != job.Succeeded || snap.Attempt != 1 ||
		count(t, c, job.Succeeded) != 1 {
		t.Errorf("%+v", snap)
	}
}

// TestOneOfAKey has many clients submit jobs of few keys while web and worker are killed: no two of a key
// ever run at once, and none is made while one is open.
func TestOneOfAKey(t *testing.T) {
	t.Parallel()
	in := install(t, "CPU_CONCURRENCY=8")
	web, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	var mu sync.Mutex
	made := map[job.ID]int{}
	submitFor := func(d time.Duration, c *client.Client) {
		var all sync.WaitGroup
		for k := range 4 {
			all.Go(func() {
				for begun := time.Now(); time.Since(begun) < d; {
					snap, err := c.Submit(t.Context(), primesOf(200_000, func(s *client.Submission) {
						s.UniqueKey = fmt.Sprint("key ", k%2)
					}))
					if err == nil {
						mu.Lock()
						made[snap.ID] = k % 2
						mu.Unlock()
					}
				}
			})
		}
		all.Wait()
	}
	submitFor(2*time.Second, c)
	worker.signal(syscall.SIGKILL)
	in.worker(t)
	submitFor(2*time.Second, c)
	web.signal(syscall.SIGKILL)
	_, url = in.web(t)
	c = clientOf(t, url)
	submitFor(2*time.Second, c)
	of := map[int][]job.Snapshot{}
	for id, k := range made {
		of[k] = append(of[k], wait(t, c, id))
	}
	for k, snaps := range of {
		slices.SortFunc(snaps, func(a, b job.Snapshot) int { return a.CreatedAt.Compare(b.CreatedAt) })
		for i, snap := range snaps {
			if snap.State != job.Succeeded {
				t.Errorf("%+v", snap)
			} else if i > 0 && snap.CreatedAt.Before(*snaps[i-1].FinishedAt) {
				t.Errorf("key %d: made at %v, the one before ended at %v", k, snap.CreatedAt, snaps[i-1].FinishedAt)
			}
		}
		t.Logf("key %d: %d jobs", k, len(snaps))
	}

	held := submit(t, c, primesOf(5, func(s *client.Submission) { s.UniqueKey, s.Hold = "held", "wait" }))
	for body, want := range map[string]string{
		`"unique_key":"held"`:                                             "202 " + string(held.ID),
		`"unique_key":"held","on_conflict":"refuse"`:                      "409 duplicate",
		`"unique_key":"held","on_conflict":"replace"`:                     "409 duplicate",
		`"unique_key":"` + strings.Repeat("k", 10<<10) + `"`:              "422 /unique_key",
		`"unique_key":"x","unique_until":"never"`:                         "422 /unique_until",
		`"unique_key":"x","on_conflict":"fight"`:                          "422 /on_conflict",
		`"unique_key":"x","on_conflict":"replace","unique_until":"ended"`: "422 /unique_until",
		`"unique_key":"x","max_wait":"5s"`:                                "422 /max_wait",
		`"unique_key":"x","on_conflict":"replace","max_wait":"1ms"`:       "422 /max_wait",
		`"unique_until":"started"`:                                        "422 /unique_until",
		`"max_wait":"5s"`:                                                 "422 /max_wait",
	} {
		r := request(t, "POST", url+httpapi.PathJobs, strings.NewReader(
			`{"type":"math.primes","payload":{"n":7},`+body+`}`))
		code, word, _ := strings.Cut(want, " ")
		if existing := r.Header.Get(httpapi.HeaderExisting) == "true"; existing != (code == "202") {
			t.Errorf("%s: %v", body, r.Header)
		}
		if fmt.Sprint(r.StatusCode) != code || !strings.Contains(string(r.body), word) {
			t.Errorf("%.60s: %d %s, want %s", body, r.StatusCode, r.body, want)
		}
	}
}
