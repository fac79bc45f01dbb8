package handlers

import (
	"context"
	"io"

	"longshore/internal/jq"
	"longshore/internal/stream"
	"longshore/tasks"
)

const skip = "skip" // the on_error that leaves records out

// records is the result of the tasks that turn records into others.
type records struct {
	RecordsIn  int64 `json:"records_in"`
	RecordsOut int64 `json:"records_out"`
	Skipped    int64 `json:"skipped"` // left out because of an error
	// fields of CSV with bytes that are not UTF-8, and what could not be decoded
	Replaced int64           `json:"replaced,omitempty"`
	Encoding string          `json:"encoding,omitempty"` // that was decoded
	BytesIn  int64           `json:"bytes_in"`
	BytesOut int64           `json:"bytes_out"`
	Errors   []skippedRecord `json:"errors,omitempty"` // the first ones that were skipped
}

// skippedRecord says why a record was left out.
type skippedRecord struct {
	Stage  string `json:"stage"`
	Line   int64  `json:"line"`   // from 1
	Offset int64  `json:"offset"` // bytes before what is wrong, or before its line
	Error  string `json:"error"`
}

func skippedRecords(report *stream.Report) []skippedRecord {
	var all []skippedRecord
	for _, e := range report.Errors {
		all = append(all, skippedRecord{e.Stage, e.At.Line, e.At.Offset, clip(e.Err.Error())})
	}
	return all
}

// clip keeps what an expression says of a value from filling a result.
func clip(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

var (
	ndjsonFile = outputFile{"output.ndjson", "application/x-ndjson"}
	csvFile    = outputFile{"output.csv", "text/csv; charset=utf-8"}
)

// pipe runs the job's input through a pipeline into an output.
func pipe(ctx context.Context, run *Run, p *stream.Pipeline, file outputFile,
	o stream.Options) (report *stream.Report, err error) {
	o.Counts = &run.counts
	err = convert(ctx, run, file, func(out io.Writer, in io.Reader) error {
		report, err = p.Run(ctx, out, in, o)
		return err
	})
	return report, err
}

// turn runs records through stages; the input may be packed.
func turn(ctx context.Context, run *Run, file outputFile, onError string,
	stages ...stream.Stage) (any, error) {
	p, err := stream.NewPipeline(append([]stream.Stage{stream.Decompress(stream.Auto, tasks.DefaultMaxRatio)},
		stages...)...)
	if err != nil {
		return nil, Fail(err)
	}
	report, err := pipe(ctx, run, p, file, stream.Options{SkipErrors: onError == skip})
	if err != nil {
		return nil, err
	}
	result := records{RecordsIn: report.RecordsIn + report.Stages[1].Skipped, Skipped: report.Skipped,
		BytesIn: report.BytesIn, BytesOut: report.BytesOut, Errors: skippedRecords(report)}
	result.RecordsOut = result.RecordsIn - result.Skipped
	for _, s := range report.Stages {
		result.Replaced += s.Replaced
		result.Encoding += s.Encoding // one stage reads
		if s.Stage == "filter" {
			result.RecordsOut = s.RecordsOut
		}
	}
	return result, nil
}

// csvToNDJSON is the handler of csv.to_ndjson.
func csvToNDJSON(ctx context.Context, run *Run, p tasks.CSVToNDJSON) (any, error) {
	options, err := stream.NewCSVOptions(p.Delimiter, &p.Header, p.Columns)
	if err != nil {
		return nil, Fail(err)
	}
	return turn(ctx, run, ndjsonFile, p.OnError, stream.ReadCSV(options).In(stream.Encoding(p.Encoding)))
}

// ndjsonToCSV is the handler of ndjson.to_csv.
func ndjsonToCSV(ctx context.Context, run *Run, p tasks.NDJSONToCSV) (any, error) {
	options, err := stream.NewCSVOptions(p.Delimiter, &p.Header, p.Columns)
	if err != nil {
		return nil, Fail(err)
	}
	return turn(ctx, run, csvFile, p.OnError, stream.NDJSON().In(stream.Encoding(p.Encoding)),
		stream.WriteCSV(options))
}

// filterNDJSON is the handler of ndjson.filter.
func filterNDJSON(ctx context.Context, run *Run, p tasks.NDJSONFilter) (any, error) {
	e, err := jq.CompileQuietly(p.Filter)
	if err != nil {
		return nil, Fail(err)
	}
	return turn(ctx, run, ndjsonFile, p.OnError, stream.NDJSON().In(stream.Encoding(p.Encoding)),
		stream.Filter(e))
}

// transformed is the result of text.transform.
type transformed struct {
	BytesIn  int64               `json:"bytes_in"`
	BytesOut int64               `json:"bytes_out"`
	Skipped  int64               `json:"skipped"`
	Stages   []stream.StageCount `json:"stages"`
	Errors   []skippedRecord     `json:"errors,omitempty"` // the first ones that were skipped
}

// transform is the handler of text.transform.
func transform(ctx context.Context, run *Run, p tasks.Transform) (any, error) {
	compiled, err := p.Compile()
	if err != nil {
		return nil, Fail(err)
	}
	pipeline := compiled.(*stream.Pipeline) // Compile's promise
	report, err := pipe(ctx, run, pipeline, transformedFile(p, pipeline),
		stream.Options{SkipErrors: p.OnError == skip, MaxBytes: p.MaxBytes})
	if err != nil {
		return nil, err
	}
	return transformed{report.BytesIn, report.BytesOut, report.Skipped, report.Stages,
		skippedRecords(report)}, nil
}

// transformedFile names the output after the last stage that gives it its form.
func transformedFile(p tasks.Transform, pipeline *stream.Pipeline) outputFile {
	if pipeline.Gives() == stream.KindRecords {
		return ndjsonFile
	}
	for i := len(p.Stages) - 1; i >= 0; i-- {
		switch s := p.Stages[i]; {
		case s.Checksum != nil, s.Count != nil:
		case s.Gzip != nil:
			return packedNames[stream.Gzip]
		case s.Zstd != nil:
			return packedNames[stream.Zstd]
		case s.CSV != nil:
			return csvFile
		case s.NDJSON != nil:
			return ndjsonFile
		default:
			return outputFile{"output", ""}
		}
	}
	return outputFile{"output", ""}
}
