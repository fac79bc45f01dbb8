package stream_test

import (
	"bytes"
	"io"
	"syscall"
	"testing"
	"time"

	"longshore/internal/loggen"
	"longshore/internal/stream"
)

// BenchmarkStages sends 32 MB through each stage.
func BenchmarkStages(b *testing.B) {
	read := func(r io.Reader) []byte {
		data, err := io.ReadAll(r)
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	rows := loggen.Rows{Seed: 1, Bytes: 32 << 20}
	table, records := read(rows.CSV()), read(rows.NDJSON())
	csv := stream.CSV(stream.CSVOptions{})
	for _, c := range []struct {
		name   string
		data   []byte
		stages []stream.Stage
	}{
		{"none", table, nil},
		{"lines", table, []stream.Stage{stream.SplitLines()}},
		{"count", table, []stream.Stage{stream.SplitLines(), stream.Count(), stream.Count(), stream.Count()}},
		{"upper", table, []stream.Stage{stream.Upper()}},
		{"replace", table, []stream.Stage{stream.SplitLines(), must(stream.Replace("GET", "get"))}},
		{"checksum", table, []stream.Stage{stream.Checksum("sha256")}},
		{"gzip", table, []stream.Stage{stream.Compress(stream.Gzip, 0)}},
		{"gunzip", pack(b, stream.Gzip, 0, table), []stream.Stage{stream.Decompress(stream.Gzip, 0)}},
		{"gunzip lines", pack(b, stream.Gzip, 0, table), []stream.Stage{stream.Decompress(stream.Gzip, 0),
			stream.SplitLines()}},
		{"csv", table, []stream.Stage{csv}},
		{"csv filter csv", table, []stream.Stage{csv, stream.Filter(expr(b, `.status >= "500"`)), csv}},
		{"ndjson", records, []stream.Stage{stream.NDJSON()}},
		{"ndjson filter fields", records,
			[]stream.Stage{stream.NDJSON(), stream.Filter(expr(b, ".status >= 500"))}},
		{"ndjson filter two fields", records,
			[]stream.Stage{stream.NDJSON(), stream.Filter(expr(b, `.status >= 500 and .method == "GET"`))}},
		{"ndjson filter gojq", records,
			[]stream.Stage{stream.NDJSON(), stream.Filter(expr(b, `.status + 0 >= 500`))}},
		{"ndjson map", records, []stream.Stage{stream.NDJSON(), stream.Map(expr(b, `{status, path}`))}},
		{"ndjson select", records, []stream.Stage{stream.NDJSON(), stream.Select("status", "path")}},
		{"ndjson csv", records, []stream.Stage{stream.NDJSON(), csv}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			b.ReportAllocs()
			p := pipeline(b, c.stages...)
			began := cpuTime(b)
			for b.Loop() {
				if _, err := p.Run(b.Context(), io.Discard, bytes.NewReader(c.data),
					stream.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(c.data))*float64(b.N)/1e6/(cpuTime(b)-began).Seconds(), "MB/cpu-s")
		})
	}
}

// cpuTime is what the process has used: on a busy machine it says more than the
// clock on the wall.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
