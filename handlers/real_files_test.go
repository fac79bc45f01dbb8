package handlers_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"longshore/handlers"
	"longshore/handlers/handlerstest"
	"longshore/internal/stream"
	"longshore/job"
	"longshore/tasks"
)

// file is one of the inputs that people have reported about tools like this.
func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wide is text in UTF-16, little endian, with a mark.
func wide(text string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

func TestRealFiles(t *testing.T) {
	t.Parallel()
	people := `{"name":"Anna","age":"31"}` + "\n" + `{"name":"Bob","age":"42"}` + "\n"
	for name, c := range map[string]struct {
		typ, payload string
		in           []byte
		out          string
		result       map[string]any // a part of it
	}{
		"cr": {"csv.to_ndjson", `{}`, file(t, "cr-only.csv"), people,
			map[string]any{"records_out": 2.}},
		"cr cr lf": {"csv.to_ndjson", `{}`, []byte("name,age\r\r\nAnna,31\r\r\nBob,42\r\r\n"),
			people, nil},
		"cr records": {"ndjson.filter", `{"filter":".age"}`,
			[]byte(strings.ReplaceAll(people, "\n", "\r")), people, map[string]any{"records_in": 2.}},
		"cr lines": {"text.transform", `{"stages":[{"lines":{}},{"map":"."}]}`,
			[]byte("a\rb\r\r\nc"), "\"a\"\n\"b\"\n\"c\"\n", nil},
		"utf-16": {"csv.to_ndjson", `{}`, file(t, "utf16le.csv"), `{"name":"Zoe"}` + "\n" +
			`{"name":"Bob"}` + "\n", map[string]any{"encoding": "utf-16le"}},
		"utf-16, tabs": {"csv.to_ndjson", `{"delimiter":"\t"}`,
			wide("name\tage\r\nAnna\t31\r\nBob\t42\r\n"), people, nil},
		"utf-16, packed": {"csv.to_ndjson", `{}`, pack(t, stream.Zstd, wide("name,age\nAnna,31\nBob,42")),
			people, nil},
		"utf-16, no mark": {"csv.to_ndjson", `{}`, wide("name,age\nAnna,31\nBob,42")[2:], people, nil},
		"utf-16, records": {"ndjson.filter", `{"filter":".age > \"40\""}`, wide(people),
			`{"name":"Bob","age":"42"}` + "\n", map[string]any{"encoding": "utf-16le"}},
		"utf-16, to csv": {"ndjson.to_csv", `{}`, wide(people), "name,age\nAnna,31\nBob,42\n", nil},
		"utf-16, lines":  {"text.transform", `{"stages":[{"lines":{}}]}`, wide("é\r\n"), "é\n", nil},
		"windows-1252": {"csv.to_ndjson", `{"encoding":"windows-1252"}`, []byte("a\n\x80\xe9\n"),
			`{"a":"€é"}` + "\n", map[string]any{"encoding": "windows-1252"}},
		"latin, lines": {"text.transform", `{"stages":[{"lines":{"encoding":"iso-8859-1"}}]}`,
			[]byte("\xe9\x85"), "é\u0085\n", nil},
		"latin, records": {"ndjson.filter", `{"filter":".a == \"é\"","encoding":"iso-8859-1"}`,
			[]byte("{\"a\":\"\xe9\"}"), `{"a":"é"}` + "\n", nil},
		"latin, csv stage": {"text.transform", `{"stages":[{"csv":{"encoding":"iso-8859-1"}}]}`,
			[]byte("a\n\xe9"), `{"a":"é"}` + "\n", nil},
		"latin to csv": {"ndjson.to_csv", `{"encoding":"iso-8859-1"}`, []byte("{\"a\":\"\xe9\"}"),
			"a\né\n", nil},
		"unclosed quote": {"csv.to_ndjson", `{"on_error":"skip"}`, file(t, "unclosed-quote.csv"),
			`{"a":"1","b":"2"}` + "\n" + `{"a":"5","b":"6"}` + "\n" + `{"a":"7","b":"8"}` + "\n" +
				`{"a":"9","b":"10"}` + "\n", map[string]any{"skipped": 1.}},
		"empty first": {"ndjson.to_csv", `{"on_error":"skip"}`, file(t, "empty-first.ndjson"),
			"a,b\n1,2\n", map[string]any{"skipped": 1., "records_out": 1.}},
		"empty, own": {"ndjson.to_csv", `{"columns":["b"]}`, file(t, "empty-first.ndjson"),
			"b\n\"\"\n2\n", nil},
		"no columns, text": {"text.transform", `{"stages":[{"ndjson":{}},{"csv":{"columns":[]}}]}`,
			[]byte(people), "name,age\nAnna,31\nBob,42\n", nil},
		"order": {"text.transform",
			`{"stages":[{"csv":{}},{"map":".age=(.age|tonumber)"},{"csv":{}}]}`, file(t, "order.csv"),
			"zip,name,age\n1,x,2\n", nil},
		"order of new ones": {"text.transform",
			`{"stages":[{"csv":{}},{"map":"{z:.age,b:1}+{name}"},{"csv":{}}]}`, file(t, "order.csv"),
			"z,b,name\n2,1,x\n", nil},
		"order, dropped": {"text.transform", `{"stages":[{"csv":{}},{"map":"del(.name)|.a=1"},{"csv":{}}]}`,
			file(t, "order.csv"), "zip,age,a\n1,2,1\n", nil},
	} {
		result, outputs := succeed(t, c.typ, c.payload, c.in)
		out := ""
		for _, text := range outputs {
			out = string(text)
		}
		if diff := cmp.Diff(c.out, out); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for member, want := range c.result {
			if result[member] != want {
				t.Errorf("%s: %s is %v, want %v", name, member, result[member], want)
			}
		}
	}
}

// TestRealFilesFail: what can't be read right is told, with the place.
func TestRealFilesFail(t *testing.T) {
	t.Parallel()
	header := file(t, "header-quote-blank.csv")
	for name, c := range map[string]struct {
		typ, payload string
		in           []byte
		code         job.Code
		says         string
	}{
		"header": {"csv.to_ndjson", `{}`, header, job.CorruptInput,
			"line 1 at byte 4: the header can't be read"},
		"header, skip": {"csv.to_ndjson", `{"on_error":"skip"}`, header, job.CorruptInput,
			"line 1 at byte 4: the header can't be read"},
		"header, transform": {"text.transform", `{"on_error":"skip","stages":[{"csv":{}},{"count":{}}]}`,
			header, job.CorruptInput, "the header can't be read"},
		"header, lines": {"text.transform", `{"on_error":"skip","stages":[{"lines":{}},{"csv":{}}]}`,
			header, job.CorruptInput, "the header can't be read"},
		"unclosed quote": {"csv.to_ndjson", `{}`, file(t, "unclosed-quote.csv"), job.CorruptInput,
			"line 3 at byte 10: the quote that opens a field is not closed"},
		"empty first": {"ndjson.to_csv", `{}`, file(t, "empty-first.ndjson"), job.CorruptInput,
			"line 1 at byte 0: record has no members"},
		"utf-16, cut": {"csv.to_ndjson", `{}`, wide("a\nb")[:7], job.CorruptInput,
			"corrupt utf-16le input at byte 7"},
		"long window": {"file.decompress", `{}`, []byte("\x28\xb5\x2f\xfd\x00\x89\x09\x00\x00x"),
			job.WindowLimit, "needs a window of over 134217728 bytes"},
		"long window, log": {"log.analyze", `{}`, []byte("\x28\xb5\x2f\xfd\x00\x89\x09\x00\x00x"),
			job.WindowLimit, "window"},
		"long window, text": {"text.transform", `{"stages":[{"unzstd":{}}]}`,
			[]byte("\x28\xb5\x2f\xfd\x00\x89\x09\x00\x00x"), job.WindowLimit, "window"},
		"no log": {"log.analyze", `{}`, []byte("\n\nOct 10 13:55:36 host sshd[1]: hello\nOct 10\n"),
			job.TypeMismatch, "line 3 for one"},
		"other format": {"log.analyze", `{"format":"common"}`, file(t, "vhost-combined.log"),
			job.TypeMismatch, "none of the 2 lines"},
		"json of another": {"log.analyze", `{}`, []byte(`{"msg":"hello"}` + "\n"), job.TypeMismatch,
			"none of the 1 lines"},
		"described, none": {"log.analyze", `{"format":"%h %d %t %r"}`, file(t, "vhost-combined.log"),
			job.TypeMismatch, "line 1 for one"},
		"one long line": {"log.analyze", `{}`, bytes.Repeat([]byte("x"), 1<<20), job.TypeMismatch, "line 1"},
	} {
		if err := fail(t, c.typ, c.payload, c.in, c.code); !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v: nothing of %q", name, err, c.says)
		}
	}
}

func TestRealLogs(t *testing.T) {
	t.Parallel()
	plain := `192.0.2.1 - - [10/Oct/2000:20:55:36 +0000] "GET /a HTTP/1.1" 404 5 "-" "curl"` + "\n"
	caddy :=
		`{"ts":971211336.7,"request":{"client_ip":"192.0.2.1","method":"GET","uri":"/a"},"status":404,"size":5}` + "\n"
	nginx :=
		`{"time_iso8601":"2000-10-10T20:55:36+00:00","remote_addr":"192.0.2.1","request":"GET /a HTTP/1.1","status":"404","body_bytes_sent":"5"}` + "\n"
	nuls := strings.Repeat("\x00", 1<<20)
	for name, c := range map[string]struct {
		payload          string
		in               []byte
		lines, malformed float64
		addresses        float64
	}{
		"nul prefix":     {`{}`, file(t, "nul-prefix.log"), 2, 0, 1},
		"nuls for long":  {`{}`, []byte(nuls + plain + plain), 2, 0, 1},
		"nuls between":   {`{}`, []byte(plain + nuls + plain + nuls), 2, 0, 1},
		"marks":          {`{}`, []byte("\ufeff" + plain + "\ufeff" + plain), 2, 0, 1},
		"mark and nuls":  {`{}`, []byte("\x00\x00\ufeff" + plain), 1, 0, 1},
		"utf-16":         {`{}`, wide(plain + plain), 2, 0, 1},
		"utf-16, asked":  {`{"encoding":"utf-16le"}`, wide(plain + plain)[2:], 2, 0, 1},
		"cr":             {`{}`, []byte(strings.ReplaceAll(plain+plain, "\n", "\r")), 2, 0, 1},
		"cr cr lf":       {`{}`, []byte(strings.ReplaceAll(plain+plain, "\n", "\r\r\n")), 2, 0, 1},
		"vhosts":         {`{}`, file(t, "vhost-combined.log"), 2, 0, 2},
		"vhosts by name": {`{"format":"vhost_combined"}`, file(t, "vhost-combined.log"), 2, 0, 2},
		"vhosts described": {`{"format":"%v:%^ %h %^[%d:%t %^] \"%r\" %s %b \"%R\" \"%u\""}`,
			file(t, "vhost-combined.log"), 2, 0, 2},
		"caddy":        {`{}`, []byte(caddy + caddy), 2, 0, 1},
		"nginx":        {`{}`, []byte(nginx + caddy), 2, 0, 1},
		"json by name": {`{"format":"json"}`, []byte(nginx + plain), 2, 1, 1},
		"all at once":  {`{}`, []byte(nginx + plain + "shop " + plain + "no log\n"), 4, 1, 1},
		"described": {`{"format":"%h|%x|%m %U|%s|%b","date_format":"%F","time_format":"%T"}`,
			[]byte("192.0.2.1|2000-10-10 20:55:36|GET /a|404|5\n"), 1, 0, 1},
		"only blank lines": {`{}`, []byte("\n\r\n \n"), 3, 3, 0},
	} {
		got, _ := succeed(t, "log.analyze", c.payload, c.in)
		if got["lines"] != c.lines || got["malformed"] != c.malformed ||
			got["unique_addresses"] != c.addresses {
			t.Errorf("%s: %v", name, got)
		}
		read := c.lines - c.malformed
		if paths, _ := got["top_paths"].([]any); read > 0 && (paths[0].(map[string]any)["value"] != "/a" ||
			got["server_errors"] != 0. || got["first"] == nil) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got, _ := succeed(t, "log.analyze", `{}`, wide(plain)); got["encoding"] != "utf-16le" {
		t.Errorf("encoding: %v", got["encoding"])
	}
}

// TestNoMemoryForWindow: a job whose input needs a large window while others
// have the memory waits for them.
func TestNoMemoryForWindow(t *testing.T) { //nolint:paralleltest // the memory is the process's
	large := []byte("\x28\xb5\x2f\xfd\x00\x88\x09\x00\x00x")
	var held []*stream.Reader
	for range 2 {
		z, err := stream.NewReader(bytes.NewReader(large), stream.Zstd, stream.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		held = append(held, z)
	}
	r, files := handlerstest.NewRun("file.decompress", large)
	_, err := run(t, t.Context(), "file.decompress", `{}`, r, files)
	if later := (*handlers.Postponement)(nil); !errors.As(err, &later) || later.Delay < time.Second {
		t.Errorf("got %v, want to run later", err)
	}
	for _, z := range held {
		z.Close()
	}
	if got, outputs := succeed(t, "file.decompress", `{}`, large); got["bytes_out"] != 1. ||
		string(outputs["output"]) != "x" {
		t.Errorf("then: %v", got)
	}
}

func TestEncodingAndFormatChecked(t *testing.T) {
	t.Parallel()
	infos, err := tasks.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := tasks.NewCatalog(infos...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ typ, payload, pointer string }{
		{"csv.to_ndjson", `{"encoding":"ebcdic"}`, "/encoding"},
		{"text.transform", `{"stages":[{"lines":{"encoding":"utf-7"}}]}`, "/stages/0/lines/encoding"},
		{"text.transform", `{"stages":[{"lines":{}},{"csv":{"encoding":"utf-16"}}]}`, "/stages/1"},
		{"text.transform", `{"stages":[{"ndjson":{}},{"csv":{"encoding":"utf-16"}}]}`, "/stages/1"},
		{"ndjson.to_csv", `{"columns":[]}`, "/columns"},
		{"log.analyze", `{"format":"apache"}`, "/format"},
		{"log.analyze", `{"format":"%h %d"}`, "/format"},
		{"log.analyze", `{"format":"common","date_format":"%d"}`, "/format"},
		{"log.analyze", `{"encoding":"x"}`, "/encoding"},
	} {
		var problems tasks.Problems
		if _, err := catalog.Check(c.typ, []byte(c.payload)); !errors.As(err, &problems) ||
			problems[0].Pointer != c.pointer {
			t.Errorf("%s %s: %v, want one at %s", c.typ, c.payload, err, c.pointer)
		}
	}
}
