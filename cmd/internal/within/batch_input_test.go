package within

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"longshore/cmd/internal/cli"
	"longshore/internal/connect"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// A line's input may be another job's output, straight to Redis and through a
// server alike.
func TestBatchInput(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		t.Skip("needs a redis-server")
	}
	env := map[string]string{"REDIS_URL": redistest.URL(t), "BLOB_URL": "file://" + t.TempDir(),
		"PREFIX": redistest.Prefix(t)}
	owner := succeeded(t, env)
	file := filepath.Join(t.TempDir(), "lines")
	text := fmt.Sprintf(`{"type":"log.analyze","input":{"job":"%s"}}`+"\n"+
		`{"type":"log.analyze","input":{"job":"%s"}}`+"\n", owner, job.NewID(time.Now()))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"direct", "http"} {
		if way == "http" {
			env["LONGSHORE_URL"] = serveWeb(t, env)
		}
		code, stdout, stderr := directly(t, env, "batch", file, "--no-journal", "--format", "jsonl")
		answers := strings.Split(strings.TrimSpace(stdout), "\n")
		if code != cli.ExitOther || len(answers) != 2 {
			t.Fatalf("%s: exit code %d, stdout %s, stderr %s", way, code, stdout, stderr)
		}
		if a, err := httpapi.ParseBatchAnswer([]byte(answers[0])); err != nil || !a.Created {
			t.Errorf("%s: the good line: %s", way, answers[0])
		}
		if a, err := httpapi.ParseBatchAnswer([]byte(answers[1])); err != nil || a.Code != httpapi.NotFound ||
			a.Errors[0].Pointer != "/input/job" {
			t.Errorf("%s: the bad line: %s", way, answers[1])
		}
	}
}

// succeeded makes a job with one output, without a worker.
func succeeded(t *testing.T, env map[string]string) job.ID {
	t.Helper()
	code, stdout, stderr := directly(t, env, "submit", "file.compress", "-")
	if code != cli.ExitOK {
		t.Fatalf("exit code %d, stderr %s", code, stderr)
	}
	id := job.ID(strings.TrimSpace(stdout))
	sys, err := connect.Open(t.Context(), connect.Config{RedisURL: env["REDIS_URL"], BlobURL: env["BLOB_URL"],
		Prefix: env["PREFIX"]})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	fence := jobstore.NewFence()
	if _, err := sys.Store.Start(t.Context(), job.Ticket{ID: id, Delivery: 1, Type: "file.compress",
		Lane: job.LaneIO, Priority: job.Default}, fence, false); err != nil {
		t.Fatal(err)
	}
	end := jobstore.End{Outcome: jobstore.Succeeded,
		Outputs: []job.Output{{Name: "out.gz", Blob: string(id) + "/" + fence + "/out.gz", Size: 1}}}
	if _, err := sys.Store.Finish(t.Context(), id, fence, end); err != nil {
		t.Fatal(err)
	}
	return id
}
