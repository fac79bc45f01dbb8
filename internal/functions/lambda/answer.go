package lambda

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"
)

// An Error is what a function says about its failure.
type Error struct {
	Type    string // "" = it named none
	Message string
	Trace   []string // lines of its stack, for the log
}

func (e *Error) Error() string {
	switch {
	case e.Type == "":
		return e.Message
	case e.Message == "":
		return e.Type
	}
	return e.Type + ": " + e.Message
}

// FinalType is the error type of a failure that another attempt would not mend.
const FinalType = "LongshoreFail"

// Final reports whether the job should not be tried again.
func (e *Error) Final() bool { return e.Type == FinalType }

// A Crash says that a process did what no process of its kind does, or ended.
type Crash struct{ How string }

func (c *Crash) Error() string { return "process " + c.How }

// Most of an error's text that is read, and kept of its parts.
const (
	maxErrorBody = 256 << 10
	maxErrorType = 200
	maxMessage   = 4 << 10
	maxTrace     = 100 // lines
)

// Names of what says that an answer is an error.
const (
	errorTypeHeader = "Lambda-Runtime-Function-Error-Type"
	errorBodyHeader = "Lambda-Runtime-Function-Error-Body"
)

// refusedError is an error of what takes the body: not the process's fault.
type refusedError struct{ err error }

func (r *refusedError) Error() string { return r.err.Error() }
func (r *refusedError) Unwrap() error { return r.err }

// errCutShort says that there is no end of an answer.
var errCutShort = &Error{Message: "the answer was cut short"}

// take copies an answer's body to w. The error is an *Error where the trailers say so or the
// body was cut short, and a *refusedError where w takes no more.
func take(w io.Writer, r *http.Request) error {
	sink := &watched{w: w}
	_, err := io.Copy(sink, r.Body)
	switch {
	case sink.err != nil:
		return &refusedError{sink.err}
	case err != nil:
		return errCutShort
	}
	typ := r.Trailer.Get(errorTypeHeader)
	if typ == "" {
		typ = r.Header.Get(errorTypeHeader)
	}
	if typ == "" {
		return nil
	}
	text, _ := base64.StdEncoding.DecodeString(r.Trailer.Get(errorBodyHeader))
	return parseError(typ, text)
}

// watched keeps the error of a writer apart from that of what it is fed from.
type watched struct {
	w   io.Writer
	err error
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.err = err
	return n, err
}

// readError reads a request that reports an error.
func readError(r *http.Request) *Error {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxErrorBody))
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	e := parseError(r.Header.Get(errorTypeHeader), text)
	if err != nil && e.Message == "" {
		e.Message = "the report of an error was cut short"
	}
	return e
}

// parseError reads an error's JSON. A type in a header goes before one in there.
func parseError(typ string, text []byte) *Error {
	var said struct {
		Message any `json:"errorMessage"`
		Type    any `json:"errorType"`
		Trace   any `json:"stackTrace"`
	}
	e := &Error{}
	if err := json.Unmarshal(text, &said); err != nil {
		e.Message = strings.TrimSpace(string(text))
	} else {
		e.Message, e.Trace = word(said.Message), lines(said.Trace)
		if e.Type = word(said.Type); e.Type == "" {
			e.Type = typ
		}
	}
	if e.Type == "" {
		e.Type = typ
	}
	if typ == FinalType {
		e.Type = typ
	}
	e.Type, e.Message = cut(e.Type, maxErrorType), cut(e.Message, maxMessage)
	if e.Type == "" && e.Message == "" {
		e.Message = "the function failed and did not say why"
	}
	return e
}

// word is a value's text: some clients send numbers, or null.
func word(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	return fmt.Sprint(v)
}

// lines are those of a stack trace: strings, or frames as Go's client sends them.
func lines(v any) (all []string) {
	list, _ := v.([]any)
	for _, one := range list {
		if len(all) == maxTrace {
			return all
		}
		if frame, ok := one.(map[string]any); ok {
			line, _ := frame["line"].(float64)
			all = append(all, fmt.Sprintf("%s:%d %s", word(frame["path"]), int(line), word(frame["label"])))
			continue
		}
		all = append(all, cut(strings.TrimRight(word(one), "\n"), maxMessage))
	}
	return all
}

// cut shortens a text and makes it valid UTF-8.
func cut(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// ascii writes JSON with escapes for all that is not ASCII, since it goes into a header.
func ascii(text []byte) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r < utf8.RuneSelf:
			b.WriteByte(text[0])
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[n:]
	}
	return b.String()
}

// Cause returns the Error or Crash in an error's chain, for those who judge.
func Cause(err error) (said *Error, crash *Crash) {
	errors.As(err, &said)
	errors.As(err, &crash)
	return said, crash
}
