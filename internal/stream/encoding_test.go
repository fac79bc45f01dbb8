package stream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/stream"
)

// wide is text in UTF-16, by the standard library.
func wide(order binary.AppendByteOrder, text string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return b
}

// wider is text in UTF-32.
func wider(order binary.AppendByteOrder, text string) []byte {
	var b []byte
	for _, r := range text {
		b = order.AppendUint32(b, uint32(r))
	}
	return b
}

const table = "name;city\r\nZoë;\"Łódź\r\n1\"\r\nBob;🚢 x\r\n"

var tableRecords = []map[string]string{{"name": "Zoë", "city": "Łódź\r\n1"}, {"name": "Bob", "city": "🚢 x"}}

func TestEncodings(t *testing.T) {
	t.Parallel()
	little, big := binary.LittleEndian, binary.BigEndian
	latin := []byte("name;city\nZo\xeb;\"\x80 \x93\"\n")
	for name, c := range map[string]struct {
		in    []byte
		asked stream.Encoding
		found string
		want  []map[string]string
	}{
		"little endian":           {wide(little, "\ufeff"+table), "", "utf-16le", tableRecords},
		"big endian":              {wide(big, "\ufeff"+table), "", "utf-16be", tableRecords},
		"little endian, no mark":  {wide(little, table), "", "utf-16le", tableRecords},
		"big endian, no mark":     {wide(big, table), stream.AutoEncoding, "utf-16be", tableRecords},
		"asked for":               {wide(little, table), stream.UTF16LE, "utf-16le", tableRecords},
		"asked for, big":          {wide(big, table), stream.UTF16BE, "utf-16be", tableRecords},
		"any order":               {wide(big, table), stream.UTF16, "utf-16be", tableRecords},
		"any order, marked":       {wide(big, "\ufeff"+table), stream.UTF16, "utf-16be", tableRecords},
		"the mark decides":        {wide(big, "\ufeff"+table), stream.UTF16LE, "utf-16be", tableRecords},
		"the mark decides, UTF-8": {[]byte("\ufeff" + table), stream.Windows1252, "", tableRecords},
		"four bytes":              {wider(little, "\ufeff"+table), "", "utf-32le", tableRecords},
		"four bytes, big":         {wider(big, "\ufeff"+table), "", "utf-32be", tableRecords},
		"UTF-8":                   {[]byte(table), "", "", tableRecords},
		"UTF-8, marked":           {[]byte("\ufeff" + table), "", "", tableRecords},
		"windows-1252": {latin, stream.Windows1252, "windows-1252",
			[]map[string]string{{"name": "Zoë", "city": "€ “"}}},
		"iso-8859-1": {latin, stream.Latin1, "iso-8859-1",
			[]map[string]string{{"name": "Zoë", "city": "\u0080 \u0093"}}},
		"mark inside": {wide(little, "\ufeffname;city\na\ufeff;\ufffe\n"), "", "utf-16le",
			[]map[string]string{{"name": "a\ufeff", "city": "\ufffe"}}},
		"NULs in UTF-8": {[]byte("name;city\na\x00;b\x00c\x00\n"), "", "",
			[]map[string]string{{"name": "a\x00", "city": "b\x00c\x00"}}},
		"a NUL in front": {[]byte("\x00name;city\na;b\n"), "", "",
			[]map[string]string{{"\x00name": "a", "city": "b"}}},
	} {
		for how, chunked := range chunkings {
			stage := stream.CSV(stream.CSVOptions{Delimiter: ';'}).In(c.asked)
			out, report, err := through(t, chunked(bytes.NewReader(c.in)), stream.Options{}, stage)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, how, err)
			}
			if diff := cmp.Diff(c.want, records(t, out)); diff != "" ||
				report.Stages[0].Encoding != c.found || report.Stages[0].Replaced != 0 {
				t.Errorf("%s, %s: %+v (-want +got):\n%s", name, how, report.Stages[0], diff)
			}
			text := stream.NewText(chunked(bytes.NewReader(c.in)), c.asked)
			got, err := io.ReadAll(text)
			if err != nil || !utf8.Valid(got) || c.found != "" && string(text.Encoding()) != c.found {
				t.Errorf("%s, %s as text: %q, %v", name, text.Encoding(), got, err)
			}
		}
	}
}

// TestEncodingsOfAllReaders: lines and records are decoded too, across the
// borders of what is read at once.
func TestEncodingsOfAllReaders(t *testing.T) {
	t.Parallel()
	lines := strings.Repeat("Żółw 🐢 \"x\"\n", 20_000)
	objects := strings.Repeat("{\"Żółw\":\"🐢\"}\n", 20_000)
	for name, c := range map[string]struct {
		text   string
		stages []stream.Stage
	}{
		"lines":         {lines, []stream.Stage{stream.SplitLines()}},
		"lines counted": {lines, []stream.Stage{stream.Count(), stream.SplitLines(), stream.Count()}},
		"ndjson":        {objects, []stream.Stage{stream.NDJSON()}},
		"ndjson filtered": {objects,
			[]stream.Stage{stream.NDJSON(), stream.Filter(expr(t, `.["Żółw"] == "🐢"`))}},
		"ndjson, lazily": {objects,
			[]stream.Stage{stream.NDJSON(), stream.Filter(expr(t, `."Żółw" == "🐢"`))}},
		"ndjson selected": {objects, []stream.Stage{stream.NDJSON(), stream.Select("Żółw")}},
		"lines, packed": {lines, []stream.Stage{stream.Compress(stream.Gzip, 1),
			stream.Decompress(stream.Gzip, 0), stream.SplitLines()}},
		"lines as ndjson": {objects, []stream.Stage{stream.SplitLines(), stream.NDJSON()}},
	} {
		for encoding, in := range map[string][]byte{
			"utf-16le": wide(binary.LittleEndian, "\ufeff"+c.text),
			"utf-16be": wide(binary.BigEndian, c.text), "": []byte("\ufeff" + c.text),
		} {
			out, report, err := through(t, bytes.NewReader(in), stream.Options{}, c.stages...)
			if err != nil || out != c.text {
				t.Errorf("%s, %q: %d bytes of %d, %v", name, encoding, len(out), len(c.text), err)
				continue
			}
			found := ""
			for _, s := range report.Stages {
				found += s.Encoding
			}
			if found != encoding {
				t.Errorf("%s: found %q, want %q", name, found, encoding)
			}
		}
	}
}

// TestEncodingBroken: what can't be decoded is an error or is counted.
func TestEncodingBroken(t *testing.T) {
	t.Parallel()
	whole := wide(binary.LittleEndian, "\ufeffname\na\n")
	for name, in := range map[string][]byte{
		"cut within a unit":   whole[:len(whole)-1],
		"cut within a letter": append(bytes.Clone(whole), 0x3d, 0xd8),
		"one byte more":       append(bytes.Clone(whole), '\n'),
		"utf-32 cut":          append(wider(binary.LittleEndian, "\ufeffab\n"), 0, 0, 0),
	} {
		for _, skip := range []bool{false, true} {
			_, _, err := through(t, bytes.NewReader(in), stream.Options{SkipErrors: skip},
				stream.CSV(stream.CSVOptions{}))
			corrupt := (*stream.CorruptError)(nil)
			if !errors.As(err, &corrupt) || !strings.HasPrefix(string(corrupt.Format), "utf-") ||
				corrupt.Offset != int64(len(in)) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	in := append(bytes.Clone(whole), 0x3d, 0xd8, 'x', 0, 0x22, 0xdc, 'y', 0)
	out, report, err := through(t, bytes.NewReader(in), stream.Options{}, stream.SplitLines())
	if err != nil {
		t.Fatal(err)
	}
	if want := "name\na\n\ufffdx\ufffdy\n"; out != want || report.Stages[0].Replaced != 2 {
		t.Errorf("halves of letters: %q, %+v", out, report.Stages[0])
	}
	for _, stages := range [][]stream.Stage{
		{stream.SplitLines(), stream.CSV(stream.CSVOptions{}).In(stream.Latin1)},
		{stream.NDJSON(), stream.CSV(stream.CSVOptions{}).In(stream.Latin1)},
		{stream.SplitLines(), stream.NDJSON().In(stream.UTF8)},
	} {
		if _, err := stream.NewPipeline(stages...); err == nil ||
			!strings.Contains(err.Error(), "with an encoding can't take") {
			t.Errorf("what is not bytes has an encoding: %v", err)
		}
	}
}

func FuzzEncodings(f *testing.F) {
	f.Add(wide(binary.LittleEndian, "\ufeffa,b\n"), uint8(0))
	f.Add(wide(binary.BigEndian, "a,b\n"), uint8(1))
	f.Add(wider(binary.LittleEndian, "\ufeffa"), uint8(2))
	f.Add([]byte("\xe9\x80\x00\r"), uint8(5))
	all := []stream.Encoding{stream.AutoEncoding, stream.UTF16, stream.UTF16LE, stream.UTF16BE,
		stream.Windows1252, stream.Latin1}
	f.Fuzz(func(t *testing.T, in []byte, which uint8) {
		asked := all[int(which)%len(all)]
		out, err := fuzzStages(t, in, stream.SplitLines().In(asked))
		if corrupt := (*stream.CorruptError)(nil); err != nil && !errors.As(err, &corrupt) {
			t.Fatalf("%q: %v", in, err)
		}
		text := stream.NewText(&oneByOne{in}, asked)
		got, textErr := io.ReadAll(text)
		if textErr != nil {
			t.Fatalf("%q: %v", in, textErr)
		}
		if text.Encoding() != stream.UTF8 && !utf8.Valid(got) {
			t.Fatalf("%q became %q", in, got)
		}
		want := oneEnd(strings.TrimPrefix(string(got), "\ufeff"))
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if err == nil && out != want && !strings.HasPrefix(string(got), "\ufeff\ufeff") {
			t.Fatalf("%q became %q in a pipeline, %q as text", in, out, got)
		}
	})
}

// TestLineEnds: whatever ends the lines of a file, they are the same lines.
func TestLineEnds(t *testing.T) {
	t.Parallel()
	csv := stream.CSV(stream.CSVOptions{})
	for name, c := range map[string]struct {
		in, out string // with LF
		stages  []stream.Stage
		lines   int64 // where the error is, if there is to be one
	}{
		"csv": {"name,age\nAnna,31\n\nBob,42\n",
			"{\"name\":\"Anna\",\"age\":\"31\"}\n{\"name\":\"Bob\",\"age\":\"42\"}\n", []stream.Stage{csv}, 0},
		"csv, quoted": {"a,b\n\"1\",\"2\"\n\"3\",\"\"",
			"{\"a\":\"1\",\"b\":\"2\"}\n{\"a\":\"3\",\"b\":\"\"}\n", []stream.Stage{csv}, 0},
		"csv, error":  {"a,b\n1,2\n\n3\n", "", []stream.Stage{csv}, 4},
		"csv, behind": {"a,b\n\"1\n\"2\n", "", []stream.Stage{csv}, 2},
		"ndjson": {"{\"a\":1}\n\n{\"a\":2}\n3", "{\"a\":1}\n{\"a\":2}\n3\n",
			[]stream.Stage{stream.NDJSON()}, 0},
		"ndjson, lazily": {"{\"a\":1}\n\n{\"a\":2}\n", "{\"a\":2}\n",
			[]stream.Stage{stream.NDJSON(), stream.Filter(expr(t, ".a > 1"))}, 0},
		"ndjson, error": {"{\"a\":1}\n{\"a\":2}\n\n{\"a\"}\n", "", []stream.Stage{stream.NDJSON()}, 4},
		"lines":         {"a\n\nb\nc", "a\n\nb\nc\n", []stream.Stage{stream.SplitLines()}, 0},
		"lines, filter": {"a\nxa\nab\n", "a\nxa\n", []stream.Stage{stream.SplitLines(),
			stream.Filter(expr(t, `endswith("a")`))}, 0},
		"lines, map": {"a\nb\n", "\"a\"\n\"b\"\n", []stream.Stage{stream.SplitLines(),
			stream.Map(expr(t, "."))}, 0},
		"lines, replace": {"xa\nax\n", "ya\nax\n", []stream.Stage{stream.SplitLines(),
			must(stream.ReplacePattern("x(a)$", "y$1"))}, 0},
		"lines to csv": {"a,b\n1,2\n", "{\"a\":\"1\",\"b\":\"2\"}\n", []stream.Stage{stream.SplitLines(),
			csv}, 0},
	} {
		for _, end := range []string{"\n", "\r", "\r\n", "\r\r\n", "mixed"} {
			in := strings.ReplaceAll(c.in, "\n", end)
			if end == "mixed" {
				in = ""
				for i, line := range strings.SplitAfter(c.in, "\n") {
					in += strings.ReplaceAll(line, "\n", []string{"\n", "\r\n", "\r\r\n", "\r"}[i%4])
				}
			}
			for how, chunked := range chunkings {
				out, _, err := through(t, chunked(strings.NewReader(in)), stream.Options{}, c.stages...)
				wrong := (*stream.RecordError)(nil)
				if c.lines > 0 && (!errors.As(err, &wrong) || wrong.At.Line != c.lines) || c.lines == 0 &&
					(err != nil || out != c.out) {
					t.Errorf("%s with %q, %s: %q, %v", name, end, how, out, err)
				}
			}
		}
	}
	// Within quotes they are kept.
	out, _, err := through(t, strings.NewReader("a\r\"\r\n\r\r\n\n\r\"\r"), stream.Options{}, csv)
	if want := `{"a":"\r\n\r\r\n\n\r"}` + "\n"; out != want || err != nil {
		t.Errorf("within quotes: %q, %v", out, err)
	}
}

// TestManyLinesWithoutLF: each line is found without a search of the whole file.
func TestManyLinesWithoutLF(t *testing.T) {
	t.Parallel()
	const n = 1 << 20
	in := strings.Repeat("0123\r", n)
	out, report, err := through(t, strings.NewReader(in), stream.Options{}, stream.SplitLines())
	if err != nil || report.RecordsIn != n || out != strings.ReplaceAll(in, "\r", "\n") {
		t.Errorf("%d lines, %v", report.RecordsIn, err)
	}
	l := stream.NewLines(strings.NewReader(in), 128<<10)
	defer l.Close()
	for err = error(nil); err == nil; _, err = l.Next() { //nolint:revive // it counts
	}
	if l.Line() != n {
		t.Errorf("%d lines, %v", l.Line(), err)
	}
}

// TestSharedText: files of the shared data, where there are any, are no UTF-16.
func TestSharedText(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(spectrum + "/*")
	if err != nil || len(files) == 0 {
		t.Skipf("no files in %s", spectrum)
	}
	for _, name := range files {
		in, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if out, report, err := through(t, bytes.NewReader(in), stream.Options{},
			stream.SplitLines()); err != nil || report.Stages[0].Encoding != "" {
			t.Errorf("%s: %d bytes, %v", name, len(out), err)
		}
	}
}
