package job

import (
	"strings"
	"testing"
)

// TestLabels holds that labels are read as they are written, and that what isn't any is refused.
func TestLabels(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "user=7", "a=,b.c=x y=z,d_1-2=é"} {
		if l, err := ParseLabels(text); err != nil || l.String() != text {
			t.Errorf("%q became %q, %v", text, l, err)
		}
	}
	for _, text := range []string{"user", "=7", "User=7", "7=a", "a=1,a=2", "a=1,", "a=\x00", "a=\u202e", "a=\xff",
		strings.Repeat("x", MaxLabelName+1) + "=1", "a=" + strings.Repeat("x", MaxLabelValue+1),
		"a=,b=,c=,d=,e=,f=,g=,h=,i="} {
		if l, err := ParseLabels(text); err == nil {
			t.Errorf("%q became %q", text, l)
		}
	}
}
