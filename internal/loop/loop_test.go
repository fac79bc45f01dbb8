package loop_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"longshore/internal/loop"
)

// TestRun walks through the turns of a loop: work with more to do, rows of failures, a wake, the end.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		wake := make(chan struct{}, 1)
		first, second := errors.New("first"), errors.New("second")
		begun := time.Now()
		var told []error
		var at []time.Duration
		turn := 0
		loop.Loop{Every: time.Minute, Wake: wake, Failed: func(err error) { told = append(told, err) }}.
			Run(ctx, func(context.Context) (bool, error) {
				at = append(at, time.Since(begun))
				turn++
				switch turn {
				case 1:
					return true, nil // more: no pause
				case 2:
					return false, first
				case 3:
					return false, second // of the same row: not told
				case 4:
					wake <- struct{}{}
					return false, nil
				case 5:
					return false, second // a row of its own
				}
				stop()
				return false, first // came of the end: not told
			})
		if want := []error{first, second}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		if want := []time.Duration{0, 0, time.Minute, 2 * time.Minute, 2 * time.Minute, 3 * time.Minute}; !slices.Equal(at, want) {
			t.Errorf("turns at %v, want %v", at, want)
		}
	})
}
