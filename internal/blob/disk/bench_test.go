package disk_test

import (
	"fmt"
	"io"
	"testing"

	"longshore/internal/blob/disk"
)

// zeros is an endless source that costs nothing.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// BenchmarkUpload writes, hashes and syncs one blob, in pieces as they come
// from a socket.
func BenchmarkUpload(b *testing.B) {
	for _, size := range []int64{1 << 10, 1 << 20, 512 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			store, err := disk.Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				w, err := store.Create(b.Context(), "bench/in")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(struct{ io.Writer }{w}, io.LimitReader(zeros{}, size)); err != nil {
					b.Fatal(err)
				}
				if _, err := w.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
