package family

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	t.Parallel()
	var all []byte
	var kept Tail
	for i := range 3000 {
		line := fmt.Appendf(nil, "%d%s\n", i, strings.Repeat("x", i%100))
		all = append(all, line...)
		kept.Write(line)
	}
	if got := kept.Take(); !bytes.Equal(got, all[len(all)-TailSize:]) {
		t.Errorf("kept %d bytes, not the last", len(got))
	}
	if got := kept.Take(); got != nil {
		t.Errorf("kept %q after take", got)
	}
	kept.Write(all)
	if got := kept.Take(); !bytes.Equal(got, all[len(all)-TailSize:]) {
		t.Errorf("of one long write kept %d bytes, not the last", len(got))
	}
}
