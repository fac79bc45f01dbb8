package tasks

import (
	"longshore/internal/jq"
	"longshore/internal/stream"
	"longshore/job"
)

// CSVToNDJSON is the payload of csv.to_ndjson.
type CSVToNDJSON struct {
	Delimiter string   `json:"delimiter,omitempty" doc:"what stands between fields: one ASCII character" maxLength:"1" default:","`
	Header    bool     `json:"header,omitempty" doc:"the first row has the names" default:"true"`
	Columns   []string `json:"columns,omitempty" doc:"names, in place of the header's; without both they are 1, 2, …" maxItems:"10000" nullable:"false"`
	Encoding  string   `json:"encoding,omitempty" doc:"how the text is written as bytes; auto finds UTF-8 and UTF-16, and a byte order mark decides in any case" enum:"auto,utf-8,utf-16,utf-16le,utf-16be,windows-1252,iso-8859-1" default:"auto"`
	OnError   string   `json:"on_error,omitempty" doc:"fail ends the job at the first broken row, skip leaves such rows out and counts them" enum:"fail,skip" default:"fail"`
}

// CSVToNDJSONTask turns CSV into NDJSON.
var CSVToNDJSONTask = Definition[CSVToNDJSON]{
	Type: "csv.to_ndjson",
	Doc:  "CSV (RFC 4180) as NDJSON: each row an object of strings. The input may be packed with gzip or zstd.",
	Lane: job.LaneIO, Input: InputRequired,
	Check: func(p CSVToNDJSON) error { return checkCSV(p.Delimiter, &p.Header, p.Columns) },
}

// NDJSONToCSV is the payload of ndjson.to_csv.
type NDJSONToCSV struct {
	Columns   []string `json:"columns,omitempty" doc:"the members to write; absent: those of the first record, and another one is an error of its record" minItems:"1" maxItems:"10000" nullable:"false"`
	Encoding  string   `json:"encoding,omitempty" doc:"how the text is written as bytes; auto finds UTF-8 and UTF-16, and a byte order mark decides in any case" enum:"auto,utf-8,utf-16,utf-16le,utf-16be,windows-1252,iso-8859-1" default:"auto"`
	Delimiter string   `json:"delimiter,omitempty" doc:"what stands between fields: one ASCII character" maxLength:"1" default:","`
	Header    bool     `json:"header,omitempty" doc:"write the names first" default:"true"`
	OnError   string   `json:"on_error,omitempty" doc:"fail ends the job at the first broken record, skip leaves such records out and counts them" enum:"fail,skip" default:"fail"`
}

// NDJSONToCSVTask turns NDJSON into CSV.
var NDJSONToCSVTask = Definition[NDJSONToCSV]{
	Type: "ndjson.to_csv", Doc: "NDJSON as CSV (RFC 4180). The input may be packed with gzip or zstd.",
	Lane: job.LaneIO, Input: InputRequired,
	Check: func(p NDJSONToCSV) error { return checkCSV(p.Delimiter, &p.Header, p.Columns) },
}

// NDJSONFilter is the payload of ndjson.filter.
type NDJSONFilter struct {
	Filter   string `json:"filter" doc:"a jq expression: records for which it gives anything but null and false are kept" minLength:"1"`
	Encoding string `json:"encoding,omitempty" doc:"how the text is written as bytes; auto finds UTF-8 and UTF-16, and a byte order mark decides in any case" enum:"auto,utf-8,utf-16,utf-16le,utf-16be,windows-1252,iso-8859-1" default:"auto"`
	OnError  string `json:"on_error,omitempty" doc:"fail ends the job at the first record that is broken or that the expression fails on, skip leaves such records out and counts them" enum:"fail,skip" default:"fail"`
}

// NDJSONFilterTask keeps some records of NDJSON.
var NDJSONFilterTask = Definition[NDJSONFilter]{
	Type: "ndjson.filter",
	Doc:  "The records of NDJSON for which a jq expression holds. The input may be packed with gzip or zstd.",
	Lane: job.LaneIO, Input: InputRequired,
	Check:      checkFilter,
	NeedsChild: func(p NDJSONFilter) bool { return jq.Untamed(p.Filter) },
}

// The errors of checks are Problems.
func checkCSV(delimiter string, header *bool, columns []string) error {
	if _, err := stream.NewCSVOptions(delimiter, header, columns); err != nil {
		return Problems{{"/delimiter", err.Error()}}
	}
	return nil
}

func checkFilter(p NDJSONFilter) error {
	if _, err := jq.CompileQuietly(p.Filter); err != nil {
		return Problems{{"/filter", err.Error()}}
	}
	return nil
}
