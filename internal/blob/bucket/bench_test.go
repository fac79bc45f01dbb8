package bucket_test

import (
	"bytes"
	"io"
	"testing"

	"longshore/internal/blob/bucket"
	"longshore/internal/blob/bucket/buckettest"
)

// BenchmarkStore writes and reads a blob of 200 MB. It shares the machine with
// the server, which digests all of it too.
func BenchmarkStore(b *testing.B) {
	l, err := bucket.ParseURL(buckettest.Start(b).URL("p"))
	if err != nil {
		b.Fatal(err)
	}
	s, err := bucket.Open(b.Context(), l, buckettest.Access())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const size = 200 << 20
	content := noise(size)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			w, err := s.Create(b.Context(), "a0/in")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
				b.Fatal(err)
			}
			if _, err := w.Commit(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			r, err := s.Open(b.Context(), "a0/in")
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, r); n != size || err != nil {
				b.Fatal(n, err)
			}
			r.Close()
		}
	})
}
