package within

import (
	"strings"
	"testing"

	"longshore/cmd/internal/cli"
	"longshore/internal/localredis/redistest"
)

// The doctor tells all of one job, says that counters were taken away, and counts anew.
func TestDoctorMendsRecords(t *testing.T) {
	t.Parallel()
	env := map[string]string{"REDIS_URL": redistest.URL(t), "BLOB_URL": "file://" + t.TempDir(),
		"PREFIX": redistest.Prefix(t)}
	enqueue := func(want int, args ...string) string {
		t.Helper()
		code, stdout, stderr := directly(t, env, args...)
		if code != want {
			t.Fatalf("enqueue %q: exit code %d, stdout %s, stderr %s", args, code, stdout, stderr)
		}
		return stdout + stderr
	}
	// what follows is stderr
	id := strings.Fields(enqueue(cli.ExitOK, "submit", "math.primes", "--set", "n=7"))[0]
	if said := enqueue(cli.ExitOK, "doctor", "--record", id); !strings.Contains(said,
		"queued, rev 1, delivery 1") ||
		!strings.Contains(said, "type math.primes, queue cpu-default") ||
		!strings.Contains(said, "its task exists: true") {
		t.Errorf("of a job: %s", said)
	}
	if said := enqueue(cli.ExitOK, "doctor", "--record", id, "--format", "json"); !strings.Contains(said,
		`"payload": "7 bytes"`) {
		t.Errorf("as JSON: %s", said)
	}
	if said := enqueue(cli.ExitOK, "doctor"); !strings.Contains(said, "none is damaged") {
		t.Errorf("before: %s", said)
	}
	redistest.Client(t).Set(t.Context(), env["PREFIX"]+":{0}:n", "strange", 0)
	enqueue(cli.ExitOK, "submit", "math.primes", "--set", "n=7")
	if said := enqueue(cli.ExitOK, "doctor"); !strings.Contains(said, "run enqueue doctor --fix") {
		t.Errorf("after counters were taken away: %s", said)
	}
	if said := enqueue(cli.ExitOK, "doctor", "--fix"); !strings.Contains(said, "2 jobs: 0 lacked something") {
		t.Errorf("fix: %s", said)
	}
	if said := enqueue(cli.ExitOK, "doctor"); !strings.Contains(said, "none is damaged") {
		t.Errorf("after it: %s", said)
	}
	enqueue(cli.ExitUsage, "doctor", "--fix", "--record", id)
	enqueue(cli.ExitUsage, "doctor", "--record", "no id")
	enqueue(cli.ExitNotFound, "doctor", "--record", "0199c0de-0000-7000-8000-000000000009")
}
