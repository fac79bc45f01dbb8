package tasks

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"longshore/internal/jq"
	"longshore/internal/stream"
	"longshore/job"
)

// Transform is the payload of text.transform.
type Transform struct {
	Stages   []Stage `json:"stages" doc:"what the input goes through, in this order; each has exactly one member, which names it" minItems:"1" maxItems:"32" nullable:"false"`
	OnError  string  `json:"on_error,omitempty" doc:"fail ends the job at the first record that is broken or that an expression fails on, skip leaves such records out and counts them" enum:"fail,skip" default:"fail"`
	MaxBytes int64   `json:"max_bytes,omitempty" doc:"the most bytes to write, and for each stage to decompress; the installation's own limit (MAX_OUTPUT) holds too" minimum:"1" maximum:"1099511627776" default:"10737418240"`
}

// A Stage is one step of a Transform: one of the members is set.
type Stage struct {
	Gunzip   *Unpack     `json:"gunzip,omitempty" doc:"decompress gzip"`
	Unzstd   *Unpack     `json:"unzstd,omitempty" doc:"decompress zstd"`
	Gzip     *Pack       `json:"gzip,omitempty" doc:"compress with gzip"`
	Zstd     *Pack       `json:"zstd,omitempty" doc:"compress with zstd"`
	Lines    *Text       `json:"lines,omitempty" doc:"bytes to lines"`
	CSV      *CSV        `json:"csv,omitempty" doc:"bytes or lines: read rows as records; records: write them as rows"`
	NDJSON   *Text       `json:"ndjson,omitempty" doc:"bytes or lines: read records, one a line; records: write them so"`
	Filter   *Expression `json:"filter,omitempty" doc:"a jq expression: keep the lines or records for which it gives anything but null and false" nullable:"false"`
	Map      *Expression `json:"map,omitempty" doc:"a jq expression: each value it gives for a line or record becomes a record" nullable:"false"`
	Select   *Names      `json:"select,omitempty" doc:"keep these members of each record, in this order" maxItems:"10000" nullable:"false"`
	Upper    *NoOptions  `json:"upper,omitempty" doc:"bytes or lines to upper case"`
	Lower    *NoOptions  `json:"lower,omitempty" doc:"bytes or lines to lower case"`
	Replace  *Replace    `json:"replace,omitempty" doc:"replace text within each line"`
	Head     *Head       `json:"head,omitempty" doc:"the first lines or records"`
	Checksum *Checksum   `json:"checksum,omitempty" doc:"digests of what passes by"`
	Count    *NoOptions  `json:"count,omitempty" doc:"counts what passes by"`
}

// Options of stages.
type (
	// NoOptions is {}.
	NoOptions struct{}
	// Text are the options of lines and ndjson.
	Text struct {
		Encoding string `json:"encoding,omitempty" doc:"how the text is written as bytes; auto, if absent, finds UTF-8 and UTF-16, and a byte order mark decides in any case" enum:"auto,utf-8,utf-16,utf-16le,utf-16be,windows-1252,iso-8859-1"`
	}
	// Expression is a jq expression.
	Expression string
	// Names are names of members.
	Names []string
	// Unpack are the options of gunzip and unzstd.
	Unpack struct {
		MaxRatio int `json:"max_ratio,omitempty" doc:"the most bytes to give out for one read, once 1 MiB was given out; 0 = 100" minimum:"0"`
	}
	// Pack are the options of gzip and zstd.
	Pack struct {
		Level int `json:"level,omitempty" doc:"1 fastest to 9 smallest; 0 lets the format choose" minimum:"0" maximum:"9"`
	}
	// CSV are the options of csv.
	CSV struct {
		Delimiter string   `json:"delimiter,omitempty" doc:"one ASCII character; a comma if absent" maxLength:"1"`
		Header    *bool    `json:"header,omitempty" doc:"the first row has the names; true if absent" nullable:"false"`
		Columns   []string `json:"columns,omitempty" doc:"reading: names in place of the header's; writing: the columns to write" maxItems:"10000" nullable:"false"`
		Encoding  string   `json:"encoding,omitempty" doc:"reading: how the text is written as bytes; auto, if absent, finds UTF-8 and UTF-16, and a byte order mark decides in any case" enum:"auto,utf-8,utf-16,utf-16le,utf-16be,windows-1252,iso-8859-1"`
	}
	// Replace are the options of replace: old or pattern.
	Replace struct {
		Old     string `json:"old,omitempty" doc:"text to replace"`
		Pattern string `json:"pattern,omitempty" doc:"regular expression (RE2) to replace; its groups are $1 or ${name} in with" maxLength:"1000"`
		With    string `json:"with,omitempty" doc:"what to put there"`
	}
	// Head are the options of head.
	Head struct {
		N int64 `json:"n" doc:"how many" minimum:"1"`
	}
)

// DefaultMaxRatio bounds what one packed byte may become.
const DefaultMaxRatio = 100

// TextTransform sends a file through a pipeline of stages.
var TextTransform = Definition[Transform]{
	Type: "text.transform",
	Doc:  "A file sent through a pipeline: decompress, split, read CSV or NDJSON, filter, map, write, compress.",
	Lane: job.LaneIO, Input: InputRequired,
	Check: func(t Transform) error { _, err := t.Compile(); return err },
	NeedsChild: func(t Transform) bool {
		return slices.ContainsFunc(t.Stages, Stage.untamed) || t.weight() > maxWeight
	},
}

// maxWeight is the memory that the stages of one job of lane io may take
// together at their worst, in MiB. With what the collector has not seen yet it is
// twice that.
const maxWeight = 100

// weight is what the stages may take at their worst, in MiB: a line of 4 MiB that
// is read and one that is written, the window and the tables of a packer.
func (t Transform) weight() int {
	sum := 0
	for _, s := range t.Stages {
		switch {
		case s.Lines != nil, s.NDJSON != nil:
			sum += 5
		case s.CSV != nil, s.Select != nil, s.Upper != nil, s.Lower != nil, s.Replace != nil:
			sum += 14
		case s.Unzstd != nil:
			sum += 34
		case s.Zstd != nil && s.Zstd.Level > 6:
			sum += 45
		case s.Zstd != nil:
			sum += 16
		default:
			sum++
		}
	}
	return sum
}

// Compile makes the stages ready to run: what it returns is for the handler of
// text.transform, which knows its type. The error is Problems. What costs most, to
// compile expressions, comes when nothing else is wrong.
func (t Transform) Compile() (any, error) {
	if err := t.judge(); err != nil {
		return nil, err
	}
	if _, err := t.pipeline(func(string) (*jq.Expr, error) { return anyExpression() }); err != nil {
		return nil, err
	}
	return t.pipeline(jq.CompileQuietly)
}

// anyExpression stands for one that is not compiled yet.
var anyExpression = sync.OnceValues(func() (*jq.Expr, error) { return jq.Compile(".") })

// judge looks at the size of patterns and expressions.
func (t Transform) judge() error {
	var problems Problems
	var patterns stream.PatternJudge
	sources := 0
	for i, s := range t.Stages {
		place := fmt.Sprintf("/stages/%d", i)
		if s.Replace != nil && s.Replace.Pattern != "" {
			if err := patterns.Judge(s.Replace.Pattern); err != nil {
				problems = append(problems, Problem{place + "/replace", "pattern " + explainPattern(err)})
			}
		}
		if s.Filter != nil {
			sources += len(*s.Filter)
		}
		if s.Map != nil {
			sources += len(*s.Map)
		}
	}
	if sources > jq.MaxSource {
		problems = append(problems, Problem{"/stages", fmt.Sprintf("expressions are over %d bytes together",
			jq.MaxSource)})
	}
	if problems != nil {
		return problems
	}
	return nil
}

func explainPattern(err error) string {
	if errors.Is(err, stream.ErrPatternSize) {
		return err.Error()
	}
	return "is not a regular expression of RE2"
}

func (t Transform) pipeline(compile func(string) (*jq.Expr, error)) (*stream.Pipeline, error) {
	stages := make([]stream.Stage, len(t.Stages))
	var problems Problems
	for i, s := range t.Stages {
		place := fmt.Sprintf("/stages/%d", i)
		name, made, err := s.stage(compile)
		if err != nil {
			problems = append(problems, Problem{place + name, err.Error()})
		}
		stages[i] = made
	}
	if problems != nil {
		return nil, problems
	}
	p, err := stream.NewPipeline(stages...)
	if wrong := (*stream.StageError)(nil); errors.As(err, &wrong) {
		return nil, Problems{{fmt.Sprintf("/stages/%d", wrong.Index), explainKind(wrong.Err)}}
	}
	return p, err
}

// explainKind says what to do about a stage that can't be where it is.
func explainKind(err error) string {
	return err.Error() + "; lines, ndjson and csv turn bytes into lines and records (docs/streams.md)"
}

// stage returns what is set. name is the pointer to it within the stage, for errors.
func (s Stage) stage(compile func(string) (*jq.Expr, error)) (name string, made stream.Stage, err error) {
	set := s.set()
	if len(set) != 1 {
		return "", made, errors.New("expected exactly one member, the stage's name")
	}
	name = "/" + set[0]
	switch {
	case s.Gunzip != nil:
		made = stream.Decompress(stream.Gzip, int64(cmp.Or(s.Gunzip.MaxRatio, DefaultMaxRatio)))
	case s.Unzstd != nil:
		made = stream.Decompress(stream.Zstd, int64(cmp.Or(s.Unzstd.MaxRatio, DefaultMaxRatio)))
	case s.Gzip != nil:
		made = stream.Compress(stream.Gzip, s.Gzip.Level)
	case s.Zstd != nil:
		made = stream.Compress(stream.Zstd, s.Zstd.Level)
	case s.Lines != nil:
		made = stream.SplitLines().In(stream.Encoding(s.Lines.Encoding))
	case s.CSV != nil:
		var o stream.CSVOptions
		if o, err = stream.NewCSVOptions(s.CSV.Delimiter, s.CSV.Header, s.CSV.Columns); err != nil {
			return name + "/delimiter", made, err
		}
		made = stream.CSV(o).In(stream.Encoding(s.CSV.Encoding))
	case s.NDJSON != nil:
		made = stream.NDJSON().In(stream.Encoding(s.NDJSON.Encoding))
	case s.Filter != nil:
		made, err = expression(string(*s.Filter), compile, stream.Filter)
	case s.Map != nil:
		made, err = expression(string(*s.Map), compile, stream.Map)
	case s.Select != nil:
		if made = stream.Select(*s.Select...); len(*s.Select) == 0 {
			err = errors.New("expected at least one name")
		}
	case s.Upper != nil:
		made = stream.Upper()
	case s.Lower != nil:
		made = stream.Lower()
	case s.Replace != nil:
		made, err = s.Replace.stage()
	case s.Head != nil:
		made = stream.Head(s.Head.N)
	case s.Checksum != nil:
		algorithms := s.Checksum.Algorithms
		if len(algorithms) == 0 {
			algorithms = []string{"sha256"}
		}
		made = stream.Checksum(algorithms...)
	case s.Count != nil:
		made = stream.Count()
	}
	return name, made, err
}

// set returns the names of the members that are set.
func (s Stage) set() []string {
	text, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	return jq.Names(text, len(text))
}

func expression(source string, compile func(string) (*jq.Expr, error),
	stage func(*jq.Expr) stream.Stage) (stream.Stage, error) {
	e, err := compile(source)
	if err != nil {
		return stream.Stage{}, err
	}
	return stage(e), nil
}

// untamed reports whether a stage may take any amount of memory, in a step or
// two, or time that no context ends: expressions do that do more than compare
// fields, what makes values of whole records, and patterns.
func (s Stage) untamed() bool {
	return s.Map != nil || s.Filter != nil && jq.Untamed(string(*s.Filter)) || s.Replace != nil &&
		s.Replace.Pattern != ""
}

func (r Replace) stage() (stream.Stage, error) {
	if (r.Old == "") == (r.Pattern == "") {
		return stream.Stage{}, errors.New("expected either old or pattern")
	}
	if r.Old != "" {
		return stream.Replace(r.Old, r.With)
	}
	s, err := stream.ReplacePattern(r.Pattern, r.With)
	if err != nil {
		return s, errors.New(
			"pattern is not a regular expression of RE2, or too large, or there is a newline in with")
	}
	return s, nil
}
