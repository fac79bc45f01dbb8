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
		if want := []time.Duration{0, 0, time.Minute, 2 * time.Minute, 2 * time.Minute,
			3 * time.Minute}; !slices.Equal(at, want) {
			t.Errorf("turns at %v, want %v", at, want)
		}
	})
}

// TestPages walks through pages, an empty one among them, to the end, to an error and
// until the caller leaves.
func TestPages(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	fetch := func(cursor string) ([]int, string, error) {
		switch cursor {
		case "":
			return []int{1, 2}, "b", nil
		case "b":
			return nil, "c", nil
		case "c":
			return []int{3}, "d", nil
		}
		return nil, "", broken
	}
	var got []int
	var err error
	for n, e := range loop.Pages(fetch) {
		if err = e; e == nil {
			got = append(got, n)
		}
	}
	if !slices.Equal(got, []int{1, 2, 3}) || !errors.Is(err, broken) {
		t.Errorf("got %v, %v", got, err)
	}
	for n, e := range loop.Pages(fetch) {
		if n == 2 {
			break
		}
		if n != 1 || e != nil {
			t.Errorf("got %d, %v", n, e)
		}
	}
	for range loop.Pages(func(string) ([]int, string, error) { return nil, "", nil }) {
		t.Error("an empty list has an item")
	}
}

// TestSleep holds that a pause is as long as it is asked for, unless the context ends it.
func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if err := loop.Sleep(t.Context(), time.Hour); err != nil || time.Since(begun) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		cause := errors.New("enough")
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { stop(cause) })
		begun = time.Now()
		if err := loop.Sleep(ctx, time.Hour); !errors.Is(err, cause) || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}
