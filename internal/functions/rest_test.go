package functions

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// TestReadRest holds that what was written before a deadline is not lost to it: a reader
// that comes late has an error and not the bytes.
func TestReadRest(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close() // somebody still has it
	want := strings.Repeat("last words\n", 1000)
	if _, err := write.WriteString(want); err != nil {
		t.Fatal(err)
	}
	if err := read.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	if n, err := read.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a late read has %d bytes, %v: then nobody needs ReadRest", n, err)
	}
	var got strings.Builder
	ReadRest(read, buf, func(part []byte) { got.Write(part) })
	if got.String() != want {
		t.Errorf("%d bytes of %d", got.Len(), len(want))
	}
	ReadRest(read, buf, func(part []byte) { t.Errorf("%d bytes of an empty pipe", len(part)) })
}
