package tasks

import (
	"errors"

	"longshore/internal/accesslog"
	"longshore/job"
)

// Analyze is the payload of log.analyze.
type Analyze struct {
	Format     string `json:"format,omitempty" doc:"the log's format: auto (each line in whichever it is), common, combined, vhost_common, vhost_combined, json, or a description as goaccess's log-format has, with percent signs" maxLength:"1000" default:"auto"`
	DateFormat string `json:"date_format,omitempty" doc:"with a description: what %d looks like, as for strptime; absent: %d/%b/%Y" maxLength:"100"`
	TimeFormat string `json:"time_format,omitempty" doc:"with a description: what %t looks like, as for strptime; absent: %H:%M:%S" maxLength:"100"`
	Encoding   string `json:"encoding,omitempty" doc:"how the text is written as bytes; auto finds UTF-8 and UTF-16, and a byte order mark decides in any case" enum:"auto,utf-8,utf-16,utf-16le,utf-16be,windows-1252,iso-8859-1" default:"auto"`
	Top        int    `json:"top,omitempty" doc:"how many entries each top list has" minimum:"1" maximum:"1000" default:"10"`
}

// LogAnalyze reports on a web server's access log.
var LogAnalyze = Definition[Analyze]{
	Type: "log.analyze",
	Doc:  "A report on an access log in Common, Combined or JSON format, or one that is described, plain or packed with gzip or zstd.",
	Lane: job.LaneIO, Input: InputRequired,
	Check: checkFormat,
}

func checkFormat(p Analyze) error {
	_, err := accesslog.ParseFormat(p.Format, p.DateFormat, p.TimeFormat)
	if errors.Is(err, accesslog.ErrFormat) {
		return Problems{{"/format", err.Error()}}
	}
	return err
}
