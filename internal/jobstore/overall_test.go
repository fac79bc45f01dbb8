package jobstore

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"longshore/job"
)

// TestOverallNeverGoesBack follows the fraction of the whole from the first byte
// through a failed attempt to the result.
func TestOverallNeverGoesBack(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	n := simple()
	n.UploadFence = NewFence()
	mustCreate(t, s, n)
	sees := func(want float64) {
		t.Helper()
		snap, err := s.Get(t.Context(), n.ID)
		if err != nil {
			t.Fatal(err)
		}
		if want < 0 && snap.Overall == nil || want >= 0 && snap.Overall != nil && *snap.Overall == want {
			return
		}
		t.Errorf("%s: overall is %v, want %v", snap.State, snap.Overall, want)
	}
	beat := func(fence string, p job.Progress) {
		t.Helper()
		if replies, err := s.Beats(t.Context(),
			[]Beat{{ID: n.ID, Fence: fence, Renew: true, Progress: &p}}); err != nil ||
			replies[0].Err != nil {
			t.Fatal(replies, err)
		}
	}
	half := 0.5
	sees(-1)
	p := job.Progress{Phase: job.PhaseUpload, BytesDone: 50, BytesTotal: 100}
	new(job.Meter).Measure(&p, time.Now(), 50, 100)
	beat(n.UploadFence, p)
	sees(0.25)
	ticket, err := s.Uploaded(t.Context(), n.ID, n.UploadFence, Spec{Input: &Input{Blob: "x", Size: 100}})
	if err != nil {
		t.Fatal(err)
	}
	sees(0.5)
	fence := NewFence()
	st, err := s.Start(t.Context(), ticket, fence, false)
	if err != nil || st.Reached != 0.5 || st.Wait < 0 {
		t.Fatalf("started with %+v, %v", st, err)
	}
	sees(0.5)
	beat(fence, job.Progress{Phase: job.PhaseRun, Fraction: &half, Reached: 0.75})
	sees(0.75)
	beat(fence, job.Progress{Phase: job.PhaseRun, Records: 3, Reached: 0.75})
	sees(-1) // of a run that doesn't know
	e, err := s.Finish(t.Context(), n.ID, fence,
		End{Outcome: Release, Progress: &job.Progress{Phase: job.PhaseRun, Records: 3, Reached: 0.75}})
	if err != nil {
		t.Fatal(err)
	}
	sees(0.75)
	fence = NewFence()
	if st, err = s.Start(t.Context(), e.Ticket, fence, false); err != nil || st.Reached != 0.75 {
		t.Fatalf("started again with %+v, %v", st, err)
	}
	if _, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Succeeded}); err != nil {
		t.Fatal(err)
	}
	sees(1)
}

// TestLostLeaseIsLogged holds the one line that a worker's death leaves for a job.
func TestLostLeaseIsLogged(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	var log bytes.Buffer
	s.sweeper.Log = slog.New(slog.NewTextHandler(&log, nil))
	n := simple()
	s.started(t, n)
	s.turn(t, 20*time.Second)
	said := log.String()
	if strings.Count(said, "lease lost") != 1 || !strings.Contains(said, "job_id="+string(n.ID)) ||
		!strings.Contains(said, "type=test.job") ||
		!strings.Contains(said, "state=queued") {
		t.Errorf("log:\n%s", said)
	}
}
