package httpapi

import (
	"fmt"
	"net/url"

	"longshore/answer"
	"longshore/job"
)

// PathBatch takes many jobs as lines of JSON, and answers with as many.
const PathBatch = PathJobs + "/batch"

// PathBatches are those that end when their jobs have.
const PathBatches = "/v1/batches"

// TypeNDJSON is the media type of lines of JSON, one value each.
const TypeNDJSON = "application/x-ndjson"

// Limits of a batch. A request may have any number of lines; who sends all
// before reading an answer must stay within MaxBatch, for that many answers fit
// between the two sides of a connection.
const (
	MaxBatch     = 10_000                      // lines of one request of our own client
	MaxBatchLine = job.MaxDocument + (4 << 10) // bytes of one line: a payload and what is around it
)

// BatchAnswer tells what became of one line.
type BatchAnswer = answer.BatchAnswer

// Refusal is the answer to a line that was not taken.
func Refusal(line int64, e *Error) BatchAnswer { return answer.Refusal(line, e) }

// ParseBatchAnswer reads one line.
func ParseBatchAnswer(text []byte) (BatchAnswer, error) { return answer.ParseBatchAnswer(text) }

// LineTooLong is the refusal of a line over MaxBatchLine.
func LineTooLong() *Error {
	return NewError(TooLarge, fmt.Sprintf("the line is over %d bytes; a payload may have %d", MaxBatchLine,
		job.MaxDocument))
}

// BatchPath is a batch's; as a job it has JobPath too.
func BatchPath(id job.ID) string { return PathBatches + "/" + url.PathEscape(string(id)) }
