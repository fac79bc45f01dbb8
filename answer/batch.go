package answer

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"longshore/job"
)

// A BatchAnswer tells what became of one line: ID is that of its job, or Code
// says why there is none.
type BatchAnswer struct {
	Line    int64  `json:"line" doc:"number of the line, from 1; empty ones count"`
	ID      job.ID `json:"id,omitempty" doc:"the job's id"`
	Created bool   `json:"created,omitempty" doc:"the job is new: neither key nor id named one that was there"`

	Joined *bool `json:"joined,omitempty" doc:"false: the job was there before, and is not of the batch that the line names"`

	Code   Code      `json:"code,omitempty" doc:"why the line was refused"`
	Status int       `json:"status,omitempty" doc:"what a request of its own would have been answered with"`
	Title  string    `json:"title,omitempty"`
	Detail string    `json:"detail,omitempty"`
	Errors []Pointer `json:"errors,omitempty"`
	// RetryAfter is what a request of its own would have got as the header.
	RetryAfter int64 `json:"retry_after,omitempty" doc:"in how many seconds to send the line again"`
}

// Refused returns a line's refusal as the error that a request of its own would
// have got; nil if the line was taken.
func (a BatchAnswer) Refused() *Error {
	if a.Code == "" {
		return nil
	}
	return &Error{Code: a.Code, Status: a.Status, Title: a.Title, Detail: a.Detail, Errors: a.Errors,
		RetryAfter: time.Duration(min(max(a.RetryAfter, 0), 86400)) * time.Second}
}

// Refusal is the answer to a line that was not taken.
func Refusal(line int64, e *Error) BatchAnswer {
	return BatchAnswer{Line: line, Code: e.Code, Status: e.Status, Title: e.Title, Detail: e.Detail,
		Errors: e.Errors, RetryAfter: int64((e.RetryAfter + time.Second - 1) / time.Second)}
}

// Words of the form in which most answers are written.
const (
	answerLine    = `{"line":`
	answerID      = `,"id":"`
	answerCreated = `","created":true}`
	answerKnown   = `"}`
)

// AppendJSON appends the answer as one line.
func (a BatchAnswer) AppendJSON(b []byte) []byte {
	if a.Code != "" || a.ID == "" {
		text := bytes.NewBuffer(b)
		enc := json.NewEncoder(text)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(a) // of texts and numbers: can't fail
		return text.Bytes()
	}
	b = append(b, answerLine...)
	b = strconv.AppendInt(b, a.Line, 10)
	b = append(b, answerID...)
	b = append(b, a.ID...) // a UUID: nothing to escape
	if a.Created {
		b = append(b, answerCreated...)
	} else {
		b = append(b, answerKnown...)
	}
	return append(b, '\n')
}

// ParseBatchAnswer reads one line. The form that AppendJSON writes for a taken
// line costs next to nothing.
func ParseBatchAnswer(text []byte) (BatchAnswer, error) {
	if rest, ok := bytes.CutPrefix(text, []byte(answerLine)); ok {
		if a, ok := taken(rest); ok {
			return a, nil
		}
	}
	var a BatchAnswer
	err := json.Unmarshal(text, &a)
	return a, err
}

func taken(rest []byte) (BatchAnswer, bool) {
	number, rest, ok := bytes.Cut(rest, []byte(answerID))
	if !ok || len(rest) < 36 {
		return BatchAnswer{}, false
	}
	line, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		return BatchAnswer{}, false
	}
	id, err := job.ParseID(string(rest[:36]))
	if err != nil {
		return BatchAnswer{}, false
	}
	switch string(bytes.TrimSpace(rest[36:])) {
	case answerCreated:
		return BatchAnswer{Line: line, ID: id, Created: true}, true
	case answerKnown:
		return BatchAnswer{Line: line, ID: id}, true
	}
	return BatchAnswer{}, false
}
