//go:build linux

package e2e

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"testing"

	"longshore/client"
	"longshore/job"
)

// combined reads lines of the Combined Log Format into records.
const combined = `capture("^(?<address>\\S+) \\S+ .*?\\[(?<time>[^\\]]+)\\] \"(?<request>(?:[^\"\\\\]|\\\\.)*)\" (?<status>\\d{3}) (?<bytes>\\d+|-)") | .status |= tonumber | .bytes |= (tonumber? // 0)`

// TestLogThroughPipelines takes a real log through the stream tasks: what each
// of them counts agrees with the others and with the known facts.
func TestLogThroughPipelines(t *testing.T) {
	t.Parallel()
	log, err := os.ReadFile(accessLog)
	if err != nil {
		t.Skip("the real access.log is not there: ", err)
	}
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	run := func(typ string, payload any, input []byte, result any) []byte {
		t.Helper()
		snap, err := c.SubmitFile(t.Context(), client.Submission{Type: typ, Payload: payload},
			bytes.NewReader(input), int64(len(input)))
		if err != nil {
			t.Fatal(err)
		}
		if snap = wait(t, c, snap.ID); snap.State != job.Succeeded {
			t.Fatalf("%s ended as %+v", typ, snap)
		}
		if p := snap.Progress; p == nil || p.BytesDone != int64(len(input)) ||
			p.Fraction == nil || *p.Fraction != 1 {
			t.Errorf("%s: last progress %+v of %d bytes", typ, p, len(input))
		}
		if err := json.Unmarshal(snap.Result, result); err != nil {
			t.Fatal(err)
		}
		if len(snap.Outputs) == 0 {
			return nil
		}
		file, err := c.Result(t.Context(), snap.ID)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		out, err := io.ReadAll(file)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	type object map[string]any
	type counts struct {
		In      int64 `json:"records_in"`
		Out     int64 `json:"records_out"`
		Skipped int64 `json:"skipped"`
	}

	var plain, packed report
	run("log.analyze", object{}, log, &plain)
	var sizes struct {
		In int64 `json:"bytes_in"`
	}
	gz := run("file.compress", object{"format": "gzip"}, log, &sizes)
	if run("log.analyze", object{}, gz, &packed); packed.Lines != 10_000 || plain.Bytes != packed.Bytes || packed.Bytes != 2_747_282_740 || sizes.In != int64(len(log)) {
		t.Errorf("analyses: %+v of the log, %+v of the gzip", plain, packed)
	}

	var transformed struct {
		Stages []struct {
			Stage   string `json:"stage"`
			Bytes   int64  `json:"bytes_out"`
			Records int64  `json:"records_out"`
		} `json:"stages"`
	}
	stages := []object{{"gunzip": object{}}, {"lines": object{}}, {"map": combined}, {"ndjson": object{}}}
	ndjson := run("text.transform", object{"stages": stages}, gz, &transformed)
	if s := transformed.Stages; len(s) != 4 || s[0].Bytes != int64(len(log)) ||
		s[1].Records != plain.Lines || s[2].Records != plain.Lines {
		t.Errorf("stages: %+v", transformed.Stages)
	}

	for filter, want := range map[string]int64{
		".status == 404": plain.Status["404"], ".status >= 400": 213 + 2 + 2 + 3, ".status + 0 >= 500": plain.Status["500"],
	} {
		var filtered, written counts
		kept := run("ndjson.filter", object{"filter": filter}, ndjson, &filtered)
		if filtered != (counts{plain.Lines, want, 0}) {
			t.Errorf("%s: %+v, want %d", filter, filtered, want)
		}
		table := run("ndjson.to_csv", object{"columns": []string{"status", "address", "request"}}, kept, &written)
		rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
		if err != nil || int64(len(rows)) != want+1 || written != (counts{want, want, 0}) {
			t.Errorf("%s: %d rows, %+v, %v", filter, len(rows), written, err)
		}
		var back counts
		if run("csv.to_ndjson", object{}, table, &back); back != (counts{want, want, 0}) {
			t.Errorf("%s: back %+v", filter, back)
		}
	}
}
