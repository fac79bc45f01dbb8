//go:build linux

package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestLeakIsAlarmed has a job leak a megabyte a second: within a minute the worker says so in its log, in
// /v1/workers, in its metrics and to the doctor, and the profile that it keeps names the function.
func TestLeakIsAlarmed(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	program := filepath.Join(t.TempDir(), "leaker")
	if out, err := goBuild("", program, "./leaker").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w := startCommand(t, exec.Command(program), in.env)
	w.await(t, `"msg":"worker takes jobs"`)
	metrics := addressIn(t, w.await(t, `"msg":"metrics are served"`), `"address":"`)
	c := clientOf(t, url)
	if v := metricOf(t, metrics, "longshore_memory_alarm"); v != "0" {
		t.Errorf("before: %s", v)
	}
	var leak client.Submission
	eventually(t, "the type is known", func() bool {
		types, err := c.Types(t.Context())
		leak = client.Submission{Type: "test.leak"}
		return err == nil && slices.ContainsFunc(types, func(i client.TypeInfo) bool {
			return i.Type == leak.Type
		})
	})
	leaking := submit(t, c, leak)
	began := time.Now()
	var list []client.Profile
	for late := began.Add(4 * time.Minute); len(list) == 0; {
		var err error
		if list, err = c.Profiles(t.Context()); err != nil || time.Now().After(late) {
			t.Fatalf("no alarm within 4 minutes: %v\n%s", err, w.tail(5))
		}
		<-time.After(500 * time.Millisecond)
	}
	t.Logf("alarmed after %v: %s", time.Since(began).Round(time.Second), list[0].Why)
	w.await(t, `"msg":"memory alarm`)
	eventually(t, "the list of workers tells it", func() bool {
		sick, err := c.WorkerDetails(t.Context(), true)
		return err == nil && len(sick) == 1 && strings.Contains(sick[0].Alarm, "grew by") && len(sick[0].Bad) > 0 &&
			sick[0].Live > 40<<20 && sick[0].RSS > sick[0].Live
	})
	eventually(t, "the metrics tell it", func() bool {
		return metricOf(t, metrics, "longshore_memory_alarm") == "1"
	})
	env := append(slices.Clone(in.env), "LONGSHORE_URL="+url)
	if _, out, msg := call(t, "", env, "enqueue", "doctor"); !strings.Contains(out+msg, "its heap grew by") {
		t.Errorf("doctor says nothing:\n%s%s", out, msg)
	}
	if code, out, msg := call(t, "", env, "enqueue", "profiles"); code != 0 ||
		!strings.Contains(out, string(list[0].ID)) || !strings.Contains(out, "its heap grew by") {
		t.Errorf("profiles: %d %s%s", code, out, msg)
	}
	folder := t.TempDir()
	code, out, msg := call(t, "", env, "enqueue", "profiles", string(list[0].ID), "--out", folder)
	if code != 0 {
		t.Fatalf("profiles: %d %s%s", code, out, msg)
	}
	top, err := exec.Command("go", "tool", "pprof", "-top", "-sample_index=inuse_space",
		filepath.Join(folder, string(list[0].ID)+".heap")).Output()
	if _, table, _ := strings.Cut(string(top), "flat%"); err != nil ||
		!strings.Contains(strings.SplitN(table, "\n", 3)[1], "main.leakHere") {
		t.Errorf("the top of the profile is not the leak: %v\n%s", err, top)
	}
	if r := request(t, "GET", url+httpapi.PathProfiles+"/"+string(list[0].ID)+"/other", nil); r.StatusCode !=
		http.StatusNotFound {
		t.Errorf("another part: %s", r.Status)
	}
	if _, err := c.Cancel(t.Context(), leaking.ID); err != nil {
		t.Error(err)
	}
	wait(t, c, leaking.ID)
}

// metricOf is the value of a metric without labels.
func metricOf(t *testing.T, address, name string) string {
	t.Helper()
	for line := range strings.Lines(string(request(t, "GET", address, nil).body)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			return value
		}
	}
	return ""
}

// TestRecycling runs two workers that start themselves anew after some jobs: they stay the same processes,
// no job loses an attempt, one recycles at a time, and all is done.
func TestRecycling(t *testing.T) {
	t.Parallel()
	in := install(t)
	c := in.cluster(t, wholeProcfile, []string{"WORKER_MAX_JOBS=40"}, "web=1", "worker=2")
	c.ready(t)
	api := clientOf(t, c.address(t))
	before := append(c.pids(t, "worker.1"), c.pids(t, "worker.2")...)
	var ids []job.ID
	recycled := func() (n int) {
		gone, err := api.GoneWorkers(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range gone {
			if g.Why == "recycled" {
				n++
			}
		}
		return n
	}
	for late := time.Now().Add(4 * time.Minute); recycled() < 3; {
		if time.Now().After(late) {
			t.Fatalf("recycled %d times\n%s", recycled(), c.tail(20))
		}
		for range 20 {
			ids = append(ids, submit(t, api, client.Submission{Type: "math.primes",
				Payload: map[string]int{"n": 1000 + len(ids)}}).ID)
		}
		wait(t, api, ids[len(ids)-1])
	}
	for _, id := range ids {
		if snap := wait(t, api, id); snap.State != job.Succeeded || snap.Attempt != 1 {
			t.Errorf("%s ended %s in attempt %d", id, snap.State, snap.Attempt)
		}
	}
	if after := append(c.pids(t, "worker.1"), c.pids(t, "worker.2")...); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("processes were %v and are %v", before, after)
	}
	t.Logf("%d jobs, recycled %d times", len(ids), recycled())
}
