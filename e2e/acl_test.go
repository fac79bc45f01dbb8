//go:build linux

package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// TestLeastRights runs the programs as the Redis user that docs/security.md describes, whom Redis lets
// do nothing else, and asks Redis's own log whether it refused anything.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	in := installOn(t, localredis.Options{TCP: true})
	admin := redistest.ClientOf(t, in.redis.URL())
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	rights := regexp.MustCompile("(?s)```\nuser longshore (on >PASSWORD .*?)```").FindSubmatch(text)
	if rights == nil {
		t.Fatal("docs/security.md has no rights for Redis")
	}
	args := []any{"ACL", "SETUSER", "longshore"}
	for _, word := range strings.Fields(string(rights[1])) {
		args = append(args, word)
	}
	if err := admin.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(in.redis.URL(), "redis://", "redis://longshore:PASSWORD@", 1)
	in.env = append(in.env, "REDIS_URL="+url, "CALLBACK_SECRETS=whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
		"CALLBACK_ALLOW=127.0.0.0/8")

	_, address := in.web(t)
	in.worker(t)
	env := []string{"LONGSHORE_URL=" + address}
	c := clientOf(t, address)
	must := func(want int, env []string, args ...string) string {
		t.Helper()
		code, stdout, stderr := call(t, "one\ntwo\n", env, "enqueue", args...)
		if code != want {
			t.Fatalf("enqueue %q: exit %d, want %d: %s", args, code, want, stderr)
		}
		return strings.TrimSpace(stdout)
	}
	must(0, env, "submit", "file.checksum", "-", "--wait")
	must(0, env, "ls")
	must(0, env, "queues")
	must(0, env, "types")
	id := must(0, env, "submit", "math.primes", "--set", "n=100000000000")
	must(0, env, "cancel", id)
	if snap := wait(t, c, job.ID(id)); snap.State != job.Canceled {
		t.Errorf("job ended as %s, want canceled", snap.State)
	}
	must(0, append(in.env[:len(in.env):len(in.env)], "LONGSHORE_URL="), "doctor")

	refused, err := admin.Do(t.Context(), "ACL", "LOG").Slice()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range refused {
		t.Errorf("Redis refused: %v", entry)
	}
	// The test tells what is refused from what is not: one command more is in that log.
	bare := redis.NewClient(&redis.Options{Addr: strings.TrimPrefix(in.redis.URL(), "redis://"),
		Username: "longshore", Password: "PASSWORD"})
	defer bare.Close()
	if err := bare.FlushAll(t.Context()).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
		t.Errorf("the user may delete everything: %v", err)
	}
	if err := bare.Get(t.Context(), "other:key").Err(); err == nil ||
		!strings.HasPrefix(err.Error(), "NOPERM") {
		t.Errorf("the user may read other keys: %v", err)
	}
}
