package blob

import "testing"

// TestParts is of parts of 5 bytes: which there are, and how long each has to be.
func TestParts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		size  int64
		right []Part
		wrong []Part
	}{
		{0, nil, []Part{{Number: 1}, {Number: 1, Size: 5}}},
		{5, []Part{{Number: 1, Size: 5}}, []Part{{Number: 1, Size: 4}, {Number: 2}}},
		{11, []Part{{Number: 1, Size: 5}, {Number: 2, Size: 5}, {Number: 3, Size: 1}},
			[]Part{{Number: 3, Size: 5}, {Number: 2, Size: 6}, {Number: 4, Size: 1}}},
	} {
		p := Parts{Size: tt.size, PartSize: 5}
		if p.Count() != len(tt.right) {
			t.Errorf("%d bytes are %d parts", tt.size, p.Count())
		}
		for _, part := range tt.right {
			if !p.Right(part) {
				t.Errorf("of %d bytes %+v is wrong", tt.size, part)
			}
		}
		for _, part := range tt.wrong {
			if p.Right(part) {
				t.Errorf("of %d bytes %+v is right", tt.size, part)
			}
		}
	}
}
