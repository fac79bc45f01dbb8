package handlers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/handlers"
	"longshore/handlers/handlerstest"
	"longshore/internal/loggen"
	"longshore/internal/stream"
	"longshore/job"
	"longshore/tasks"
)

func TestCSVToNDJSON(t *testing.T) {
	t.Parallel()
	in := []byte("\ufeffid;name\r\n1;\"a;b\"\r\n2;\"x\"y\r\n3\r\n4;\xff\r\n")
	result, outputs := succeed(t, "csv.to_ndjson", `{"delimiter":";","on_error":"skip"}`, in)
	want := `{"id":"1","name":"a;b"}` + "\n" + `{"id":"4","name":"�"}` + "\n"
	if got := string(outputs["output.ndjson"]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	wanted := map[string]any{"records_in": 4., "records_out": 2., "skipped": 2., "replaced": 1.,
		"bytes_in": float64(len(in)), "bytes_out": float64(len(want)), "errors": []any{
			map[string]any{"stage": "csv", "line": 3., "offset": 26.,
				"error": "text behind the quote that closes a field"},
			map[string]any{"stage": "csv", "line": 4., "offset": 29., "error": "row has 1 fields, not 2"},
		}}
	if diff := cmp.Diff(wanted, result); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	err := fail(t, "csv.to_ndjson", `{"delimiter":";"}`, in, job.CorruptInput)
	if !strings.Contains(err.Error(), "line 3 at byte 26") {
		t.Error(err)
	}
	_, outputs = succeed(t, "csv.to_ndjson", `{"header":false,"columns":["n"]}`,
		pack(t, stream.Gzip, []byte("1\n2")))
	if got := string(outputs["output.ndjson"]); got != "{\"n\":\"1\"}\n{\"n\":\"2\"}\n" {
		t.Error(got)
	}
}

// TestCSVFiles runs the corner cases of ../shared/data through the task.
func TestCSVFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../shared/data/csv/*.csv")
	if err != nil || len(files) == 0 {
		t.Skip("no files in ../shared/data/csv")
	}
	for _, file := range files {
		in, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		result, outputs := succeed(t, "csv.to_ndjson", `{}`, in)
		if lines := bytes.Count(outputs["output.ndjson"],
			[]byte("\n")); float64(lines) != result["records_out"] || lines == 0 {
			t.Errorf("%s: %d lines, %v", file, lines, result)
		}
	}
}

func TestNDJSONToCSV(t *testing.T) {
	t.Parallel()
	in := []byte(`{"a":"x,\"y\"","b":null,"c":[1,{"d":2}]}` + "\n" + `{"c":1.50,"b":true}` + "\n")
	result, outputs := succeed(t, "ndjson.to_csv", `{}`, in)
	want := "a,b,c\n\"x,\"\"y\"\"\",,\"[1,{\"\"d\"\":2}]\"\n,true,1.50\n"
	if got := string(outputs["output.csv"]); got != want || result["records_out"] != 2. {
		t.Errorf("got %s, want %s: %v", got, want, result)
	}
	_, outputs = succeed(t, "ndjson.to_csv", `{"columns":["c","z"],"delimiter":"\t","header":false}`, in)
	if got := string(outputs["output.csv"]); got != "\"[1,{\"\"d\"\":2}]\"\t\n1.50\t\n" {
		t.Errorf("%q", got)
	}
	fail(t, "ndjson.to_csv", `{}`, []byte("{\"a\":1}\n{\"b\":1}\n"), job.CorruptInput)
	fail(t, "ndjson.to_csv", `{}`, []byte("[1]\n"), job.CorruptInput)
}

func TestNDJSONFilter(t *testing.T) {
	t.Parallel()
	in := []byte(`{"status":503}` + "\n" + `{"status":"x"}` + "\n" + `{"status":404}` + "\n{}\n")
	for filter, out := range map[string]float64{".status >= 500": 2, ".status == null": 1,
		`.status | type == "number"`: 2, "false": 0, "select(.status) | .status < 500": 1} {
		payload, err := json.Marshal(tasks.NDJSONFilter{Filter: filter})
		if err != nil {
			t.Fatal(err)
		}
		result, outputs := succeed(t, "ndjson.filter", string(payload), in)
		if result["records_in"] != 4. || result["records_out"] != out ||
			float64(bytes.Count(outputs["output.ndjson"], []byte("\n"))) != out {
			t.Errorf("%s: %v", filter, result)
		}
	}
	broken := append(bytes.Clone(in), "{\"status\":5"...)
	err := fail(t, "ndjson.filter", `{"filter":".status"}`, broken, job.CorruptInput)
	if !strings.Contains(err.Error(), "line 5 at byte ") {
		t.Error(err)
	}
	if result, _ := succeed(t, "ndjson.filter", `{"filter":".status","on_error":"skip"}`,
		broken); result["skipped"] != 1. || result["records_out"] != 3. {
		t.Error(result)
	}
	for _, filter := range []string{"def f: f; f", "[range(1e12)]", "last(repeat(1))"} {
		fail(t, "ndjson.filter", `{"on_error":"skip","filter":"`+filter+`"}`, in, job.StepLimit)
	}
}

func TestTransform(t *testing.T) {
	t.Parallel()
	table, err := io.ReadAll(loggen.Rows{Seed: 3, Bytes: 1 << 20}.CSV())
	if err != nil {
		t.Fatal(err)
	}
	payload :=
		`{"stages":[{"gunzip":{}},{"checksum":{}},{"csv":{"header":true}},{"map":".status |= tonumber"},{"filter":".status >= 500"},{"select":["status","path"]},{"ndjson":{}},{"count":{}}]}`
	result, outputs := succeed(t, "text.transform", payload, pack(t, stream.Gzip, table))
	lines := strings.Split(strings.TrimSpace(string(outputs["output.ndjson"])), "\n")
	stages := result["stages"].([]any)
	if len(stages) != 8 || stages[4].(map[string]any)["records_out"] != float64(len(lines)) ||
		stages[0].(map[string]any)["bytes_out"] != float64(len(table)) {
		t.Errorf("%d lines, %v", len(lines), stages)
	}
	if sums := stages[1].(map[string]any)["sums"]; sums.(map[string]any)["sha256"] == nil {
		t.Error(sums)
	}
	for _, line := range lines {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil || len(record) != 2 ||
			record["status"].(float64) < 500 {
			t.Fatalf("%s: %v", line, err)
		}
	}
	for payload, name := range map[string]string{
		`{"stages":[{"lines":{}},{"head":{"n":2}},{"upper":{}},{"gzip":{"level":1}}]}`: "output.gz",
		`{"stages":[{"zstd":{}}]}`: "output.zst",
		`{"stages":[{"csv":{}},{"csv":{"delimiter":";","header":false,"columns":["path"]}}]}`:          "output.csv",
		`{"stages":[{"lines":{}},{"replace":{"pattern":"G(E)T","with":"$1"}},{"lower":{}}]}`:           "output",
		`{"stages":[{"lines":{}},{"map":"split(\",\")"},{"filter":"length > 3"}],"max_bytes":9999999}`: "output.ndjson",
	} {
		if _, outputs := succeed(t, "text.transform", payload, table); len(outputs[name]) == 0 {
			t.Errorf("%s: no %s", payload, name)
		}
	}
}

func TestTransformRefused(t *testing.T) {
	t.Parallel()
	infos, err := tasks.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := tasks.NewCatalog(infos...)
	if err != nil {
		t.Fatal(err)
	}
	stage33 := strings.TrimSuffix(strings.Repeat(`{"count":{}},`, 33), ",")
	for payload, pointer := range map[string]string{
		`{}`:                                   "",
		`{"stages":[]}`:                        "/stages",
		`{"stages":null}`:                      "/stages",
		`{"stages":[{}]}`:                      "/stages/0",
		`{"stages":[{"lines":{},"count":{}}]}`: "/stages/0",
		`{"stages":[{"count":{}},{"nosuch":{}}]}`:                         "/stages/1/nosuch",
		`{"stages":[{"count":{}},{"filter":"."}]}`:                        "/stages/1",
		`{"stages":[{"lines":{}},{"filter":".a ==SECRET"}]}`:              "/stages/1/filter",
		`{"stages":[{"lines":{}},{"map":"SECRET(1)"}]}`:                   "/stages/1/map",
		`{"stages":[{"lines":{}},{"filter":5}]}`:                          "/stages/1/filter",
		`{"stages":[{"lines":{}},{"replace":{"pattern":"(SECRET"}}]}`:     "/stages/1/replace",
		`{"stages":[{"lines":{}},{"replace":{"old":"a","pattern":"b"}}]}`: "/stages/1/replace",
		`{"stages":[{"csv":{"delimiter":"\""}}]}`:                         "/stages/0/csv/delimiter",
		`{"stages":[{"csv":{"delimiter":"é"}}]}`:                          "/stages/0/csv/delimiter",
		`{"stages":[{"csv":{}},{"select":[]}]}`:                           "/stages/1/select",
		`{"stages":[{"lines":{}},{"head":{}}]}`:                           "/stages/1/head",
		`{"stages":[{"checksum":{"algorithms":["rot13"]}}]}`:              "/stages/0/checksum/algorithms/0",
		`{"stages":[{"gzip":{"level":10}}]}`:                              "/stages/0/gzip/level",
		`{"stages":[` + stage33 + `]}`:                                    "/stages",
		`{"stages":[{"count":{}}],"on_error":"ignore"}`:                   "/on_error",
	} {
		_, err := catalog.Check("text.transform", []byte(payload))
		var problems tasks.Problems
		if !errors.As(err, &problems) || problems[0].Pointer != pointer ||
			strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v, want one at %s", payload, err, pointer)
		}
	}
	for typ, payload := range map[string]string{"ndjson.filter": `{"filter":".a =="}`,
		"csv.to_ndjson": `{"delimiter":"\n"}`, "ndjson.to_csv": `{"delimiter":"\""}`} {
		var problems tasks.Problems
		if _, err := catalog.Check(typ, []byte(payload)); !errors.As(err, &problems) ||
			len(problems[0].Pointer) < 2 {
			t.Errorf("%s %s: %v", typ, payload, err)
		}
	}
}

// TestBadStreams: broken input and bombs end with the right code, nothing is
// published.
func TestBadStreams(t *testing.T) {
	t.Parallel()
	packed := pack(t, stream.Gzip, bytes.Repeat([]byte(`{"a":1}`+"\n"), 1000))
	flipped := bytes.Clone(packed)
	flipped[len(flipped)-5] ^= 1 // in the checksum
	bomb := pack(t, stream.Gzip, make([]byte, 32<<20))
	lines := `{"stages":[{"gunzip":{}},{"lines":{}}]}`
	for name, c := range map[string]struct {
		typ, payload string
		input        []byte
		code         job.Code
		says         string
	}{
		"cut": {"text.transform", lines, packed[:len(packed)/2], job.CorruptInput,
			fmt.Sprintf("at byte %d", len(packed)/2)},
		"wrong checksum":  {"text.transform", lines, flipped, job.CorruptInput, "at byte "},
		"no gzip":         {"text.transform", lines, []byte("plain"), job.CorruptInput, "at byte 0"},
		"bomb":            {"text.transform", lines, bomb, job.OutputLimit, "over 100 times"},
		"bomb of records": {"ndjson.filter", `{"filter":"."}`, bomb, job.OutputLimit, "over 100 times"},
		"packed twice": {"text.transform", `{"stages":[{"gunzip":{}},{"gunzip":{}}]}`,
			pack(t, stream.Gzip, bomb), job.OutputLimit, "over 100 times"},
		"too much": {"text.transform", `{"stages":[{"count":{}}],"max_bytes":10}`, packed,
			job.OutputLimit, "over 10 bytes"},
		"long line": {"ndjson.filter", `{"filter":".a == 1"}`, long("{\"a\":1}\n\"", stream.MaxRecord),
			job.RecordTooLong, "line 2"},
		"long field": {"csv.to_ndjson", `{}`, long("a,b\n1,2\n3,\"", stream.MaxRecord),
			job.RecordTooLong, "line 3"},
		"long line, text": {"text.transform", `{"stages":[{"lines":{}},{"count":{}}]}`,
			long("", stream.MaxRecord), job.RecordTooLong, "line 1"},
		"swelling": {"text.transform",
			`{"stages":[{"ndjson":{}},{"map":"reduce range(60) as $i (1; [., .])"}]}`, []byte("1\n"),
			job.RecordTooLong, "line 1"},
		"endless": {"text.transform", `{"stages":[{"ndjson":{}},{"map":"repeat(1)"}]}`, []byte("1\n"),
			job.StepLimit, "line 1"},
		"deep": {"ndjson.filter", `{"filter":"."}`, bytes.Repeat([]byte("["), 10_000), job.CorruptInput,
			"too deep"},
		"cut zstd": {"csv.to_ndjson", `{}`, pack(t, stream.Zstd, []byte("a\n1\n"))[:9], job.CorruptInput,
			"at byte "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := fail(t, c.typ, c.payload, c.input, c.code)
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v: nothing of %q", err, c.says)
			}
		})
	}
}

func long(head string, n int) []byte {
	return append([]byte(head), bytes.Repeat([]byte("x"), n+1)...)
}

// endless is a source without newlines, of n bytes.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.n <= 0 {
		return 0, io.EOF
	}
	n := copy(p, manyX)
	e.n -= int64(n)
	return n, nil
}

// manyX is what it reads at once: the race detector looks at a copy once, and at a loop each time.
var manyX = bytes.Repeat([]byte("x"), 256<<10)

// TestFlatMemory: a line of a quarter of a gigabyte costs no memory.
func TestFlatMemory(t *testing.T) { //nolint:paralleltest // it measures the heap
	if testing.Short() {
		t.Skip("reads half a GB")
	}
	entry, _ := handlers.BuiltIn().Lookup("text.transform")
	for _, payload := range []string{
		`{"stages":[{"lines":{}},{"count":{}}]}`,
		`{"stages":[{"csv":{}}]}`,
		`{"stages":[{"lines":{}}],"on_error":"skip"}`,
	} {
		run, files := handlerstest.NewRun("text.transform", nil)
		files.Open = func() io.Reader { return &endless{n: 1 << 28} }
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		_, err := entry.Run(t.Context(), run, []byte(payload))
		runtime.ReadMemStats(&after)
		if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 32<<20 {
			t.Errorf("%s: allocated %d MB: %v", payload, grown>>20, err)
		}
		var failure *handlers.Failure
		if skip := strings.Contains(payload, "skip"); skip && err != nil || !skip &&
			(!errors.As(err, &failure) || failure.Code != job.RecordTooLong) {
			t.Errorf("%s: %v", payload, err)
		}
	}
}
