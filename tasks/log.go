package tasks

import "longshore/job"

// Analyze is the payload of log.analyze.
type Analyze struct {
	Format string `json:"format,omitempty" doc:"the log's format; auto takes a line as combined or common, whichever it is" enum:"auto,common,combined" default:"auto"`
	Top    int    `json:"top,omitempty" doc:"how many entries each top list has" minimum:"1" maximum:"1000" default:"10"`
}

// LogAnalyze reports on a web server's access log.
var LogAnalyze = Definition[Analyze]{
	Type: "log.analyze", Doc: "A report on an access log in Common or Combined format, plain or packed with gzip or zstd.",
	Lane: job.LaneIO, Input: InputRequired,
}
