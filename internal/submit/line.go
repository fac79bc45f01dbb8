package submit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/strictjson"
	"longshore/job"
)

// ParseLine reads one line of a batch (httpapi.BatchLine) as strictly as the
// body of a request is read. The error is an *httpapi.Error. The payload is a
// part of text.
func ParseLine(text []byte) (Request, error) {
	var l line
	err := strictjson.Fields(text, l.field)
	switch {
	case errors.Is(err, strictjson.ErrNoObject):
		return Request{}, httpapi.InvalidAt("", err.Error())
	case err != nil:
		return Request{}, httpapi.NewError(httpapi.Invalid, err.Error()).WithStatus(http.StatusBadRequest)
	}
	if l.Type == "" {
		l.bad("type", "expected the name of a type")
	}
	if l.wrong != nil {
		return Request{}, httpapi.NotValid(l.wrong...)
	}
	return l.Request, nil
}

type line struct {
	Request
	wrong []httpapi.Pointer
}

// pointerName writes a name as a part of a JSON Pointer (RFC 6901).
var pointerName = strings.NewReplacer("~", "~0", "/", "~1")

func (l *line) bad(name, detail string) {
	if len(l.wrong) >= httpapi.MaxPointers {
		return
	}
	l.wrong = append(l.wrong, httpapi.Pointer{Pointer: "/" + name, Detail: detail})
}

// field takes one member of the line's object. What is wrong is noted.
func (l *line) field(member, value []byte) error {
	name := string(member) // on the stack: it is kept only of what is wrong
	switch name {
	case "type":
		l.text(name, value, &l.Type)
	case "payload":
		l.Payload = value
	case "input":
		l.input(value)
	case "id":
		l.text(name, value, (*string)(&l.ID))
	case "idempotency_key":
		l.text(name, value, &l.IdempotencyKey)
		if strings.ContainsFunc(l.IdempotencyKey, func(c rune) bool { return c < ' ' || c > '~' }) {
			l.bad(name, fmt.Sprintf("expected up to %d characters of ASCII", httpapi.MaxKey))
		}
	case "priority":
		l.text(name, value, (*string)(&l.Priority))
	case "run_at":
		if json.Unmarshal(value, &l.RunAt) != nil || string(value) == "null" {
			l.bad(name, "expected a time as 2006-01-02T15:04:05Z (RFC 3339)")
		}
	case "callback_url":
		l.text(name, value, &l.CallbackURL)
	case "timeout":
		l.duration(name, value, &l.Timeout)
	case "expires_in":
		l.duration(name, value, &l.ExpiresIn)
	case "retention":
		l.duration(name, value, &l.Retention)
	case "max_attempts":
		n, err := httpapi.ParseCount(string(value))
		if err != nil {
			l.bad(name, err.Error())
		}
		l.MaxAttempts = int(n)
	default:
		l.bad(pointerName.Replace(shortName(member)), "unknown field")
	}
	return nil
}

func (l *line) text(name string, value []byte, to *string) {
	if len(value) < 2 || value[0] != '"' {
		l.bad(name, "expected string")
		return
	}
	if inner := value[1 : len(value)-1]; bytes.IndexByte(inner, '\\') < 0 {
		*to = string(inner)
		return
	}
	if json.Unmarshal(value, to) != nil {
		l.bad(name, "expected string")
	}
}

// input takes what makes another job's output the input.
func (l *line) input(value []byte) {
	if value[0] != '{' {
		l.bad("input", "expected object")
		return
	}
	l.From = &Reference{}
	_ = strictjson.Fields(value, func(name, value []byte) error { // it was checked with the line
		switch string(name) {
		case "job":
			l.text("input/job", value, (*string)(&l.From.Job))
		case "output":
			l.text("input/output", value, &l.From.Output)
		default:
			l.bad("input/"+pointerName.Replace(shortName(name)), "unknown field")
		}
		return nil
	})
}

// shortName is what is told of an unknown member's name.
func shortName(name []byte) string {
	return strings.ToValidUTF8(string(name[:min(len(name), 64)]), "")
}

func (l *line) duration(name string, value []byte, to *time.Duration) {
	var d httpapi.Duration
	if json.Unmarshal(value, &d) != nil || string(value) == "null" {
		l.bad(name, httpapi.ErrDuration.Error())
	}
	*to = time.Duration(d)
}

// inLine moves the submitter's pointers to where a line has what is wrong.
func inLine(e *httpapi.Error) *httpapi.Error {
	for i, p := range e.Errors {
		switch p.Pointer {
		case "/headers/Idempotency-Key":
			e.Errors[i].Pointer = "/idempotency_key"
		case "/headers/Longshore-Job":
			e.Errors[i].Pointer = "/id"
		}
	}
	return e
}

// tooLong is the refusal of a line over its limit.
func tooLong() *httpapi.Error {
	return httpapi.NewError(httpapi.TooLarge, fmt.Sprintf("the line is over %d bytes; a payload may have %d", httpapi.MaxBatchLine, job.MaxDocument))
}
