package janitor

import (
	"errors"
	"testing"

	"longshore/job"
)

// TestForget holds that a sweep never waits for the blob store.
func TestForget(t *testing.T) {
	t.Parallel()
	j := &Janitor{gone: make(chan job.ID, 1), looks: make(chan job.ID, 1)}
	first := j.forget(t.Context(), "a")
	if second := j.forget(t.Context(), "b"); first != nil || !errors.Is(second, errGoneFull) {
		t.Errorf("forget = %v, %v", first, second)
	}
	first = j.lookAfter(t.Context(), "a")
	if second := j.lookAfter(t.Context(), "b"); first != nil || !errors.Is(second, errLooksFull) {
		t.Errorf("lookAfter = %v, %v", first, second)
	}
}
