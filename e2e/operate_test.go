//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/client"
	"longshore/job"
)

// nightJob is a function that logs, and fails unless it is told another way.
const nightJob = `payload=$(cat "$LONGSHORE_PAYLOAD")
echo "begins $payload" >&2
case "$payload" in
*wait*) sleep 60 ;;
*good*) echo '{"fine":true}'; exit 0 ;;
esac
echo "can't open \"disk 7\" at 1234" >&2
exit 1
`

// nightInstallation has a web process, and a worker with nightJob.
func nightInstallation(t *testing.T) (url string, c *client.Client,
	enqueue func(args ...string) (code int, stdout, stderr string)) {
	t.Helper()
	in := install(t)
	folder := t.TempDir()
	if code, _, stderr := call(t, "", []string{"FUNCTIONS_DIR=" + folder}, "enqueue", "functions", "init", "sh",
		"night.job"); code != 0 {
		t.Fatal(code, stderr)
	}
	if err := os.WriteFile(filepath.Join(folder, "night.job", "main.sh"), []byte(nightJob),
		0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "night.job", "function.json"),
		[]byte(
			`{"doc":"A job of the night.","payload":{"type":"object"},"input":"none","max_attempts":1,"timeout":"90s"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, url = in.web(t)
	in.worker(t, "FUNCTIONS_DIR="+folder)
	served(t, url, "night.job")
	env := []string{"LONGSHORE_URL=" + url}
	return url, clientOf(t, url), func(args ...string) (int, string, string) {
		return call(t, "", env, "enqueue", args...)
	}
}

// TestBadNight runs the command lines of the operator's table in docs/operate.md, on an installation on
// which there is something to see, and calls its paths.
func TestBadNight(t *testing.T) {
	t.Parallel()
	url, c, enqueue := nightInstallation(t)
	fails := wait(t, c,
		submit(t, c, client.Submission{Type: "night.job", Payload: map[string]string{"a": "1"},
			Labels: job.Labels{"user": "7"}}).ID)
	more := wait(t, c,
		submit(t, c, client.Submission{Type: "night.job", Payload: map[string]string{"a": "2"}}).ID)
	runs := submit(t, c, client.Submission{Type: "night.job", Payload: map[string]string{"wait": "1"}})
	poll(t, c, runs.ID, "runs", func(s job.Snapshot) bool { return s.State == job.Running })
	if fails.State != job.Failed || more.State != job.Failed {
		t.Fatalf("%+v", fails)
	}
	workers, err := c.WorkerDetails(t.Context(), false)
	if err != nil || len(workers) != 1 || workers[0].ID == "" {
		t.Fatalf("workers %+v, %v", workers, err)
	}
	failures, err := c.Failures(t.Context(), client.JobFilter{})
	if err != nil || len(failures.Groups) != 1 || failures.Groups[0].N != 2 {
		t.Fatalf("failures %+v, %v", failures, err)
	}
	text, err := os.ReadFile("../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("WORKER", workers[0].ID, "GROUP", failures.Groups[0].Group, "RUNNING",
		string(runs.ID), "ID", string(fails.ID), "TYPE", "night.job")
	rows := regexp.MustCompile(`(?m)^\| \d+ \| .*$`).FindAllString(string(text), -1)
	if len(rows) < 20 {
		t.Fatalf("the table has %d questions", len(rows))
	}
	code := regexp.MustCompile("`([^`]+)`")
	for _, row := range rows {
		cells := strings.Split(row, " | ")
		if len(cells) < 5 {
			t.Fatalf("row %q", row)
		}
		for _, path := range code.FindAllStringSubmatch(cells[3], -1) {
			method, target, _ := strings.Cut(path[1], " ")
			if method != "GET" {
				continue // what changes things the command line does
			}
			r, err := http.Get(url + fill.Replace(target)) //nolint:noctx // of a test
			if err != nil {
				t.Fatal(err)
			}
			if r.StatusCode != http.StatusOK {
				body, _ := io.ReadAll(r.Body)
				t.Errorf("%s: %d %s", path[1], r.StatusCode, body)
			}
			r.Body.Close()
		}
		for _, line := range code.FindAllStringSubmatch(cells[4], -1) {
			words := strings.Fields(fill.Replace(line[1]))
			if words[0] != "enqueue" {
				t.Fatalf("line %q", line[1])
			}
			if got, stdout, stderr := enqueue(words[1:]...); got != 0 || stdout == "" && !quietly(words[1]) {
				t.Errorf("%s: exit code %d\nstdout: %s\nstderr: %s", line[1], got, stdout, stderr)
			}
		}
	}
	// The label, which the retry keeps.
	list, err := c.ListPage(t.Context(), client.Filter{Narrow: client.JobFilter{Label: "user=7"}}, 10, "")
	if err != nil || len(list.Jobs) != 2 || list.Jobs[0].RetryOf != fails.ID ||
		list.Jobs[1].Labels["user"] != "7" {
		t.Errorf("jobs of user 7: %+v, %v", list.Jobs, err)
	}
	// What the lines did.
	if snap, err := c.Get(t.Context(), runs.ID); err != nil || !snap.CancelRequested {
		t.Errorf("the job that runs: %+v, %v", snap, err)
	}
	counts, err := c.Count(t.Context(), "night.job")
	if err != nil || counts.Retried != 2 {
		t.Errorf("counts %+v, %v", counts, err)
	}
}

// quietly tells commands that say nothing where all is well.
func quietly(command string) bool {
	return command == "resume" || command == "pause"
}

// TestRetryWithChanges runs a failed job again with another payload, once.
func TestRetryWithChanges(t *testing.T) {
	t.Parallel()
	_, c, enqueue := nightInstallation(t)
	old := wait(t, c,
		submit(t, c, client.Submission{Type: "night.job", Payload: map[string]string{"a": "1", "b": "2"}}).ID)
	code, stdout, stderr := enqueue("retry", string(old.ID), "--set", "a=good")
	if code != 0 {
		t.Fatal(code, stderr)
	}
	id := job.ID(strings.TrimSpace(stdout))
	if snap := wait(t, c, id); snap.State != job.Succeeded || snap.RetryOf != old.ID {
		t.Errorf("retry %+v", snap)
	}
	if code, _, stderr = enqueue("retry", string(old.ID)); code != 1 ||
		!strings.Contains(stderr, string(id)) {
		t.Errorf("again: exit code %d, %s", code, stderr)
	}
	if code, _, stderr = enqueue("retry", string(old.ID), "--again", "--payload", `{"a":"good"}`); code != 0 {
		t.Errorf("once more: %d, %s", code, stderr)
	}
	if code, _, _ = enqueue("retry", "--state", "failed"); code != 2 && code != 0 {
		t.Errorf("nobody to ask: %d", code)
	}
}

// TestLogs reads the log of a job while it runs and afterwards: the same lines with the same numbers.
func TestLogs(t *testing.T) {
	t.Parallel()
	_, c, _ := nightInstallation(t)
	snap := submit(t, c, client.Submission{Type: "night.job", Payload: map[string]string{"a": "1"}})
	read := func(follow bool) (lines []client.LogLine) {
		t.Helper()
		for l, err := range c.Logs(t.Context(), snap.ID, 0, follow) {
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, l)
		}
		return lines
	}
	followed := read(true)
	last := len(followed) - 1
	if last != 2 || !followed[last].End || followed[last].State != job.Failed || followed[last].Incomplete ||
		!strings.HasPrefix(followed[0].Msg, "begins ") || followed[0].Attempt != 1 {
		t.Fatalf("followed: %+v", followed)
	}
	for range 3 {
		if again := read(false); !slices.Equal(again, followed) {
			t.Errorf("afterwards: %+v\nfollowed: %+v", again, followed)
		}
	}
	story, err := c.Timeline(t.Context(), snap.ID)
	if err != nil || story.Entries[0].What != "created" ||
		story.Entries[len(story.Entries)-1].What != "finished" {
		t.Errorf("timeline %+v, %v", story, err)
	}
}

// TestPausesHold holds a type and a queue back, over a restart of all processes, and lets go.
func TestPausesHold(t *testing.T) {
	t.Parallel()
	in := install(t)
	web, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	if _, err := c.Pause(t.Context(), "math.primes", client.PauseRequest{Why: "a test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Pause(t.Context(), "io-default", client.PauseRequest{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker knows", func() bool {
		snap := submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int64{"n": 100}})
		if ended(t, c, snap.ID) {
			return false
		}
		snap, err := c.Get(t.Context(), snap.ID)
		return err == nil && snap.State == job.Queued && snap.WaitingFor == job.WaitingPaused
	})
	snap := submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int64{"n": 100}})
	for _, p := range []*process{web, worker} {
		p.cmd.Process.Kill()
		<-p.done
	}
	_, url = in.web(t)
	in.worker(t)
	c = clientOf(t, url)
	pauses, err := c.Pauses(t.Context())
	if err != nil || len(pauses) != 2 || pauses[1].Why != "a test" {
		t.Fatalf("after the restart: %+v, %v", pauses, err)
	}
	other := submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int64{"n": 100},
		Priority: job.High})
	for _, id := range []job.ID{snap.ID, other.ID} {
		if ended(t, c, id) {
			t.Errorf("%s is paused, and has ended", id)
		}
	}
	env := []string{"LONGSHORE_URL=" + url}
	for command, want := range map[string]string{"timeline " + string(snap.ID): "math.primes is paused by",
		"doctor": "math.primes is paused, by",
		"cancel --state queued --type math.primes --dry-run": string(snap.ID)} {
		_, stdout, stderr := call(t, "", env, "enqueue", strings.Fields(command)...)
		if said := stdout + stderr; !strings.Contains(said, want) ||
			!strings.Contains(said, "a test") && !strings.HasPrefix(command, "cancel") {
			t.Errorf("%s: %s", command, said)
		}
	}
	if s, err := c.Get(t.Context(), snap.ID); err != nil || s.CancelRequested {
		t.Errorf("after a dry run: %+v, %v", s, err)
	}
	for _, name := range []string{"math.primes", "io-default"} {
		if err := c.Resume(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []job.ID{snap.ID, other.ID} {
		if now := wait(t, c, id); now.State != job.Succeeded {
			t.Errorf("resumed: %+v", now)
		}
	}
}

// TestDrain drains a worker by a message, and has it take again.
func TestDrain(t *testing.T) {
	t.Parallel()
	_, c, enqueue := nightInstallation(t)
	workers, err := c.WorkerDetails(t.Context(), false)
	if err != nil || len(workers) != 1 {
		t.Fatal(workers, err)
	}
	code, stdout, stderr := enqueue("drain", workers[0].ID, "--why", "a test", "--format", "json")
	var o client.Operation
	if code != 0 || json.Unmarshal([]byte(stdout), &o) != nil || !o.Done || o.Workers[0].Outcome != "ok" {
		t.Fatalf("%d %s %s", code, stdout, stderr)
	}
	eventually(t, "it drains", func() bool {
		workers, err := c.WorkerDetails(t.Context(), false)
		return err == nil && len(workers) == 1 && workers[0].State == "draining"
	})
	snap := submit(t, c, client.Submission{Type: "night.job", Payload: map[string]string{"a": "good"}})
	if ended(t, c, snap.ID) {
		t.Error("a drained worker ran a job")
	}
	if code, _, stderr = enqueue("resume", workers[0].ID); code != 0 {
		t.Fatal(stderr)
	}
	if now := wait(t, c, snap.ID); now.State != job.Succeeded {
		t.Errorf("%+v", now)
	}
	// Told to stop it ends, and is told of.
	if _, err := c.TellWorker(t.Context(), workers[0].ID, "stop", client.WorkerMessage{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool {
		gone, err := c.GoneWorkers(t.Context(), "1h")
		return err == nil && len(gone) == 1 && gone[0].ID == workers[0].ID && gone[0].Why == "stopped"
	})
}

// ended tells whether a job ends within a moment in which a worker that may take it would have run it.
func ended(t *testing.T, c *client.Client, id job.ID) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := c.Wait(ctx, id)
	return err == nil
}
