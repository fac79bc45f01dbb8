package within

import (
	"strings"
	"testing"

	"longshore/cmd/internal/cli"
	"longshore/internal/localredis/redistest"
)

// Over HTTP alone the doctor says which workers are there, and what none takes.
func TestDoctorOverHTTP(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		t.Skip("needs a redis-server")
	}
	env := map[string]string{"REDIS_URL": redistest.URL(t), "BLOB_URL": "file://" + t.TempDir(),
		"PREFIX": redistest.Prefix(t)}
	url := serveWeb(t, env)
	client := redistest.Client(t)
	look := func() string {
		code, stdout, stderr := directly(t, map[string]string{"LONGSHORE_URL": url}, "doctor")
		if code != cli.ExitOK {
			t.Fatalf("exit code %d, stdout %s, stderr %s", code, stdout, stderr)
		}
		return stdout
	}
	if text := look(); !strings.Contains(text, "none is alive") ||
		!strings.Contains(text, "no worker takes types") {
		t.Errorf("without workers: %s", text)
	}
	sign :=
		`redis.call('ZADD', KEYS[1], redis.call('TIME')[1] * 1000, '{"host":"box","pid":7,"slots":{"io":2}}')`
	if err := client.Eval(t.Context(), sign, []string{env["PREFIX"] + ":workers"}).Err(); err != nil &&
		err.Error() != "redis: nil" {
		t.Fatal(err)
	}
	text := look()
	_, types, _ := strings.Cut(text, "no worker takes types ")
	types, _, _ = strings.Cut(types, "\n")
	if !strings.Contains(text, "box, process 7: io × 2") || !strings.Contains(types, "math.primes") ||
		strings.Contains(types, "log.analyze") {
		t.Errorf("with a worker of lane io: %s", text)
	}
}
