package stream_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"longshore/internal/stream"
)

func TestWriterIsDeterministic(t *testing.T) {
	t.Parallel()
	data := text(9, 100_000)
	for _, format := range formats {
		for level := range stream.MaxLevel + 1 {
			if !bytes.Equal(pack(t, format, level, data), pack(t, format, level, data)) {
				t.Errorf("%s level %d: two runs differ", format, level)
			}
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		format stream.Format
		level  int
	}{{stream.Plain, 0}, {"brotli", 0}, {stream.Gzip, -1}, {stream.Zstd, 10}} {
		if _, err := stream.NewWriter(io.Discard, test.format, test.level); err == nil {
			t.Errorf("%s level %d: no error", test.format, test.level)
		}
	}
}

// full is a writer without space after n bytes.
type full struct{ n int }

var errFull = errors.New("no space")

func (f *full) Write(p []byte) (int, error) {
	n := min(f.n, len(p))
	f.n -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestWriterBelowFails(t *testing.T) {
	t.Parallel()
	data := text(10, 2<<20)
	for _, format := range formats {
		whole := len(pack(t, format, 0, data))
		for _, space := range []int{0, 1, whole / 2, whole - 1} {
			z, err := stream.NewWriter(&full{space}, format, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, writeErr := z.Write(data)
			if err := errors.Join(writeErr, z.Close()); !errors.Is(err, errFull) {
				t.Errorf("%s with %d bytes of space: %v, want %v", format, space, err, errFull)
			}
		}
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	data := text(11, 1<<20+7)
	for how, chunked := range chunkings {
		var b bytes.Buffer
		n, err := stream.Copy(t.Context(), &b, chunked(bytes.NewReader(data)))
		if err != nil || n != int64(len(data)) || !bytes.Equal(b.Bytes(), data) {
			t.Errorf("%s: %d bytes, %v", how, n, err)
		}
	}
	broken := errors.New("disk on fire")
	var b bytes.Buffer
	n, err := stream.Copy(t.Context(), &b, io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || n != int64(len(data)) {
		t.Errorf("broken source: %d bytes, %v; want all before it and its error", n, err)
	}
	if _, err := stream.Copy(t.Context(), &full{10}, bytes.NewReader(data)); !errors.Is(err, errFull) {
		t.Errorf("full sink: %v", err)
	}
}

func TestCopyEndsWithContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("timeout of the job")
	ctx, cancel := context.WithCancelCause(t.Context())
	reads := 0
	source := readerFunc(func(p []byte) (int, error) {
		if reads++; reads == 3 {
			cancel(cause)
		}
		return len(p), nil
	})
	if _, err := stream.Copy(ctx, io.Discard, source); !errors.Is(err, cause) {
		t.Errorf("got %v, want the context's cause", err)
	}
	if n, err := stream.WithContext(ctx, source).Read(make([]byte, 1)); n != 0 || !errors.Is(err, cause) {
		t.Errorf("read: %d, %v; want the context's cause", n, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func BenchmarkReader(b *testing.B) {
	data := text(12, 16<<20)
	for _, format := range formats {
		packed := pack(b, format, 0, data)
		b.Run(string(format), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				z, err := stream.NewReader(bytes.NewReader(packed), format, stream.Limits{Ratio: 100})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := stream.Copy(b.Context(), io.Discard, z); err != nil {
					b.Fatal(err)
				}
				z.Close()
			}
		})
	}
}

func BenchmarkLines(b *testing.B) {
	data := bytes.Repeat([]byte(string(bytes.Repeat([]byte("x"), 200))+"\n"), 80_000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		l := stream.NewLines(bytes.NewReader(data), 1<<16)
		for {
			if _, err := l.Next(); err != nil {
				break
			}
		}
		l.Close()
	}
}
