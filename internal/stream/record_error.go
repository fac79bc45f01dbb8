package stream

import (
	"errors"
	"fmt"

	"longshore/internal/jq"
)

// A RecordError says what is wrong with one line or record.
type RecordError struct {
	Stage string // the stage that met it
	At    Position
	Err   error
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("%s: line %d at byte %d: %v", e.Stage, e.At.Line, e.At.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *RecordError) Unwrap() error { return e.Err }

// fail tells what an error of one record means for the run: nil if the record
// is to be left out. Errors that don't lie in the record end the run, and so do
// expressions that don't come to an end.
func (r *run) fail(count *StageCount, at Position, err error) error {
	syntax, value := (*jq.SyntaxError)(nil), (*jq.ValueError)(nil)
	own := (*RowError)(nil)
	switch {
	case errors.As(err, &syntax):
		at.Offset += int64(syntax.Offset)
		err = errors.New(syntax.What)
	case errors.Is(err, jq.ErrTooLong):
		err = &LimitError{Limit: LimitRecord, Max: MaxRecord, Line: at.Line}
	case errors.Is(err, jq.ErrSteps):
		return &RecordError{count.Stage, at, err}
	case errors.As(err, &value), errors.As(err, &own):
	default:
		if limit := (*LimitError)(nil); !errors.As(err, &limit) || limit.Limit != LimitRecord {
			return err
		}
	}
	wrong := RecordError{count.Stage, at, err}
	if !r.options.SkipErrors {
		return &wrong
	}
	count.Skipped++
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.report.Errors) < MaxReported {
		r.report.Errors = append(r.report.Errors, wrong)
	}
	return nil
}

// A RowError says that a row or a record is not what a stage needs.
type RowError struct{ What string }

func (e *RowError) Error() string { return e.What }
