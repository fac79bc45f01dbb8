package program

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"testing"

	"longshore/internal/connect"
	"longshore/worker"
)

// TestReport holds which exit codes supervisors see.
func TestReport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, 0}, {flag.ErrHelp, 0}, {errors.New("x"), 1}, {ErrUsage, 2}, {connect.ErrSettings, 78},
		{errors.Join(nil, fmt.Errorf("serve: %w", worker.ErrLeftBehind)), 75},
	} {
		if got := Report(c.err, io.Discard); got != c.code {
			t.Errorf("Report(%v) = %d, want %d", c.err, got, c.code)
		}
	}
}
