package stream_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"longshore/internal/stream"
)

// fuzzStages checks that stages give the same, or fail both times, whether the
// input comes whole or byte by byte, and returns what they give.
func fuzzStages(t *testing.T, in []byte, stages ...stream.Stage) (string, error) {
	t.Helper()
	o := stream.Options{MaxBytes: 1 << 20}
	whole, report, err := through(t, bytes.NewReader(in), o, stages...)
	pieces, _, piecesErr := through(t, &oneByOne{in}, o, stages...)
	if whole != pieces || (err == nil) != (piecesErr == nil) || err != nil &&
		err.Error() != piecesErr.Error() {
		t.Fatalf("%q: %q, %v whole and %q, %v byte by byte", in, whole, err, pieces, piecesErr)
	}
	if err == nil && report.BytesOut != int64(len(whole)) {
		t.Fatalf("%d bytes counted of %d", report.BytesOut, len(whole))
	}
	return whole, err
}

func FuzzSplitLines(f *testing.F) {
	f.Add([]byte("a\r\n\nb"))
	f.Add([]byte("\ufeffa\rb\r\r\nc\r\r"))
	f.Fuzz(func(t *testing.T, in []byte) {
		want := oneEnd(strings.TrimPrefix(string(in), "\ufeff"))
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if got, err := fuzzStages(t, in, stream.SplitLines().In(stream.UTF8), stream.Count()); got != want ||
			err != nil {
			t.Fatalf("%q became %q: %v", in, got, err)
		}
	})
}

func FuzzNDJSON(f *testing.F) {
	f.Add([]byte("\ufeff{\"a\":1}\r\n\n[\"\\u00e9\"]"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := fuzzStages(t, in, stream.NDJSON())
		if err != nil {
			return
		}
		for line := range strings.Lines(out) {
			if !json.Valid([]byte(line)) || !utf8.ValidString(line) {
				t.Fatalf("%q let %q pass", in, line)
			}
		}
	})
}

func FuzzNDJSONToCSV(f *testing.F) {
	f.Add([]byte("{\"a\":1,\"b\":\"x\\\"y\"}\n{\"b\":null}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if out, err := fuzzStages(t, in, stream.NDJSON(), stream.CSV(stream.CSVOptions{})); err == nil {
			rows, _, err := through(t, strings.NewReader(out), stream.Options{},
				stream.CSV(stream.CSVOptions{}))
			if err != nil {
				t.Fatalf("%q became %q, which became %q: %v", in, out, rows, err)
			}
		}
	})
}

func FuzzExpressions(f *testing.F) {
	f.Add([]byte("{\"a\":1}\n{\"a\":\"x\"}"))
	keep, change := stream.Filter(expr(f, ".a != 1")), stream.Map(expr(f, ".a, ."))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := fuzzStages(t, in, stream.NDJSON(), keep, change, stream.Select("a"), stream.Head(3))
		if err == nil && out != "" && !json.Valid([]byte(strings.Split(out, "\n")[0])) {
			t.Fatalf("%q became %q", in, out)
		}
	})
}

func FuzzCase(f *testing.F) {
	f.Add([]byte("aé\xffß\xc3"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := fuzzStages(t, in, stream.Upper())
		if err != nil {
			t.Fatal(err)
		}
		if utf8.Valid(in) && got != strings.Map(unicode.ToUpper, string(in)) {
			t.Fatalf("%q became %q", in, got)
		}
	})
}

func FuzzReplace(f *testing.F) {
	f.Add([]byte("a crane\nanother crane"), "crane", "ferry")
	f.Fuzz(func(t *testing.T, in []byte, old, with string) {
		s, err := stream.Replace(old, with)
		if err != nil || len(with) > 100 {
			return
		}
		text := oneEnd(strings.TrimPrefix(string(in), "\ufeff"))
		want := ""
		for line := range strings.Lines(text) {
			want += strings.ReplaceAll(strings.TrimSuffix(line, "\n"), old, with) + "\n"
		}
		if got, err := fuzzStages(t, in, stream.SplitLines().In(stream.UTF8), s); got != want || err != nil {
			t.Fatalf("%q became %q: %v", in, got, err)
		}
		if _, err := stream.ReplacePattern(old, with); err == nil && old == "(" {
			t.Fatal("not a pattern")
		}
	})
}

func FuzzCodecStages(f *testing.F) {
	f.Add([]byte("abc"))
	f.Add(pack(f, stream.Gzip, 0, []byte("abc")))
	f.Add(pack(f, stream.Zstd, 0, []byte("abc")))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, format := range formats {
			stages := []stream.Stage{stream.Compress(format, 1), stream.Decompress(format, 0)}
			if got, err := fuzzStages(t, in, stages...); got != string(in) || err != nil {
				t.Fatalf("%s: %q became %q: %v", format, in, got, err)
			}
			_, err := pipeline(t, stream.Decompress(format, 100)).Run(t.Context(), io.Discard,
				bytes.NewReader(in), stream.Options{MaxBytes: 1 << 20})
			corrupt, limit := (*stream.CorruptError)(nil), (*stream.LimitError)(nil)
			if err != nil && !errors.As(err, &corrupt) && !errors.As(err, &limit) {
				t.Fatalf("%q: %v", in, err)
			}
		}
	})
}

func FuzzChecksum(f *testing.F) {
	f.Add([]byte("abc"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if got, err := fuzzStages(t, in, stream.Checksum("sha256", "crc32"), stream.Count()); got != string(
			in) || err != nil {
			t.Fatalf("%q became %q: %v", in, got, err)
		}
	})
}
