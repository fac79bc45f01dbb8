//go:build linux

package exec

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestEndsAtItsTimeout has 1,000 programs end around their time limit: each has one outcome, and
// none stays, not even as a zombie.
func TestEndsAtItsTimeout(t *testing.T) {
	x := setup(t, "true")
	x.host.KillGrace = time.Millisecond
	began := time.Now()
	for range 10 {
		x.do(t, 0)
	}
	usual := time.Since(began) / 10
	over := errors.New("its time is over")
	var mu sync.Mutex
	var ended, stopped int
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for n := range 250 {
				limit := usual/2 + time.Duration(n*4+worker)*usual/500 // half to two and a half of it
				ctx, cancel := context.WithTimeoutCause(t.Context(), limit, over)
				err := x.try(ctx, t, 0)
				cancel()
				mu.Lock()
				switch {
				case err == nil:
					ended++
				case errors.Is(err, over):
					stopped++
				default:
					t.Errorf("outcome %v", err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if ended == 0 || stopped == 0 { // the machine has become faster or slower meanwhile
		t.Logf("no race: this shows nothing")
	}
	t.Logf("%d have ended, %d were stopped", ended, stopped)
	if left := children(t); len(left) > 0 {
		t.Errorf("still there: %v", left)
	}
}

// children are the processes that this one has, zombies too.
func children(t *testing.T) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) {
			found = append(found, string(text))
		}
	}
	return found
}
