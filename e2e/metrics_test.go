//go:build linux

package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/localredis"
	"longshore/internal/tooltest"
	"longshore/job"
)

// TestMetrics scrapes a web and a worker that have run jobs, as Prometheus does, holds
// the answers to promtool, and dashboard and rules to the answers.
func TestMetrics(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	w := in.start(t, "worker", "METRICS_ADDR=127.0.0.1:0")
	w.await(t, `"msg":"worker takes jobs"`)
	worker := addressIn(t, w.await(t, `"msg":"metrics are served"`), `"address":"`)
	c := clientOf(t, url)
	for range 3 {
		wait(t, c, submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 10}}).ID)
	}
	bad, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.decompress"},
		strings.NewReader("\x1f\x8b no gzip"), -1)
	if err != nil {
		t.Fatal(err)
	}
	if snap := wait(t, c, bad.ID); snap.State != job.Failed {
		t.Fatalf("%+v", snap)
	}
	// is not due
	submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 10},
		RunAt: time.Now().Add(time.Hour)})
	// The answer is kept for a second, and an attempt is counted behind its end.
	eventually(t, "all are counted", func() bool {
		return strings.Contains(string(request(t, "GET", worker, nil).body),
			`state="succeeded",type="math.primes"} 3`)
	})
	texts := map[string]string{}
	for name, address := range map[string]string{"worker": worker, "web": url + httpapi.PathMetrics,
		"installation": url + httpapi.PathInstallation} {
		r := request(t, "GET", address, nil)
		if r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"),
			"text/plain; version=0.0.4") {
			t.Fatalf("%s: %s %s", name, r.Status, r.Header)
		}
		texts[name] = string(r.body)
		check := exec.Command(tooltest.Path(t, "promtool"), "check", "metrics")
		check.Stdin = strings.NewReader(texts[name])
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: promtool: %v\n%s", name, err, out)
		}
	}
	for _, want := range [][2]string{
		{"worker", `longshore_attempts_total{code="corrupt_input",state="failed",type="file.decompress"} 1`},
		{"worker", `longshore_job_wait_seconds_count{lane="cpu",priority="default"} 3`},
		{"worker", `longshore_job_run_seconds_count{type="math.primes"} 3`},
		{"worker", `longshore_worker_slots{lane="io"} `}, {"worker", `longshore_redis_seconds_count `},
		{"web", `longshore_connections `}, {"web", `longshore_redis_errors_total 0`},
		{"installation", `longshore_queue_waiting{lane="cpu",priority="default",queue="default"} 0`},
		{"installation", `longshore_workers{state="taking"} 1`},
		{"installation", `longshore_jobs 5`}, {"installation", `longshore_blobs_free_bytes `},
		{"installation", `longshore_redis_memory_bytes `},
	} {
		if !strings.Contains(texts[want[0]], "\n"+want[1]) {
			t.Errorf("%s has no %s:\n%s", want[0], want[1], texts[want[0]])
		}
	}
	namesAreThere(t, strings.Join([]string{texts["worker"], texts["web"], texts["installation"]}, "\n"))
}

// namesAreThere looks for the metrics that dashboard, rules and docs/metrics.md name.
func namesAreThere(t *testing.T, scraped string) {
	t.Helper()
	// These are there only with a limit, with a type that nobody takes, or with tasks that others pushed.
	seldom := []string{"longshore_redis_memory_limit_bytes", "longshore_queue_parked", "longshore_foreign_tasks",
		"longshore_trace_spans_total"}
	var dashboard struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile("../docs/prometheus/dashboard.json")
	if err != nil || json.Unmarshal(text, &dashboard) != nil || len(dashboard.Panels) < 10 {
		t.Fatalf("the dashboard: %v", err)
	}
	for _, file := range []string{"dashboard.json", "rules.yml", "../metrics.md"} {
		text, err := os.ReadFile("../docs/prometheus/" + file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\b(longshore|process)_[a-z_]+[a-z]`).FindAllString(string(text), -1)
		if len(names) < 8 {
			t.Errorf("%s names %d metrics", file, len(names))
		}
		for _, name := range names {
			if !slices.Contains(seldom, name) && !regexp.MustCompile(`(?m)^`+name+`[ {]`).
				MatchString(scraped) {
				if base := strings.TrimSuffix(name, "_seconds"); base == name ||
					!strings.Contains(scraped, "\n"+name+"_count") {
					t.Errorf("%s names %s, which no process tells", file, name)
				}
			}
		}
	}
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		cmd := exec.Command(tooltest.Path(t, "promtool"), args...)
		cmd.Dir = "../docs/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", args, err, out)
		}
	}
}

// TestMetricsWithoutRedis holds that the installation's numbers are refused while nobody
// knows them, and a process's own are not.
func TestMetricsWithoutRedis(t *testing.T) {
	t.Parallel()
	in := installOn(t, localredis.Options{})
	_, url := in.web(t)
	if r := request(t, "GET", url+httpapi.PathInstallation, nil); r.StatusCode != http.StatusOK {
		t.Fatalf("%s", r.Status)
	}
	if err := in.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its numbers are refused", func() bool {
		return request(t, "GET", url+httpapi.PathInstallation, nil).
			StatusCode == http.StatusServiceUnavailable
	})
	if r := request(t, "GET", url+httpapi.PathMetrics, nil); r.StatusCode != http.StatusOK ||
		!strings.Contains(string(r.body), "longshore_redis_errors_total") {
		t.Errorf("the process's own: %s", r.Status)
	}
}
