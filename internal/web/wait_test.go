package web_test

import (
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// TestWaitForAStalledStore looks for a wait's answer within a second of its
// end, though the store takes the last look and never answers.
func TestWaitForAStalledStore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := newSnapshot(job.Running, 2)
	b.store.put(snap)
	b.store.mu.Lock()
	b.store.stalls = true
	b.store.mu.Unlock()
	for _, path := range []string{"/v1/jobs/" + string(snap.ID) + "?wait=100ms", "/v1/jobs?id=" +
		string(snap.ID) + ".1&wait=100ms"} {
		begun := time.Now()
		b.do("GET", path, "").problem(503, httpapi.Unavailable)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s was answered after %v, want at most 1.1 s", path, took)
		}
	}
}
