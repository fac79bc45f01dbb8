package operate

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/job"
)

// sampledAgo writes the counters as they are now where a sample of some minutes ago stands.
func (b *bench) sampledAgo(minutes int64) {
	b.Helper()
	now, err := b.clock(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	at := now.Add(-time.Duration(minutes) * time.Minute)
	text, err := b.sampleNow(b.Context(), at)
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range rings {
		b.Redis.HSet(b.Context(), b.ringKey(r), at.UnixMilli()/r.step.Milliseconds()%r.slots, text)
	}
}

// TestStats holds that each job's coming and end is counted in one step, that what happened while nobody took
// samples is spread over it, and that a tenant has its own numbers.
func TestStats(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stats := func(by access.View, window, kind string) answer.Stats {
		t.Helper()
		s, err := b.Stats(t.Context(), by, window, kind)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := stats(access.Everything, "", ""); len(s.Points) != 0 || s.Window != "1h" || s.StepMS != 60_000 {
		t.Errorf("of nothing: %+v", s)
	}
	b.fail("test.job", job.HandlerError, "a")
	b.sampledAgo(7)
	b.fail("test.job", job.HandlerError, "b", "c", "d")
	b.sampledAgo(4)
	b.failOf(access.Owner{Tenant: "acme"}, "test.more", job.HandlerError, "e", "f")
	for by, want := range map[access.View][2]int64{access.Everything: {5, 3}, {Tenant: "acme"}: {2, 0},
		{Tenant: access.DefaultTenant}: {3, 3}, {Tenant: "nobody"}: {}} {
		var failed, early int64
		s := stats(by, "1h", "")
		for i, p := range s.Points {
			if failed += p.Ended[job.Failed]; i < 3 {
				early += p.Ended[job.Failed]
				if n := p.Ended[job.Failed]; want[1] > 0 && n != 1 {
					t.Errorf("%v: a minute of three has %d of 3", by, n)
				}
			}
			if i > 0 && p.At.Sub(s.Points[i-1].At) != time.Minute {
				t.Errorf("minutes are %v and %v", s.Points[i-1].At, p.At)
			}
		}
		if len(s.Points) != 8 || failed != want[0] || early != want[1] {
			t.Errorf("%v: %d, early %d, of %d points, want %v", by, failed, early, len(s.Points), want)
		}
	}
	var created int64
	for _, p := range stats(access.Everything, "24h", "test.more").Points {
		created += p.Created
	}
	if created != 2 {
		t.Errorf("of one type %d came", created)
	}
	if _, err := b.Stats(t.Context(), access.Everything, "2h", ""); refusalCode(err) != httpapi.Invalid {
		t.Error(err)
	}
	one := access.View{Tenant: "acme", Subject: "ann"}
	if _, err := b.Stats(t.Context(), one, "", ""); refusalCode(err) != httpapi.Forbidden {
		t.Error(err)
	}
}

// TestSampleOnce holds that of many processes one takes a minute's sample, and that strange texts in the ring
// are no samples.
func TestSampleOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		if err := errors.Join(b.Sample(t.Context()), b.Sample(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	ring := b.ringKey(rings["1h"])
	if n := b.Redis.HLen(t.Context(), ring).Val(); n < 1 || n > 2 { // a minute may have begun
		t.Errorf("%d samples", n)
	}
	for i := range 120 {
		b.Redis.HSetNX(t.Context(), ring, strconv.Itoa(i), "strange")
	}
	if s, err := b.Stats(t.Context(), access.Everything, "1h", ""); err != nil || len(s.Points) < 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestRunTimes holds that the half and 95 of 100 runs are told to the next power of √2, by type.
func TestRunTimes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	runs := Runs{"quick": new([RunBuckets]uint32), "slow": new([RunBuckets]uint32)}
	for range 90 {
		runs["quick"][RunBucket(10*time.Millisecond)]++
	}
	for range 10 {
		runs["slow"][RunBucket(time.Minute)]++
	}
	runs["slow"][RunBucket(1000*time.Hour)]++
	if err := b.NoteRuns(t.Context(), runs); err != nil {
		t.Fatal(err)
	}
	for _, window := range []string{"1h", "24h"} {
		s, err := b.Stats(t.Context(), access.Everything, window, "")
		if err != nil || s.RunMS == nil || *s.RunMS != (answer.RunTimes{N: 101, P50: 11, P95: 65536}) {
			t.Errorf("%s: %+v, %v", window, s.RunMS, err)
		}
		s, err = b.Stats(t.Context(), access.Everything, window, "quick")
		if err != nil || s.RunMS == nil || *s.RunMS != (answer.RunTimes{N: 90, P50: 11, P95: 11}) {
			t.Errorf("quick in %s: %+v, %v", window, s.RunMS, err)
		}
	}
	if s, _ := b.Stats(t.Context(), access.View{Tenant: "acme"}, "", ""); s.RunMS != nil {
		t.Error("a tenant sees how long all runs took")
	}
}
