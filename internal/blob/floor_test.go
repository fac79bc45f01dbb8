package blob_test

import (
	"errors"
	"testing"

	"longshore/internal/blob"
)

// TestFloor holds that writers stop at the floor, however many there are and
// however large their pieces, and that a small disk has a low one.
func TestFloor(t *testing.T) {
	t.Parallel()
	const kib, mib = 1 << 10, 1 << 20
	for name, c := range map[string]struct {
		total, min, want int64
		piece, writers   int
	}{
		"one":          {total: 1000 * mib, min: 30 * mib, want: 30 * mib, piece: 256 * kib, writers: 1},
		"many":         {total: 1000 * mib, min: 30 * mib, want: 30 * mib, piece: 64 * kib, writers: 16},
		"large pieces": {total: 1000 * mib, min: 30 * mib, want: 30 * mib, piece: 5 * mib, writers: 3},
		"small disk":   {total: 20 * mib, min: 64 * mib, want: mib, piece: 64 * kib, writers: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			free := min(c.total, 100*mib)
			floor := &blob.Floor{Min: c.min, Space: func() (int64, int64, error) {
				return free, c.total, nil
			}}
			meters := make([]*blob.Meter, c.writers)
			for i := range meters {
				meters[i] = floor.Meter()
			}
			stopped := 0
			for stopped < c.writers {
				stopped = 0
				for _, m := range meters {
					if err := m.Take(c.piece); errors.Is(err, blob.ErrNoSpace) {
						stopped++
					} else if err != nil {
						t.Fatal(err)
					} else {
						free -= int64(c.piece)
					}
				}
			}
			if free < c.want || free > c.want+int64(c.piece) {
				t.Errorf("%d KiB are free, want %d KiB", free/kib, c.want/kib)
			}
			for _, m := range meters {
				m.End()
				m.End()
			}
			free += 50 * mib
			if err := floor.Meter().Take(c.piece); err != nil {
				t.Errorf("after others have left room: %v", err)
			}
		})
	}
	var none *blob.Floor
	unknown := &blob.Floor{Min: 1, Space: func() (int64, int64, error) { return 0, 0, errors.ErrUnsupported }}
	for _, f := range []*blob.Floor{none, unknown, {}} {
		if err := f.Meter().Take(mib); err != nil {
			t.Errorf("without a floor: %v", err)
		}
	}
}
