package stream

import (
	"fmt"
	"io"
)

// Ended reports whether err is the clean end of a stream: io.EOF itself. An
// error that only wraps io.EOF is a failure like any other.
func Ended(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}

// A CorruptError says that an input is not what its format demands: broken or
// cut short.
type CorruptError struct {
	Format Format
	Offset int64 // bytes of the (compressed) input read when it was noticed
	Err    error // io.ErrUnexpectedEOF for an input that was cut short
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("corrupt %s input at byte %d: %v", e.Format, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// A Limit is one of the things that can be too big.
type Limit string

// The limits.
const (
	LimitBytes  Limit = "bytes"         // decompressed
	LimitRatio  Limit = "ratio"         // bytes decompressed for one byte read
	LimitWindow Limit = "window"        // memory that a zstd frame asks for, in bytes
	LimitOutput Limit = "output"        // written by a pipeline, in bytes
	LimitGrowth Limit = "growth"        // bytes of a table for one byte that it is made from
	LimitRecord Limit = "record length" // of one line, in bytes
)

// A LimitError says that data went over a limit.
type LimitError struct {
	Limit Limit
	Max   int64 // what is allowed, in the limit's unit
	Line  int64 // of LimitRecord: the line's number, from 1

	Quoted bool // of LimitRecord: it is a field in quotes that does not end
}

func (e *LimitError) Error() string {
	switch e.Limit {
	case LimitBytes:
		return fmt.Sprintf("decompressed data is over %d bytes", e.Max)
	case LimitRatio:
		return fmt.Sprintf("data decompresses to over %d times its size", e.Max)
	case LimitWindow:
		return fmt.Sprintf(
			"a zstd frame needs a window of over %d bytes; compress without --long, or with --long=27", e.Max)
	case LimitGrowth:
		return fmt.Sprintf("the table becomes over %d times as long as what it is made from", e.Max)
	case LimitOutput:
		return fmt.Sprintf("output is over %d bytes", e.Max)
	default:
		if e.Quoted {
			return fmt.Sprintf("the field in quotes that begins in line %d does not end within %d bytes",
				e.Line, e.Max)
		}
		return fmt.Sprintf("line %d is over %d bytes", e.Line, e.Max)
	}
}
