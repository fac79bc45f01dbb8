package handlers_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"testing"

	"longshore/handlers/handlerstest"
)

// The values of pi(n), OEIS A000720 and A006880.
func TestPrimes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]float64{
		0: 0, 1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 8: 4, 9: 4, 10: 4, 25: 9, 100: 25, 121: 30, 1000: 168,
		// 524287, a Mersenne prime, is the last number of the first segment
		524286: 43389, 524287: 43390, 524288: 43390,
		1_000_000: 78498, 10_000_000: 664579, 100_000_000: 5761455,
	} {
		result, _ := succeed(t, "math.primes", `{"n":`+strconv.Itoa(n)+`}`, nil)
		if result["count"] != want {
			t.Errorf("n = %d: got %v, want %v", n, result["count"], want)
		}
	}
}

func TestPrimesProgressAndCancel(t *testing.T) {
	t.Parallel()
	r, files := handlerstest.NewRun("math.primes", nil)
	if _, err := run(t, t.Context(), "math.primes", `{"n":3000000}`, r, files); err != nil {
		t.Fatal(err)
	}
	if done, total := r.Counts().Done, r.Counts().Total; done != 3_000_000 || total != 3_000_000 {
		t.Errorf("done %d of %d", done, total)
	}
	cause := errors.New("timeout of the job")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	r, files = handlerstest.NewRun("math.primes", nil)
	go func() {
		_, err := run(t, ctx, "math.primes", `{"n":100000000000}`, r, files)
		ended <- err
	}()
	for r.Counts().Done == 0 {
		runtime.Gosched() // until the sieve runs
	}
	cancel(cause)
	if err := <-ended; !errors.Is(err, cause) {
		t.Errorf("got %v, want the context's cause", err)
	}
}
