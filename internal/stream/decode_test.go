package stream_test

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"longshore/internal/stream"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := text(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 150_000).Draw(t, "size"))
		format := rapid.SampledFrom(formats).Draw(t, "format")
		level := rapid.IntRange(0, stream.MaxLevel).Draw(t, "level")
		var packed bytes.Buffer
		z, err := stream.NewWriter(&packed, format, level)
		if err != nil {
			t.Fatal(err)
		}
		for rest := data; len(rest) > 0; {
			n := min(len(rest), rapid.IntRange(1, 100_000).Draw(t, "write"))
			if _, err := z.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		chunked := chunkings[rapid.SampledFrom([]string{"whole", "half", "early EOF"}).Draw(t, "chunking")]
		got, err := unpack(chunked(&packed), stream.Auto, stream.Limits{})
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("got %d bytes, %v; want the %d bytes written", len(got), err, len(data))
		}
	})
}

func TestAutoFormat(t *testing.T) {
	t.Parallel()
	data := text(1, 5000)
	skippable := append([]byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'},
		pack(t, stream.Zstd, 0, data)...)
	tests := map[string]struct {
		in   []byte
		want stream.Format
		out  []byte
	}{
		"gzip":           {pack(t, stream.Gzip, 0, data), stream.Gzip, data},
		"zstd":           {pack(t, stream.Zstd, 0, data), stream.Zstd, data},
		"zstd skippable": {skippable, stream.Zstd, data},
		"plain":          {data, stream.Plain, data},
		"empty":          {nil, stream.Plain, nil},
		"short":          {[]byte{0x1f}, stream.Plain, []byte{0x1f}},
		"gzip of empty":  {pack(t, stream.Gzip, 0, nil), stream.Gzip, nil},
		"zstd of empty":  {pack(t, stream.Zstd, 0, nil), stream.Zstd, nil},
	}
	for name, test := range tests {
		for how, chunked := range chunkings {
			z, err := stream.NewReader(chunked(bytes.NewReader(test.in)), stream.Auto, stream.Limits{})
			if err != nil {
				t.Fatalf("%s, %s: %v", name, how, err)
			}
			got, err := io.ReadAll(z)
			if err != nil || !bytes.Equal(got, test.out) || z.Format() != test.want {
				t.Errorf("%s, %s: got %d bytes of %s, %v; want %d of %s", name, how, len(got), z.Format(),
					err, len(test.out), test.want)
			}
			z.Close()
			if z.In() != int64(len(test.in)) || z.Out() != int64(len(test.out)) {
				t.Errorf("%s, %s: In, Out = %d, %d; want %d, %d", name, how, z.In(), z.Out(), len(test.in),
					len(test.out))
			}
		}
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	a, b := text(2, 70_000), text(3, 10)
	for _, format := range formats {
		packed := bytes.Join([][]byte{pack(t, format, 1, a), pack(t, format, 9, nil),
			pack(t, format, 6, b)}, nil)
		for how, chunked := range chunkings {
			got, err := unpack(chunked(bytes.NewReader(packed)), format, stream.Limits{})
			if err != nil || !bytes.Equal(got, append(a[:len(a):len(a)], b...)) {
				t.Errorf("%s, %s: got %d bytes, %v", format, how, len(got), err)
			}
		}
	}
}

func TestAfterLastMember(t *testing.T) {
	t.Parallel()
	data := text(4, 3000)
	packed := pack(t, stream.Gzip, 0, data)
	padded := append(packed[:len(packed):len(packed)], make([]byte, 1000)...)
	if got, err := unpack(bytes.NewReader(padded), stream.Auto, stream.Limits{}); err != nil ||
		!bytes.Equal(got, data) {
		t.Errorf("zeros behind: got %d bytes, %v; want the data", len(got), err)
	}
	for tail, at := range map[string]int{"junk, and more of it": 0, "\x00\x00x and junk": 3, "\x1f\x8b": 2,
		"\x1f\x8bxxxxxxxx and junk": 10} {
		_, err := unpack(strings.NewReader(string(packed)+tail), stream.Auto, stream.Limits{})
		var corrupt *stream.CorruptError
		if !errors.As(err, &corrupt) || corrupt.Offset != int64(len(packed)+at) {
			t.Errorf("%q behind: got %v, want CorruptError at byte %d", tail, err, len(packed)+at)
		}
	}
}

// gzipWithHeader has every optional header field, so that cuts hit them all.
func gzipWithHeader(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := stdgzip.NewWriter(&b)
	z.Name, z.Comment, z.Extra = "log.txt", "a comment", []byte("extra")
	z.ModTime = time.Unix(1_700_000_000, 0)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	data := text(5, 3000)
	inputs := map[string]struct {
		format stream.Format
		packed []byte
		whole  []int // cuts that leave a whole stream
	}{
		"gzip": {stream.Gzip, gzipWithHeader(t, data), nil},
		"zstd": {stream.Zstd, pack(t, stream.Zstd, 0, data), nil},
	}
	first := len(inputs["gzip"].packed)
	inputs["gzip twice"] = struct {
		format stream.Format
		packed []byte
		whole  []int
	}{stream.Gzip, append(inputs["gzip"].packed[:first:first], inputs["gzip"].packed...), []int{first}}
	for name, input := range inputs {
		for cut := range len(input.packed) {
			if len(input.whole) > 0 && cut == input.whole[0] {
				continue
			}
			_, err := unpack(bytes.NewReader(input.packed[:cut]), input.format, stream.Limits{})
			var corrupt *stream.CorruptError
			if !errors.As(err, &corrupt) || corrupt.Offset != int64(cut) ||
				!errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s cut at %d: got %v, want CorruptError there", name, cut, err)
			}
		}
	}
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	data := text(6, 3000)
	for _, format := range formats {
		packed := pack(t, format, 0, data)
		for i := range packed {
			broken := bytes.Clone(packed)
			broken[i] ^= 0x55
			got, err := unpack(bytes.NewReader(broken), format, stream.Limits{Bytes: 1 << 20})
			var corrupt *stream.CorruptError
			var limit *stream.LimitError
			switch {
			case err == nil && bytes.Equal(got, data): // a byte that means nothing, as the time
			case errors.As(err, &corrupt) && corrupt.Offset >= 0 && corrupt.Offset <= int64(len(broken)):
			case format == stream.Zstd && (i == 4 || i == 5) && errors.As(err, &limit): // the header's window
			default:
				t.Fatalf("%s, byte %d: got %d bytes, %v; want CorruptError", format, i, len(got), err)
			}
		}
	}
}

func TestWrongFormat(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"plain text", "\x28\xb5\x2f\xfd", "\x1f\x8b\x07\x00"} {
		_, err := unpack(bytes.NewReader([]byte(in)), stream.Gzip, stream.Limits{})
		if corrupt := (*stream.CorruptError)(nil); !errors.As(err, &corrupt) || corrupt.Offset != 0 {
			t.Errorf("%q: got %v, want CorruptError at byte 0", in, err)
		}
	}
}

func TestBombs(t *testing.T) {
	t.Parallel()
	zeros := make([]byte, 16<<20)
	for _, format := range formats {
		bomb := pack(t, format, 6, zeros)
		for _, test := range []struct {
			limits stream.Limits
			want   stream.Limit
			most   int64
		}{
			{stream.Limits{Ratio: 100}, stream.LimitRatio, stream.RatioFrom + 100*128<<10},
			{stream.Limits{Bytes: 10 << 20}, stream.LimitBytes, 10 << 20},
			{stream.Limits{Bytes: 10 << 20, Ratio: 1 << 40}, stream.LimitBytes, 10 << 20},
		} {
			z, err := stream.NewReader(bytes.NewReader(bomb), stream.Auto, test.limits)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, z, make([]byte, 32<<10))
			var limit *stream.LimitError
			if !errors.As(err, &limit) || limit.Limit != test.want || n > test.most {
				t.Errorf("%s, %+v: %d bytes and %v, want at most %d and a limit of %s", format, test.limits,
					n, err, test.most, test.want)
			}
			if _, again := z.Read(make([]byte, 1)); !errors.Is(again, err) {
				t.Errorf("%s: read after the limit: %v, want the same error", format, again)
			}
			z.Close()
		}
		if got, err := unpack(bytes.NewReader(bomb), stream.Auto,
			stream.Limits{Bytes: int64(len(zeros))}); err != nil || len(got) != len(zeros) {
			t.Errorf("%s: exactly at the limit: %d bytes, %v", format, len(got), err)
		}
	}
}

// A short stream may have any ratio.
func TestRatioOfShortStream(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		packed := pack(t, format, 0, make([]byte, stream.RatioFrom))
		if _, err := unpack(bytes.NewReader(packed), stream.Auto, stream.Limits{Ratio: 2}); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestWindowLimit(t *testing.T) {
	t.Parallel()
	const magic = "\x28\xb5\x2f\xfd"
	for name, header := range map[string]string{
		"window of 144 MiB":           magic + "\x00\x89",
		"single segment of 128 MiB":   magic + "\xe0\x01\x00\x00\x08\x00\x00\x00\x00",
		"behind another frame":        magic + "\x00\x00\x09\x00\x00x" + magic + "\x00\x90",
		"single segment of 2^62 byte": magic + "\xe0\x00\x00\x00\x00\x00\x00\x00\x40",
	} {
		_, err := unpack(strings.NewReader(header+strings.Repeat("x", 100)), stream.Auto, stream.Limits{})
		if limit := (*stream.LimitError)(nil); !errors.As(err, &limit) || limit.Limit != stream.LimitWindow {
			t.Errorf("%s: got %v, want a limit of %s", name, err, stream.LimitWindow)
		}
	}
}

func TestSourceError(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	// the second one is what a cut request body gives
	for _, source := range []error{broken, io.ErrUnexpectedEOF} {
		for _, format := range formats {
			packed := pack(t, format, 0, text(7, 3000))
			for cut := range len(packed) + 1 {
				r := io.MultiReader(bytes.NewReader(packed[:cut]), iotest.ErrReader(source))
				_, err := unpack(r, stream.Auto, stream.Limits{})
				if err != source { //nolint:errorlint // unwrapped: that is the promise
					t.Fatalf("%s, source broken at %d: got %v, want the source's error as it is", format, cut, err)
				}
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte{})
	f.Add(pack(f, stream.Gzip, 0, []byte("some text")))
	f.Add(pack(f, stream.Zstd, 0, []byte("some text")))
	f.Add(append(pack(f, stream.Gzip, 1, []byte("a")), pack(f, stream.Gzip, 9, []byte("b"))...))
	f.Add(gzipWithHeader(f, []byte("with a header")))
	f.Fuzz(func(t *testing.T, in []byte) {
		limits := stream.Limits{Bytes: 4 << 20, Ratio: 1000}
		got, err := unpack(bytes.NewReader(in), stream.Auto, limits)
		var corrupt *stream.CorruptError
		var limit *stream.LimitError
		if err != nil && !errors.As(err, &corrupt) && !errors.As(err, &limit) {
			t.Fatalf("error of an unknown kind: %v", err)
		}
		if corrupt != nil && (corrupt.Offset < 0 || corrupt.Offset > int64(len(in))) {
			t.Fatalf("offset %d of %d bytes", corrupt.Offset, len(in))
		}
		again, err2 := unpack(iotest.OneByteReader(bytes.NewReader(in)), stream.Auto, limits)
		if (err == nil) != (err2 == nil) || err == nil && !bytes.Equal(got, again) {
			t.Fatalf("whole: %d bytes, %v; byte by byte: %d bytes, %v", len(got), err, len(again), err2)
		}
		if err == nil && stream.Detect(in) == stream.Gzip {
			z, err := stdgzip.NewReader(bytes.NewReader(in))
			if err != nil {
				t.Fatalf("the standard library refuses: %v", err)
			}
			if want, err := io.ReadAll(z); err == nil && !bytes.Equal(got, want) {
				t.Fatalf("got %q, the standard library %q", got, want)
			}
		}
	})
}
