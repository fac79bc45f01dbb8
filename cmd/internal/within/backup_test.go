package within

import (
	"testing"

	"longshore/internal/backup"
)

// TestToldCounts holds that one of a thing isn't told as many.
func TestToldCounts(t *testing.T) {
	t.Parallel()
	want := "1 job, 0 batches among them, 2 schedules, 0 limits, 0 functions, 1 pause, 1 entry of access, 1 file of 9 bytes"
	got := told(backup.Counts{Jobs: 1, Schedules: 2, Pauses: 1, Access: 1, Files: 1, Bytes: 9})
	if got != want {
		t.Errorf("%s", got)
	}
}
