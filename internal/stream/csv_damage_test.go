package stream_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/stream"
)

// TestHeaderUnreadable: no row becomes the names in place of a header that
// can't be read, whatever is done with errors.
func TestHeaderUnreadable(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", stream.MaxRecord+1<<20)
	for name, c := range map[string]struct {
		in    string
		at    stream.Position
		limit bool
	}{
		"blank behind a quote": {"\"id\" ,\"name\"\n1,anna\n2,bob\n", stream.Position{Line: 1, Offset: 4},
			false},
		"text behind a quote":  {"\n\"id\"x\n1\n2\n", stream.Position{Line: 2, Offset: 5}, false},
		"quote open":           {"a,\"b\n1,2\n3,4\n", stream.Position{Line: 1, Offset: 2}, false},
		"quote open, then not": {"a,\"b\n1,\"2\"\n3,4\n", stream.Position{Line: 1, Offset: 2}, false},
		"too long":             {huge + "\n1\n2\n", stream.Position{Line: 1}, true},
		"quote open for long":  {"a,\"b" + huge + "\n1,2\n", stream.Position{Line: 1, Offset: 2}, true},
	} {
		for _, skip := range []bool{false, true} {
			for _, stages := range [][]stream.Stage{
				{stream.CSV(stream.CSVOptions{})},
				{stream.SplitLines(), stream.CSV(stream.CSVOptions{}), stream.CSV(stream.CSVOptions{})},
			} {
				_, _, err := through(t, strings.NewReader(c.in), stream.Options{SkipErrors: skip}, stages...)
				wrong, limit := (*stream.RecordError)(nil), (*stream.LimitError)(nil)
				if len(stages) > 1 && c.limit {
					continue // lines have their own limit
				}
				if !errors.As(err, &wrong) || wrong.At != c.at || errors.As(err, &limit) != c.limit ||
					!strings.Contains(err.Error(), "header") {
					t.Errorf("%s, skip %t, %d stages: %v, want an error at %v", name, skip, len(stages), err, c.at)
				}
			}
		}
	}
	// Where the names are not in the file, a broken first row is as any other.
	out, report, err := through(t, strings.NewReader("\"1\" ,2\n3,4\n"), stream.Options{SkipErrors: true},
		stream.CSV(stream.CSVOptions{NoHeader: true}))
	if want := `{"1":"3","2":"4"}` + "\n"; out != want || err != nil || report.Skipped != 1 {
		t.Errorf("without header: %q, %v", out, err)
	}
}

// TestOpenQuote: a quote that is not closed costs its line, and is reported
// there, however far the field would go.
func TestOpenQuote(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   string
		out  string
		errs []stream.Position
	}{
		"to the end": {"a,b\n1,2\n3,\"x\n5,6\n7,8\n9,10\n", "1|2 5|6 7|8 9|10",
			[]stream.Position{{Line: 3, Offset: 10}}},
		"to a quote": {"a,b\n3,\"x\n5,6\n7,\"y\"\n9,10\n", "5|6 7|y 9|10",
			[]stream.Position{{Line: 2, Offset: 6}}},
		"doubled ones": {"a,b\n3,\"x\n5,\"\"\n7,8\"\"\n", "5| 7|8\"\"",
			[]stream.Position{{Line: 2, Offset: 6}}},
		"twice": {"a,b\r\n\"1,2\r\n3,4\r\n5,\"6\r\n7,8\r\n", "3|4 7|8",
			[]stream.Position{{Line: 2, Offset: 5}, {Line: 4, Offset: 18}}},
		"second field": {"a,b\r\"1\r\",\"2\r3,4\r", "3|4", []stream.Position{{Line: 3, Offset: 9}}},
		"at the end":   {"a,b\n1,2\n\"", "1|2", []stream.Position{{Line: 3, Offset: 8}}},
		"lines in it": {"a,b\n\"1\n\n1\",2\n\"3,4\n5,6", "1\n\n1|2 5|6",
			[]stream.Position{{Line: 5, Offset: 13}}},
		"ragged inside": {"a,b\n1,\"2\n3\n4,5\n", "4|5", []stream.Position{{Line: 2, Offset: 6},
			{Line: 3, Offset: 9}}},
	} {
		var want []map[string]string
		for row := range strings.SplitSeq(c.out, " ") {
			first, second, _ := strings.Cut(row, "|")
			want = append(want, map[string]string{"a": first, "b": second})
		}
		for how, chunked := range chunkings {
			out, report, err := through(t, chunked(strings.NewReader(c.in)), stream.Options{SkipErrors: true},
				stream.CSV(stream.CSVOptions{}))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var errs []stream.Position
			for _, e := range report.Errors {
				errs = append(errs, e.At)
			}
			if diff := cmp.Diff(c.errs, errs); diff != "" || report.Skipped != int64(len(c.errs)) {
				t.Errorf("%s, %s: errors (-want +got):\n%s", name, how, diff)
			}
			if diff := cmp.Diff(want, records(t, out)); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, how, diff)
			}
		}
		_, _, err := through(t, strings.NewReader(c.in), stream.Options{}, stream.CSV(stream.CSVOptions{}))
		if wrong := (*stream.RecordError)(nil); !errors.As(err, &wrong) || wrong.At != c.errs[0] {
			t.Errorf("%s: %v, want an error at %v", name, err, c.errs[0])
		}
	}
}

// TestOpenQuoteInLongFile: past the limit of a row the quote is known to be
// open, and the rows behind it are read.
func TestOpenQuoteInLongFile(t *testing.T) {
	t.Parallel()
	const rows = 1 << 20
	in := "a,b\n0,0\n0,\"0\n" + strings.Repeat("1,234\n", rows)
	out, report, err := through(t, strings.NewReader(in), stream.Options{SkipErrors: true},
		stream.CSV(stream.CSVOptions{}))
	if n := strings.Count(out, `{"a":"1","b":"234"}`); err != nil || n != rows || report.Skipped != 1 ||
		report.Errors[0].At != (stream.Position{Line: 3, Offset: 10}) {
		t.Fatalf("%d of %d rows, %d skipped: %v", n, rows, report.Skipped, err)
	}
	_, _, err = through(t, strings.NewReader(in), stream.Options{}, stream.CSV(stream.CSVOptions{}))
	if limit := (*stream.LimitError)(nil); !errors.As(err, &limit) || limit.Line != 3 ||
		!strings.Contains(err.Error(), "in quotes") {
		t.Errorf("not skipping: %v", err)
	}
}

// TestCSVLosesNoMember: without columns of one's own, no member of a record is
// left out.
func TestCSVLosesNoMember(t *testing.T) {
	t.Parallel()
	none := stream.Position{}
	for name, c := range map[string]struct {
		in     string
		stages []stream.Stage
		out    string // errors skipped
		at     stream.Position
	}{
		"empty first":   {"{}\n{\"a\":1,\"b\":2}\n", nil, "a,b\n1,2\n", stream.Position{Line: 1}},
		"several empty": {"{}\n{ }\n{\"a\":1}\n{}\n", nil, "a\n1\n\"\"\n", stream.Position{Line: 1}},
		"only empty":    {"{}\n{}\n", nil, "", stream.Position{Line: 1}},
		"selected": {"{\"x\":1}\n{\"a\":1}\n", []stream.Stage{stream.Select("a")}, "a\n1\n",
			stream.Position{Line: 1}},
		"deleted": {"{\"x\":1}\n{\"a\":1}\n", []stream.Stage{stream.Map(expr(t, "del(.x)"))}, "a\n1\n",
			stream.Position{Line: 1}},
		"mapped": {"{\"x\":1}\n{\"a\":1}\n",
			[]stream.Stage{stream.Map(expr(t, "{a} | map_values(values)"))}, "a\n1\n",
			stream.Position{Line: 1}},
		"names with \\": {`{"\\\\":1,"\\":"a"}` + "\n", nil, "\\\\,\\\n1,a\n", none},
		"none absent":   {"{\"a\":1}\n{}\n", nil, "a\n1\n\"\"\n", none},
		"one more": {"{\"a\":1}\n{\"a\":1,\"b\":2}\n{\"a\":3}\n", nil, "a\n1\n3\n",
			stream.Position{Line: 2, Offset: 8}},
	} {
		for _, noHeader := range []bool{false, true} {
			stages := append(append([]stream.Stage{stream.NDJSON()}, c.stages...),
				stream.CSV(stream.CSVOptions{NoHeader: noHeader}))
			out, report, err := through(t, strings.NewReader(c.in), stream.Options{SkipErrors: true},
				stages...)
			if noHeader {
				_, c.out, _ = strings.Cut(c.out, "\n")
			}
			if out != c.out || err != nil || (report.Skipped == 0) != (c.at == none) {
				t.Errorf("%s: %q, %v, want %q", name, out, err, c.out)
			}
			_, _, err = through(t, strings.NewReader(c.in), stream.Options{}, stages...)
			if wrong := (*stream.RecordError)(nil); (err != nil) != (c.at != none) || err != nil &&
				(!errors.As(err, &wrong) || wrong.At != c.at) {
				t.Errorf("%s: %v, want an error at %v", name, err, c.at)
			}
		}
	}
	out, _, err := through(t, strings.NewReader("{}\n{\"a\":1,\"b\":2}\n"), stream.Options{}, stream.NDJSON(),
		stream.CSV(stream.CSVOptions{Columns: []string{"b", "x", "b"}}))
	if want := "b,x,b\n,,\n2,,2\n"; out != want || err != nil {
		t.Errorf("own columns: %q, %v, want %q", out, err, want)
	}
}
