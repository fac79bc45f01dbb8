package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"longshore/internal/jq"
	"longshore/internal/stream"
)

func pipeline(t testing.TB, stages ...stream.Stage) *stream.Pipeline {
	t.Helper()
	p, err := stream.NewPipeline(stages...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func expr(t testing.TB, source string) *jq.Expr {
	t.Helper()
	e, err := jq.Compile(source)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// through sends data through stages.
func through(t testing.TB, in io.Reader, o stream.Options,
	stages ...stream.Stage) (string, *stream.Report, error) {
	t.Helper()
	var out bytes.Buffer
	report, err := pipeline(t, stages...).Run(t.Context(), &out, in, o)
	return out.String(), report, err
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// stages are pipelines of each stage, with an input that they like.
func stages(t testing.TB) map[string]struct {
	input  string
	stages []stream.Stage
} {
	log := strings.Repeat("the Quay's CRANE lifts é\r\n\n\"hulls\", 12 of them\x00", 9)
	rows :=
		"\ufeffa,b c,\"é\"\"\"\r\n1,\"x\ny\",\\\n\n\"\",é\x01é,\t\n3,4,long enough for the fast way to be taken"
	records :=
		"\ufeff{\"a\":1,\"b\":\"x\\u0041\",\"c\":null}\n\n {\"a\":600,\"b\":[1,{\"d\":2}],\"c\":\"é\"}\r\n{\"c\":1.50,\"a\":\"500\"}"
	type c = struct {
		input  string
		stages []stream.Stage
	}
	return map[string]c{
		"none":        {log, nil},
		"upper":       {log, []stream.Stage{stream.Upper()}},
		"lower":       {log, []stream.Stage{stream.Lower()}},
		"lines":       {log, []stream.Stage{stream.SplitLines()}},
		"lines twice": {log, []stream.Stage{stream.SplitLines(), stream.SplitLines()}},
		"upper lines": {log, []stream.Stage{stream.SplitLines(), stream.Upper()}},
		"head":        {log, []stream.Stage{stream.SplitLines(), stream.Head(3)}},
		"replace":     {log, []stream.Stage{stream.SplitLines(), must(stream.Replace("the", "a"))}},
		"replace pattern": {log, []stream.Stage{stream.SplitLines(),
			must(stream.ReplacePattern(`(\w+)s`, "<$1>"))}},
		"filter lines": {log, []stream.Stage{stream.SplitLines(), stream.Filter(expr(t, `test("é$")`))}},
		"map lines": {log, []stream.Stage{stream.SplitLines(),
			stream.Map(expr(t, `{line: ., n: length}`))}},
		"checksum": {log, []stream.Stage{stream.Checksum("sha256", "crc32"), stream.Count()}},
		"gzip":     {log, []stream.Stage{stream.Compress(stream.Gzip, 0)}},
		"gzip gunzip": {log, []stream.Stage{stream.Compress(stream.Gzip, 0),
			stream.Decompress(stream.Gzip, 0)}},
		"zstd unzstd": {log, []stream.Stage{stream.Compress(stream.Zstd, 0),
			stream.Decompress(stream.Zstd, 0), stream.SplitLines(), stream.Head(2)}},
		"csv": {rows, []stream.Stage{stream.CSV(stream.CSVOptions{})}},
		"csv csv": {rows, []stream.Stage{stream.CSV(stream.CSVOptions{}),
			stream.CSV(stream.CSVOptions{Delimiter: ';'})}},
		"csv lines": {"a\n1\n2", []stream.Stage{stream.SplitLines(), stream.CSV(stream.CSVOptions{})}},
		"csv filter": {rows, []stream.Stage{stream.CSV(stream.CSVOptions{}),
			stream.Filter(expr(t, `.a != ""`)), stream.NDJSON()}},
		"ndjson":        {records, []stream.Stage{stream.NDJSON()}},
		"ndjson csv":    {records, []stream.Stage{stream.NDJSON(), stream.CSV(stream.CSVOptions{})}},
		"ndjson filter": {records, []stream.Stage{stream.NDJSON(), stream.Filter(expr(t, ".a >= 500"))}},
		"ndjson map": {records, []stream.Stage{stream.NDJSON(), stream.Map(expr(t, ".a, .b")),
			stream.NDJSON()}},
		"ndjson select": {records, []stream.Stage{stream.NDJSON(), stream.Select("c", "a"), stream.Head(2)}},
	}
}

// TestAnyChunking: what comes out doesn't depend on the pieces in which data
// comes in.
func TestAnyChunking(t *testing.T) {
	t.Parallel()
	for name, c := range stages(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, report, err := through(t, strings.NewReader(c.input), stream.Options{}, c.stages...)
			if err != nil {
				t.Fatal(err)
			}
			for chunking, chunked := range chunkings {
				// 256 KiB are read at once, so that pieces must come from within.
				got, chunkedReport, err := through(t, chunked(strings.NewReader(c.input)), stream.Options{},
					c.stages...)
				if got != want || err != nil {
					t.Errorf("%s: got %q, %v, want %q", chunking, got, err, want)
				}
				if diff := cmp.Diff(report, chunkedReport); diff != "" {
					t.Errorf("%s: (-want +got):\n%s", chunking, diff)
				}
			}
		})
	}
}

// TestBoundaries moves the ends of chunks over an input: a first part of any
// length shifts them.
func TestBoundaries(t *testing.T) {
	t.Parallel()
	const chunk = 256 << 10
	for name, c := range stages(t) {
		if strings.HasPrefix(name, "csv") || strings.Contains(name, "head") || name == "ndjson select" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			filler := map[bool]string{true: `{"a":500}` + "\n",
				false: "filler, filler\n"}[strings.HasPrefix(name, "ndjson")]
			if name == "ndjson csv" {
				filler = `{"a":1,"b":2,"c":3}` + "\n"
			}
			input := strings.TrimPrefix(c.input, "\ufeff")
			part, _, err := through(t, strings.NewReader(filler+input), stream.Options{}, c.stages...)
			if err != nil {
				t.Fatal(err)
			}
			for shift := range min(20, len(input)) {
				before := strings.Repeat(filler, (chunk-shift)/len(filler))
				all, _, err := through(t, strings.NewReader(before+input), stream.Options{}, c.stages...)
				if err != nil {
					t.Fatal(err)
				}
				if name == "gzip" || name == "checksum" || name == "zstd unzstd" {
					continue
				}
				tail := part[len(part)-min(len(part), len(input)/2):]
				if !strings.HasSuffix(all, tail) {
					t.Fatalf("shift %d: the end is another", shift)
				}
			}
		})
	}
}

func TestCSVBoundaries(t *testing.T) {
	t.Parallel()
	for shift := range 20 { // a row has 14 bytes
		var in, want strings.Builder
		in.WriteString("a,b\n")
		row, record := "1,\"é\"\"\r\nx\"\r\n", `{"a":"1","b":"é\"\r\nx"}`+"\n"
		fmt.Fprintf(&in, "%s,\n", strings.Repeat("x", shift))
		fmt.Fprintf(&want, `{"a":"%s","b":""}`+"\n", strings.Repeat("x", shift))
		for in.Len() < 300<<10 {
			in.WriteString(row)
			want.WriteString(record)
		}
		got, _, err := through(t, strings.NewReader(in.String()), stream.Options{},
			stream.CSV(stream.CSVOptions{}))
		if got != want.String() || err != nil {
			t.Fatalf("shift %d: %v", shift, err)
		}
		if testing.Short() {
			break
		}
	}
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	for name, stages := range map[string][]stream.Stage{
		"gunzip of gzip": {stream.Compress(stream.Gzip, 1), stream.Decompress(stream.Gzip, 0)},
		"unzstd of zstd": {stream.Compress(stream.Zstd, 1), stream.Decompress(stream.Zstd, 0)},
		"taps":           {stream.Count(), stream.Checksum("md5"), stream.Count()},
		"all of both": {stream.Compress(stream.Gzip, 9), stream.Compress(stream.Zstd, 0),
			stream.Decompress(stream.Zstd, 0), stream.Decompress(stream.Gzip, 0)},
		"nothing replaced": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				data := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(rt, "data"),
					rapid.SampledFrom([]int{1, 1, 7, 9000}).Draw(rt, "times"))
				got, _, err := through(t, bytes.NewReader(data), stream.Options{}, stages...)
				if err != nil || got != string(data) {
					rt.Fatalf("%d bytes became %d: %v", len(data), len(got), err)
				}
			})
		})
	}
}

func TestPipelineKinds(t *testing.T) {
	t.Parallel()
	filter, replace := stream.Filter(expr(t, ".")), must(stream.Replace("a", "b"))
	for name, c := range map[string]struct {
		stages []stream.Stage
		index  int // -1 = they fit
	}{
		"filter of bytes":      {[]stream.Stage{filter}, 0},
		"filter of gzip":       {[]stream.Stage{stream.NDJSON(), stream.Compress(stream.Gzip, 0), filter}, 2},
		"replace of records":   {[]stream.Stage{stream.NDJSON(), replace}, 1},
		"upper of records":     {[]stream.Stage{stream.NDJSON(), stream.Upper()}, 1},
		"lines of records":     {[]stream.Stage{stream.NDJSON(), stream.SplitLines()}, 1},
		"select of lines":      {[]stream.Stage{stream.SplitLines(), stream.Select("a")}, 1},
		"head of bytes":        {[]stream.Stage{stream.Head(1)}, 0},
		"ndjson written, read": {[]stream.Stage{stream.NDJSON(), stream.NDJSON(), stream.NDJSON(), filter}, -1},
		"32":                   {slicesOf(stream.Count(), 32), -1},
		"33":                   {slicesOf(stream.Count(), 33), 32},
	} {
		_, err := stream.NewPipeline(c.stages...)
		var stage *stream.StageError
		if c.index < 0 && err != nil || c.index >= 0 && (!errors.As(err, &stage) || stage.Index != c.index) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func slicesOf(s stream.Stage, n int) []stream.Stage {
	all := make([]stream.Stage, n)
	for i := range all {
		all[i] = s
	}
	return all
}

var errSource, errSink = errors.New("the source failed"), errors.New("the sink failed")

type badSink struct{}

func (badSink) Write([]byte) (int, error) { return 0, errSink }

// TestFirstErrorEndsAll: the error that is reported is the first one, whoever
// meets it, and no goroutine is left.
func TestFirstErrorEndsAll(t *testing.T) {
	t.Parallel()
	for name, c := range stages(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			long := strings.Repeat(c.input+"\n", 20)
			if strings.Contains(name, "csv") || strings.Contains(name, "ndjson") {
				long = c.input
			}
			if !strings.Contains(c.input, "\xff") && !headed(name) {
				_, _, err := through(t, io.MultiReader(strings.NewReader(long), iotest.ErrReader(errSource)),
					stream.Options{}, c.stages...)
				if !errors.Is(err, errSource) {
					t.Errorf("source: %v", err)
				}
			}
			_, err := pipeline(t, c.stages...).Run(t.Context(), badSink{}, strings.NewReader(long),
				stream.Options{})
			if !errors.Is(err, errSink) {
				t.Errorf("sink: %v", err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(errSource)
			if _, err := pipeline(t, c.stages...).Run(ctx, io.Discard, strings.NewReader(long),
				stream.Options{}); !errors.Is(err, errSource) {
				t.Errorf("context: %v", err)
			}
		})
	}
}

func headed(name string) bool {
	return name == "head" || name == "zstd unzstd" || name == "ndjson select"
}

func TestOutputLimit(t *testing.T) {
	t.Parallel()
	input := strings.Repeat("x", 1<<20)
	for limit, ok := range map[int64]bool{1<<20 - 1: false, 1 << 20: true} {
		_, _, err := through(t, strings.NewReader(input), stream.Options{MaxBytes: limit})
		var over *stream.LimitError
		if ok && err != nil || !ok && (!errors.As(err, &over) || over.Limit != stream.LimitOutput) {
			t.Errorf("%d: %v", limit, err)
		}
	}
	bomb := string(pack(t, stream.Gzip, 9, make([]byte, 64<<20)))
	for name, stages := range map[string][]stream.Stage{
		"front":  {stream.Decompress(stream.Gzip, 100)},
		"behind": {stream.Count(), stream.Decompress(stream.Gzip, 100), stream.Count()},
	} {
		_, _, err := through(t, strings.NewReader(bomb), stream.Options{}, stages...)
		var over *stream.LimitError
		if !errors.As(err, &over) || over.Limit != stream.LimitRatio {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecordErrors(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", stream.MaxRecord+1)
	for name, c := range map[string]struct {
		input  string
		stages []stream.Stage
		at     stream.Position
		kept   string // with errors skipped
	}{
		"json": {"{}\n\n{\"a\":tru}\n1\n", []stream.Stage{stream.NDJSON()},
			stream.Position{Line: 3, Offset: 9}, "{}\n1\n"},
		"json filtered": {"{}\n{\"a\":\n1\n", []stream.Stage{stream.NDJSON(), stream.Filter(expr(t, "."))},
			stream.Position{Line: 2, Offset: 8}, "{}\n1\n"},
		"json long": {"1\n\"" + huge + "\"\n2\n", []stream.Stage{stream.NDJSON()},
			stream.Position{Line: 2, Offset: 2}, "1\n2\n"},
		"line long": {huge + "\n" + huge + "\nx", []stream.Stage{stream.SplitLines()},
			stream.Position{Line: 1}, "x\n"},
		"utf-8": {"1\n\"\xff\"\n", []stream.Stage{stream.NDJSON()},
			stream.Position{Line: 2, Offset: 3}, "1\n"},
		"expression": {"{\"a\":1}\n{\"a\":[]}\n",
			[]stream.Stage{stream.NDJSON(), stream.Map(expr(t, ".a+1"))}, stream.Position{Line: 2, Offset: 8},
			"2\n"},
		"field of field": {"{\"a\":1}\n{\"a\":{}}\n",
			[]stream.Stage{stream.NDJSON(), stream.Filter(expr(t, ".a.b == null"))}, stream.Position{Line: 1},
			"{\"a\":{}}\n"},
		"no object": {"{}\n1\n", []stream.Stage{stream.NDJSON(), stream.Select("a")},
			stream.Position{Line: 2, Offset: 3}, "{}\n"},
		"ragged": {"a,b\n1,\"2\n\"\n3\n4,5,6\n7,8\n", []stream.Stage{stream.CSV(stream.CSVOptions{})},
			stream.Position{Line: 4, Offset: 11}, `{"a":"1","b":"2\n"}` + "\n" + `{"a":"7","b":"8"}` + "\n"},
		"behind a quote": {"a,b\r\n1,\"2\"3\r\n4,5\r\n", []stream.Stage{stream.CSV(stream.CSVOptions{})},
			stream.Position{Line: 2, Offset: 10}, `{"a":"4","b":"5"}` + "\n"},
		"open quote": {"a,b\n1,\"2\n3", []stream.Stage{stream.CSV(stream.CSVOptions{})},
			stream.Position{Line: 2, Offset: 6}, ""},
		"field long": {"a\n1\n\"" + huge + "\n", []stream.Stage{stream.CSV(stream.CSVOptions{})},
			stream.Position{Line: 3, Offset: 4}, `{"a":"1"}` + "\n"},
		"new column": {"{\"a\":1}\n{\"b\":1}\n{}\n",
			[]stream.Stage{stream.NDJSON(), stream.CSV(stream.CSVOptions{})},
			stream.Position{Line: 2, Offset: 8}, "a\n1\n\"\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := through(t, strings.NewReader(c.input), stream.Options{}, c.stages...)
			var wrong *stream.RecordError
			if !errors.As(err, &wrong) || wrong.At != c.at {
				t.Fatalf("got %v, want an error at %+v", err, c.at)
			}
			got, report, err := through(t, strings.NewReader(c.input), stream.Options{SkipErrors: true},
				c.stages...)
			if err != nil || got != c.kept {
				t.Fatalf("skipping: got %.100q, %v, want %q", got, err, c.kept)
			}
			if report.Skipped == 0 || int64(len(report.Errors)) != report.Skipped ||
				report.Errors[0].At != c.at {
				t.Errorf("skipped %d: %v", report.Skipped, report.Errors)
			}
		})
	}
	for _, skip := range []bool{false, true} {
		_, _, err := through(t, strings.NewReader("1\n"), stream.Options{SkipErrors: skip}, stream.NDJSON(),
			stream.Filter(expr(t, "def f: f; f")))
		if !errors.Is(err, jq.ErrSteps) {
			t.Errorf("endless expression: %v", err)
		}
	}
}
