package jq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/itchyny/gojq"
)

// Limits of what an expression may do with one record.
const (
	MaxSteps = 1_000_000       // instructions of gojq's machine
	MaxTime  = 5 * time.Second // should single instructions be slow
	// MaxSource is how long an expression may be, in bytes.
	MaxSource = 16 << 10
)

// ErrSteps says that an expression did not come to an end within the limits.
var ErrSteps = errors.New("the expression takes too many steps")

// maxNested is how deep brackets may stand in each other.
const maxNested = 500

var (
	errSource = fmt.Errorf("expression is over %d bytes", MaxSource)
	errNested = fmt.Errorf("expression has brackets over %d deep", maxNested)
)

// ErrTooLong says that an expression made a record longer than allowed.
var ErrTooLong = errTooLong

// A ValueError is an error that the expression itself met, as adding a number
// to a string or calling error().
type ValueError struct{ Err error }

func (e *ValueError) Error() string { return e.Err.Error() }

// Unwrap returns gojq's error.
func (e *ValueError) Unwrap() error { return e.Err }

// An Expr is a compiled expression. It is safe for concurrent use; each
// goroutine needs a Machine of its own to run it.
type Expr struct {
	code  *gojq.Code
	test  test // nil if the expression is more than a comparison of fields
	paths [][]string
	order *memberOrder // of what Map gives
	tame  bool
}

// Compile compiles an expression. It sees no environment and no modules, and
// has no further inputs.
func Compile(source string) (*Expr, error) {
	query, err := parse(source)
	if err != nil {
		return nil, err
	}
	e := &Expr{order: orderOf(query)}
	if t, paths, ok := compileTest(query); ok {
		e.test, e.paths = t, paths
		e.tame = tame(t, paths)
	}
	if e.code, err = gojq.Compile(query); err != nil {
		return nil, fmt.Errorf("compile expression: %w", err)
	}
	return e, nil
}

// parse reads an expression, unless it is longer or deeper than it may be.
func parse(source string) (*gojq.Query, error) {
	if len(source) > MaxSource {
		return nil, errSource
	}
	depth := 0 // about: brackets within texts count too
	for i := range len(source) {
		switch source[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		}
		if depth > maxNested {
			return nil, errNested
		}
	}
	query, err := gojq.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("parse expression: %w", err)
	}
	return query, nil
}

// Fast reports whether Match needs to decode no record.
func (e *Expr) Fast() bool { return e.test != nil }

// Tame reports whether Match takes little time and memory, whatever the record:
// some fields are compared with literals, and none with another one.
func (e *Expr) Tame() bool { return e.tame }

// Untamed reports whether an expression is one whose compiled form would not be
// Tame. It compiles nothing; what can't be parsed is not untamed.
func Untamed(source string) bool {
	query, err := parse(source)
	if err != nil || source == "" {
		return false
	}
	t, paths, ok := compileTest(query)
	return !ok || !tame(t, paths)
}

// A Machine runs an expression on one record after the other. It is not safe
// for concurrent use.
type Machine struct {
	expr    *Expr
	scanner *scanner
	steps   steps
	encoder encoder
}

// NewMachine returns a machine. The run of an expression ends when ctx does.
func NewMachine(ctx context.Context, e *Expr) *Machine {
	m := &Machine{expr: e, scanner: newScanner(e.paths), steps: steps{Context: ctx, done: ctx.Done()}}
	m.encoder.members = &members{of: map[uintptr][]string{}, known: map[string]bool{}}
	return m
}

// Match reports whether an expression gives a value other than null and false
// for the record b[start:end]. The record must be followed by a newline, and b
// have room for Pad more bytes. Errors are *SyntaxError, *ValueError, ErrSteps
// and the context's.
func (m *Machine) Match(b []byte, start, end int) (bool, error) {
	if err := m.scanner.scan(b, start, end); err != nil {
		return false, err
	}
	if t := m.expr.test; t != nil && !m.scanner.odd {
		return t.holds(b, m.scanner.found), nil
	}
	if m.expr.tame && end-start > maxWhole {
		return m.match(decodeAlong(b[start:end], m.scanner.root))
	}
	return m.match(decode(b[start:end]))
}

// maxWhole is how long a record may be, in bytes, to be decoded whole for an
// expression that looks at some fields of it.
const maxWhole = 64 << 10

// MatchText is Match for a line of text, which the expression sees as a string.
func (m *Machine) MatchText(line []byte) (bool, error) { return m.match(string(line)) }

func (m *Machine) match(v any) (keep bool, err error) {
	err = m.each(v, func(v any) error {
		if v != nil && v != false {
			keep = true
		}
		return nil
	})
	return keep && err == nil, err
}

// Map runs the expression on the record b[start:end] and hands each value that
// it gives to emit, as a JSON text of at most max bytes that is valid until
// emit returns; an error of emit ends the run. What Match says of b and of errors holds here too, and a value
// that is too long is ErrTooLong. Values given before an error are thrown away
// by the caller. Members keep their order, as in jq: an object of the record has
// the record's, one that the expression makes has the expression's. Names that
// are computed come last, sorted, and so do all where the expression doesn't tell.
func (m *Machine) Map(b []byte, start, end, max int, emit func(text []byte) error) error {
	if err := m.scanner.scan(b, start, end); err != nil {
		return err
	}
	return m.mapped(m.encoder.members.decode(b[start:end]), max, emit)
}

// MapText is Map for a line of text, which the expression sees as a string.
func (m *Machine) MapText(line []byte, max int, emit func(text []byte) error) error {
	m.encoder.members.forget()
	return m.mapped(string(line), max, emit)
}

func (m *Machine) mapped(v any, max int, emit func([]byte) error) error {
	m.encoder.max = max
	return m.each(v, func(v any) error {
		m.encoder.b = m.encoder.b[:0]
		if err := m.encoder.value(v, m.expr.order); err != nil {
			return err
		}
		if len(m.encoder.b) > max {
			return errTooLong
		}
		return emit(m.encoder.b)
	})
}

// each runs the expression and hands out what it gives.
func (m *Machine) each(v any, take func(any) error) error {
	m.steps.begin()
	iter := m.expr.code.RunWithContext(&m.steps, v)
	for {
		v, ok := iter.Next()
		if !ok {
			return nil
		}
		if err, bad := v.(error); bad {
			return m.explain(err)
		}
		if err := take(v); err != nil {
			return err
		}
	}
}

func (m *Machine) explain(err error) error {
	if m.steps.over {
		return ErrSteps
	}
	if ctx := m.steps.Context; ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if halt := (*gojq.HaltError)(nil); errors.As(err, &halt) && halt.Value() == nil {
		return nil // halt: no more values
	}
	return &ValueError{err}
}

// steps is a context that counts: gojq asks it before each instruction whether
// it is done.
type steps struct {
	context.Context
	done  <-chan struct{}
	n     int
	over  bool
	began time.Time
}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (s *steps) begin() {
	s.n, s.over = 0, false
}

// Done counts a step.
func (s *steps) Done() <-chan struct{} {
	s.n++
	if s.n&(1<<12-1) == 0 && s.late() || s.n > MaxSteps {
		s.over = true
	}
	if s.over {
		return closed
	}
	return s.done
}

// late reports whether the record has taken longer than MaxTime. The clock
// starts at the first look: most records never come to it.
func (s *steps) late() bool {
	now := time.Now()
	if s.n == 1<<12 {
		s.began = now
	}
	return now.Sub(s.began) > MaxTime
}

// Err is asked for after Done has said so.
func (s *steps) Err() error {
	if s.over {
		return ErrSteps
	}
	return s.Context.Err()
}

// CompileQuietly is Compile whose error is fit for whoever wrote the expression, and
// holds no part of it: a client sent it and is not sent it back.
func CompileQuietly(source string) (*Expr, error) {
	e, err := Compile(source)
	if err != nil {
		return nil, errors.New("is not an expression of jq: " + Where(err))
	}
	return e, nil
}

// Where says what is wrong with an expression that Compile refused, without
// repeating any of it.
func Where(err error) string {
	if parse := (*gojq.ParseError)(nil); errors.As(err, &parse) {
		return fmt.Sprintf("syntax error at byte %d", parse.Offset)
	}
	if errors.Is(err, errSource) || errors.Is(err, errNested) {
		return err.Error()
	}
	return "it calls something that there is not"
}
