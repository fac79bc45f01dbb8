package jobstore

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis/redistest"
)

// kindVariable says what the tests of this process make their stores on: nothing, which is one
// partition of one Redis; manyParts, which is sixteen of it; or a Cluster's addresses.
const kindVariable = "LONGSHORE_TEST_STORE"

const manyParts = "16"

// elsewhere are the tests that draw their partitions by themselves, or make stores of their own.
const elsewhere = "Simulation|Conformance|TestShortAndLong|" +
	"TestFormat2IsRefused|TestListOfOneShard|TestUniqueNotices|TestBackup|TestTwoRestores|" +
	"TestRestoreMakesOnce|TestDissect|TestListOfEachState"

// storeOf returns a store of the kind that this process tests.
func storeOf(t testing.TB, c Config) *Store {
	t.Helper()
	switch kind := os.Getenv(kindVariable); kind {
	case "":
		return New(redistest.Client(t), c)
	case manyParts:
		c.Partitions = 16
		return New(redistest.Client(t), c)
	default:
		return New(redistest.ClientOf(t, "redis+cluster://"+kind), c)
	}
}

// turn turns the clock of a store in each partition.
func (s *Store) turn(ctx context.Context, now int64) error {
	if len(s.bases) == 1 {
		return s.rdb.Set(ctx, s.bases[0]+"clock", now, 0).Err()
	}
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, base := range s.bases {
			p.Set(ctx, base+"clock", now, 0)
		}
		return nil
	})
	return err
}

// TestConformance runs the tests of this package again, in processes of their own: on sixteen
// partitions, and on the three masters of a Cluster. Simulations draw their partitions by themselves.
func TestConformance(t *testing.T) {
	if os.Getenv(kindVariable) != "" {
		t.Skip("this is the process that it starts")
	}
	t.Parallel()
	if !redistest.Real() {
		t.Skip("needs a redis-server")
	}
	if testing.Short() {
		t.Skip("the other tests, twice")
	}
	ends, ok := t.Deadline()
	if !ok {
		ends = time.Now().Add(20 * time.Minute)
	}
	kinds := map[string]func() string{
		"sixteen partitions": func() string { return manyParts },
		"cluster": func() string {
			return strings.TrimPrefix(redistest.NewCluster(t).URL, "redis+cluster://")
		},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.skip", elsewhere,
				"-test.timeout", (time.Until(ends) - 30*time.Second).String(), "-test.v")
			cmd.Env = append(os.Environ(), kindVariable+"="+kind())
			out, err := cmd.CombinedOutput()
			ran := strings.Count(string(out), "\n--- PASS: ")
			if err != nil || ran < 50 {
				t.Errorf("%d tests passed, %v:\n%s", ran, err, failures(string(out)))
			}
			t.Logf("%d tests passed", ran)
		})
	}
}

// failures is what the tests that failed said: with -v each line stands below its test's name.
func failures(out string) string {
	said, name := map[string]*strings.Builder{}, ""
	var all strings.Builder
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		switch {
		case len(words) > 2 && words[0] == "===":
			name = words[2]
		case len(words) > 2 && words[0] == "---":
			if name = words[2]; words[1] == "FAIL:" {
				all.WriteString(line)
				if said[name] != nil {
					all.WriteString(said[name].String())
				}
			}
		default:
			if said[name] == nil {
				said[name] = &strings.Builder{}
			}
			said[name].WriteString(line)
		}
	}
	return all.String()
}
