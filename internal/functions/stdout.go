package functions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"longshore/handlers"
	"longshore/internal/printable"
	"longshore/internal/strictjson"
	"longshore/job"
)

// A Body is what a program gives back at length, its stdout or the body of its answer:
// by the manifest's output the result, an output or lines of the log. It holds what may
// be a result, and streams the rest. Only one goroutine may use it.
type Body struct {
	Run    *handlers.Run
	Output Output
	Log    func(Line)
	// Said reports whether the result was given otherwise: then OutputAuto is OutputLog.
	// nil = it can't be.
	Said func() bool

	begun []byte          // what may be the result
	out   handlers.Output // once it is none
	lines *LogWriter
}

// AutoOutput is the output that OutputAuto makes of what is no result.
const AutoOutput = "output"

// Write takes the next bytes. An error is that of an output, or that the result is too
// long: the program may be stopped.
func (b *Body) Write(ctx context.Context, p []byte) error {
	switch {
	case b.lines != nil || b.Output.As == OutputLog:
		b.toLog(p)
		return nil
	case b.out == nil && b.Output.As == OutputNamed:
		return b.open(ctx, b.Output.Name, b.Output.ContentType, p)
	case b.out != nil:
		_, err := b.out.Write(p)
		return err
	case b.Output.As == OutputAuto && b.Said != nil && b.Said():
		b.toLog(b.begun)
		b.begun = nil
		b.toLog(p)
		return nil
	case len(b.begun)+len(p) <= job.MaxDocument:
		b.begun = append(b.begun, p...)
		return nil
	case b.Output.As == OutputJSON:
		b.begun = append(b.begun, p[:job.MaxDocument-len(b.begun)]...)
		if err := b.notJSON(); err != nil && !jsonSoFar(b.begun) {
			return err
		}
		return handlers.FailWith(job.OutputLimit, fmt.Errorf("result is over %d bytes; write an output",
			job.MaxDocument))
	default:
		begun := b.begun
		b.begun = nil
		if err := b.open(ctx, AutoOutput, "", begun); err != nil {
			return err
		}
		_, err := b.out.Write(p)
		return err
	}
}

// jsonSoFar reports whether a text may be the beginning of a value.
func jsonSoFar(text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	return len(text) > 0 && bytes.IndexByte([]byte(`{["`), text[0]) >= 0
}

func (b *Body) toLog(p []byte) {
	if b.lines == nil {
		b.lines = &LogWriter{Log: b.Log}
	}
	_, _ = b.lines.Write(p) // which never fails
}

func (b *Body) open(ctx context.Context, name, contentType string, begun []byte) error {
	out, err := b.Run.Output(ctx, name, contentType)
	if err != nil {
		return err
	}
	b.out = out
	if len(begun) == 0 {
		return nil
	}
	_, err = out.Write(begun)
	return err
}

// Close ends the body of a program that has succeeded and returns its result, nil =
// none; what it was otherwise told to be is said in said. After an error, or instead of
// Close, call Abort.
func (b *Body) Close(ctx context.Context, said []byte) (result []byte, err error) {
	switch {
	case b.lines != nil:
		b.lines.Flush()
		return said, nil
	case b.Output.As == OutputNamed && b.out == nil: // nothing is a file too
		err = b.open(ctx, b.Output.Name, b.Output.ContentType, nil)
	case b.out == nil && said != nil && b.Output.As == OutputAuto:
		b.toLog(b.begun)
		b.lines.Flush()
		return said, nil
	case b.out == nil && said != nil:
		return said, nil
	case b.out == nil:
		return b.result(ctx)
	}
	if err != nil {
		return nil, err
	}
	if b.Output.As == OutputAuto && said == nil {
		b.explain("is over 64 KiB")
	}
	return said, b.out.Commit()
}

// result judges a body that was held.
func (b *Body) result(ctx context.Context) ([]byte, error) {
	text := bytes.TrimSpace(b.begun)
	switch {
	case b.Output.As == OutputJSON:
		if len(text) == 0 {
			return nil, handlers.Fail(errors.New("stdout is empty: expected one JSON value, by output json"))
		}
		if err := b.notJSON(); err != nil {
			return nil, err
		}
		return bytes.Clone(text), nil
	case len(text) == 0:
		return nil, nil
	}
	if strictjson.Check(text) == nil {
		return bytes.Clone(text), nil
	}
	if err := b.open(ctx, AutoOutput, "", b.begun); err != nil {
		return nil, err
	}
	b.explain("is not one JSON value")
	return nil, b.out.Commit()
}

// explain says why there is an output where a result may have been meant.
func (b *Body) explain(why string) {
	if b.Log != nil {
		b.Log(Line{slog.LevelWarn, "stdout " + why + ", so it became the output " + AutoOutput +
			": print one JSON value for a result and write logs to stderr, or set output in " + ManifestFile})
	}
}

// notJSON is the failure of a body that should be a value: it quotes the first line
// that is none.
func (b *Body) notJSON() error {
	text := bytes.TrimSpace(b.begun)
	err := strictjson.Check(text)
	if err == nil {
		return nil
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	for rest := text; len(rest) > 0; { // a line that is JSON by itself is not what is wrong
		var one []byte
		one, rest, _ = bytes.Cut(rest, []byte("\n"))
		if strictjson.Check(one) != nil {
			line = one
			break
		}
	}
	return handlers.Fail(
		fmt.Errorf(
			"stdout is not one JSON value (%w), by output json; logs go to stderr; first line that is none: %s",
			err, printable.Text(string(line[:min(len(line), 200)]))))
}

// Abort throws away what was begun; after Close it does nothing.
func (b *Body) Abort() {
	if b.lines != nil {
		b.lines.Flush()
	}
	if b.out != nil {
		_ = b.out.Abort() // the host removes what is left
	}
}
