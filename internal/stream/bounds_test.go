package stream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"longshore/internal/stream"
)

// limitOf returns the limit that an error names, or "".
func limitOf(err error) stream.Limit {
	if limit := (*stream.LimitError)(nil); errors.As(err, &limit) {
		return limit.Limit
	}
	return ""
}

// TestRecordBounds holds that each stage that makes records stops where one gets
// too long, while it is made, and that a run may leave such out.
func TestRecordBounds(t *testing.T) {
	t.Parallel()
	wide := strings.Repeat("n", 3<<20)
	value := `{"a":"` + strings.Repeat("x", 1<<20) + `"}` + "\n"
	for name, c := range map[string]struct {
		in     string
		stages []stream.Stage
	}{
		"replace": {strings.Repeat("a", 1<<20) + "\nb\n", []stream.Stage{stream.SplitLines(),
			must(stream.Replace("a", strings.Repeat("B", 60_000)))}},
		"captures": {strings.Repeat("a", 1<<20) + "\nb\n", []stream.Stage{stream.SplitLines(),
			must(stream.ReplacePattern("a+", strings.Repeat("$0", 30_000)))}},
		"empty": {strings.Repeat("a", 1<<20) + "\nb\n", []stream.Stage{stream.SplitLines(),
			must(stream.ReplacePattern("", "0123456789"))}},
		"upper": {strings.Repeat("ɐ", 3<<19) + "\nb\n", []stream.Stage{stream.SplitLines(),
			stream.Upper()}},
		"map": {value + `{"a":1}` + "\n",
			[]stream.Stage{stream.NDJSON(), stream.Map(expr(t, `range(50) as $x | .`))}},
		"map string": {value + `{"a":1}` + "\n",
			[]stream.Stage{stream.NDJSON(), stream.Map(expr(t, `.a * 10 // 1`))}},
		"read csv": {wide + "\n" + strings.Repeat(`"`, 2) + strings.Repeat("x", 2<<20) + "\n" +
			strings.Repeat("x", 2<<20) + "\ny\n", []stream.Stage{stream.ReadCSV(stream.CSVOptions{})}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pipeline(t, c.stages...).Run(t.Context(), io.Discard, strings.NewReader(c.in),
				stream.Options{})
			if name != "read csv" && limitOf(err) != stream.LimitRecord {
				t.Errorf("error is %.200v", err)
			}
			report, err := pipeline(t, c.stages...).Run(t.Context(), io.Discard, strings.NewReader(c.in),
				stream.Options{SkipErrors: true})
			if err != nil || report.Skipped == 0 || report.Stages[len(report.Stages)-1].RecordsOut == 0 &&
				report.BytesOut == 0 {
				t.Errorf("left out: %+v, %.200v", report, err)
			}
		})
	}
}

// TestGrowth holds that a table doesn't become a bomb.
func TestGrowth(t *testing.T) {
	t.Parallel()
	same := make([]string, stream.MaxColumns)
	for name, c := range map[string]struct {
		in     string
		stages []stream.Stage
	}{
		"read": {strings.Repeat("n", 1<<20) + "\n" + strings.Repeat("x\n", 1000),
			[]stream.Stage{stream.ReadCSV(stream.CSVOptions{})}},
		"write": {strings.Repeat("{}\n", 10_000),
			[]stream.Stage{stream.NDJSON(), stream.WriteCSV(stream.CSVOptions{Columns: same})}},
	} {
		var out counter
		_, err := pipeline(t, c.stages...).Run(t.Context(), &out, strings.NewReader(c.in), stream.Options{})
		if limitOf(err) != stream.LimitGrowth || int64(out) > 200<<20 {
			t.Errorf("%s: %v after %d bytes", name, err, out)
		}
	}
	honest := strings.Repeat("n", 90) + "\n" + strings.Repeat("x\n", 1<<19)
	if _, err := pipeline(t, stream.ReadCSV(stream.CSVOptions{})).Run(t.Context(), io.Discard,
		strings.NewReader(honest), stream.Options{}); err != nil {
		t.Errorf("long names: %v", err)
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// TestColumns holds that a table has so many columns, and that equal names take
// no time by the square of their number.
func TestColumns(t *testing.T) {
	t.Parallel()
	table := func(n int) string { return strings.Repeat("n,", n-1) + "n\n" + strings.Repeat(",", n-1) + "\n" }
	out, _, err := through(t, strings.NewReader(table(stream.MaxColumns)), stream.Options{},
		stream.ReadCSV(stream.CSVOptions{}))
	if want := fmt.Sprintf(`"n_%d":""}`, stream.MaxColumns); err != nil || !strings.Contains(out, want) {
		t.Errorf("%d columns: %v", stream.MaxColumns, err)
	}
	for _, o := range []stream.Options{{}, {SkipErrors: true}} {
		_, _, err := through(t, strings.NewReader(table(stream.MaxColumns+1)), o,
			stream.ReadCSV(stream.CSVOptions{}))
		if record := (*stream.RecordError)(nil); !errors.As(err, &record) ||
			!strings.Contains(err.Error(), "columns") {
			t.Errorf("one too many: %v", err)
		}
	}
	var members strings.Builder
	for i := range stream.MaxColumns + 1 {
		fmt.Fprintf(&members, `"m%d":1,`, i)
	}
	_, _, err = through(t, strings.NewReader(`{`+strings.TrimSuffix(members.String(), ",")+"}\n"),
		stream.Options{SkipErrors: true}, stream.NDJSON(), stream.WriteCSV(stream.CSVOptions{}))
	if err == nil || !strings.Contains(err.Error(), "columns") {
		t.Errorf("one member too many: %v", err)
	}
	out, _, err = through(t, strings.NewReader("a,a,a_2,a,a_2_2,a_2\n1,2,3,4,5,6\n"), stream.Options{},
		stream.ReadCSV(stream.CSVOptions{}))
	if want := `{"a":"1","a_2":"2","a_2_2":"3","a_3":"4","a_2_2_2":"5","a_2_3":"6"}` + "\n"; err != nil ||
		out != want {
		t.Errorf("names %s, %v", out, err)
	}
}

// TestLinesOfOneRow holds that a row which comes as many short lines is not read
// from its start for each of them.
func TestLinesOfOneRow(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	in := `"` + strings.Repeat("x\ny\n", 1<<18)
	p := pipeline(t, stream.SplitLines(), stream.Filter(expr(t, `. != "y"`)),
		stream.ReadCSV(stream.CSVOptions{NoHeader: true}))
	if _, err := p.Run(ctx, io.Discard, strings.NewReader(in),
		stream.Options{SkipErrors: true}); err != nil && ctx.Err() != nil {
		t.Errorf("took over 20 s: %v", err)
	}
}

// TestStopsSoon holds that a run ends soon after its context, though its stages
// have much to do with what they were given, and leave all of it out.
func TestStopsSoon(t *testing.T) {
	t.Parallel()
	names := strings.Repeat("n", 3<<20) + ",m\n"
	for name, c := range map[string]struct {
		head, body string
		stages     []stream.Stage
	}{
		"ragged rows": {names, "x\n", []stream.Stage{stream.ReadCSV(stream.CSVOptions{})}},
		"long results": {"", "aaaaaaaaaaaaaaaa\n", []stream.Stage{stream.SplitLines(),
			must(stream.Replace("a", strings.Repeat("B", 1<<20)))}},
		"slow packer": {"", "abcabcabd", []stream.Stage{stream.Compress(stream.Gzip, 9),
			stream.Compress(stream.Zstd, 9)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			end, _ := ctx.Deadline()
			in := io.MultiReader(strings.NewReader(c.head), &endless{text: []byte(c.body)})
			_, err := pipeline(t, c.stages...).Run(ctx, io.Discard, in, stream.Options{SkipErrors: true})
			if late := time.Since(end); !errors.Is(err, context.DeadlineExceeded) || late > 20*time.Second {
				t.Errorf("%v, %v late", err, late)
			}
		})
	}
}

type endless struct {
	text []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.text[e.at]
		e.at = (e.at + 1) % len(e.text)
	}
	return len(p), nil
}

// FuzzReplacePattern holds that patterns replace what package regexp replaces.
func FuzzReplacePattern(f *testing.F) {
	for _, pattern := range []string{`a`, `a*`, ``, `^`, `$`, `\b`, `\Ba`, `^a|b$`, `(?i)(A)(?P<x>b)?`,
		`(?m)^.`, `\w+`, `a|$`} {
		f.Add("abba aab é\xffa", pattern, "[$0|$1|${x}$$$")
		f.Add("", pattern, "$1x${1}x$")
	}
	f.Fuzz(func(t *testing.T, line, pattern, with string) {
		stage, err := stream.ReplacePattern(pattern, with)
		if err != nil || len(line) > 1000 || len(with) > 1000 ||
			strings.ContainsAny(line, "\r\n") {
			return // more than a line
		}
		for _, mark := range []string{"\x00", "\ufeff", "\xfe\xff", "\xff\xfe"} {
			if strings.Contains(line, mark) {
				return // to the reader it is in another encoding
			}
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			t.Fatalf("%q was taken: %v", pattern, err)
		}
		want := string(re.ReplaceAll([]byte(line), []byte(with)))
		got, _, err := through(t, strings.NewReader(line+"\n"), stream.Options{}, stream.SplitLines(), stage)
		if err != nil || got != want+"\n" {
			t.Fatalf("%q by %q with %q: %q, %v, want %q", line, pattern, with, got, err, want)
		}
	})
}

// TestPatternJudge holds that what compiles to much is refused without compiling.
func TestPatternJudge(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{
		strings.Repeat(".{0,999}", 124), `(?:(?:a{10}){10}){10}(?:b{100}){10}c`, `(a{500}){2}(?:b{500}){2}`,
		`a{1000}a{1000}`, `(?:a{0,1000}|b{0,1000})+`,
		`(?i)` + strings.Repeat(`[\x{1}-\x{1E942}]`, 50), `(?i)` + strings.Repeat("[\x01-\U0001e942]", 90),
		`x(?s-m:y(?mi:` + strings.Repeat("[\x01-\U0001e942]", 90) + `))`,
		`[` + strings.Repeat(`\pL`, 300) + `]`, strings.Repeat(`\P{Greek}`, 100),
	} {
		began := time.Now()
		if err := (&stream.PatternJudge{}).Judge(pattern); !errors.Is(err, stream.ErrPatternSize) {
			t.Errorf("%.40q…: %v", pattern, err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%.40q… took %v", pattern, took)
		}
	}
	for _, pattern := range []string{`(?:(?:a?){10}){90}b`, `^\d{1,3}(\.\d{1,3}){3}$`, `(?i)[à-ÿ]+\p{Lu}`,
		`(?i)[^"]*`, `.{0,999}`, `(?i)\p{L}+[一-龥]`} {
		if err := (&stream.PatternJudge{}).Judge(pattern); err != nil {
			t.Errorf("%q: %v", pattern, err)
		}
	}
	var j stream.PatternJudge
	for range 10 {
		if err := j.Judge(`.{0,900}`); err != nil {
			break
		}
	}
	if err := j.Judge(`.{0,900}`); !errors.Is(err, stream.ErrPatternSize) {
		t.Errorf("eleven times 1,800: %v", err)
	}
}

// FuzzPatternSize holds that a pattern that is taken is about as small as it was
// judged to be.
func FuzzPatternSize(f *testing.F) {
	f.Add(`(a{2,5}|b){3}?[x-z]+\b`)
	f.Fuzz(func(t *testing.T, pattern string) {
		var j stream.PatternJudge
		if len(pattern) > 1000 || j.Judge(pattern) != nil {
			return
		}
		if n := programSize(t, pattern); n > 3*j.Size()+50 {
			t.Fatalf("%q: %d instructions, judged %d", pattern, n, j.Size())
		}
	})
}

func programSize(t *testing.T, pattern string) int {
	t.Helper()
	n, err := stream.ProgramSize(pattern)
	if err != nil {
		t.Fatalf("%q was taken: %v", pattern, err)
	}
	return n
}
