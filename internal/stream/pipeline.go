package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// A Kind is the form in which data flows between two stages.
type Kind uint8

// The kinds. Lines and records are text too: a stage that takes bytes takes
// them as lines that end with '\n', records as NDJSON.
const (
	KindBytes   Kind = iota // as they come
	KindLines               // of any text
	KindRecords             // JSON texts, one a line
)

func (k Kind) String() string { return [...]string{"bytes", "lines", "records"}[k] }

// Limits of a pipeline.
const (
	MaxStages = 32
	MaxRecord = 4 << 20 // bytes of one line, row or record
)

// A Stage is one step of a pipeline, made by a function of this package. It
// holds settings only, so that any number of runs may share it.
type Stage struct {
	name  string
	gives func(Kind) (Kind, bool)
	push  func(r *run, in Kind, next flow) (flow, error)         // of a stage that is handed data, or
	pull  func(r *run, src io.Reader) (io.Reader, func(), error) // of one that fetches it
	check bool                                                   // it checks the JSON of records itself
	// like push, leaving the check to the next stage
	lazy func(r *run, next flow) flow

	text     bool     // bytes that it is given are text, and are decoded first
	encoding Encoding // of that text
}

// In is a stage that reads bytes as text of that encoding; without it the stages
// lines, ndjson and csv find it out themselves. What they are given as lines, or
// give, is UTF-8.
func (s Stage) In(e Encoding) Stage {
	s.encoding = e
	return s
}

// Name is the stage's name in payloads and results.
func (s Stage) Name() string { return s.name }

// A StageError says which stage can't be where it is.
type StageError struct {
	Index int
	Err   error
}

func (e *StageError) Error() string { return fmt.Sprintf("stage %d: %v", e.Index+1, e.Err) }

// Unwrap returns the cause.
func (e *StageError) Unwrap() error { return e.Err }

// A Pipeline is a row of stages that fit together. It is safe for concurrent use.
type Pipeline struct {
	stages []Stage
	kinds  []Kind // what goes into each stage, and what comes out of the last one
}

// NewPipeline checks that each stage takes what the one before it gives; the
// first one is given bytes. The error is a *StageError.
func NewPipeline(stages ...Stage) (*Pipeline, error) {
	p := &Pipeline{stages: stages, kinds: []Kind{KindBytes}}
	for i, s := range stages {
		if i == MaxStages {
			return nil, &StageError{i, fmt.Errorf("more than %d stages", MaxStages)}
		}
		in := p.kinds[i]
		out, ok := s.gives(in)
		name := s.name
		if s.encoding != "" && s.encoding != AutoEncoding {
			name, ok = name+" with an encoding", ok && in == KindBytes
		}
		if !ok {
			return nil, &StageError{i, fmt.Errorf("%s can't take %s", name, in)}
		}
		p.kinds = append(p.kinds, out)
	}
	return p, nil
}

// Gives is what comes out of the last stage.
func (p *Pipeline) Gives() Kind { return p.kinds[len(p.stages)] }

// Options are the terms of one run.
type Options struct {
	SkipErrors bool    // leave records out that are broken or that an expression fails on
	MaxBytes   int64   // of the output, and of what each stage decompresses; 0 = no limit
	Counts     *Counts // Records is kept up to date; nil = nobody looks
}

// A StageCount is what one stage did in a run.
type StageCount struct {
	Stage      string `json:"stage"`
	BytesOut   int64  `json:"bytes_out"`
	RecordsOut int64  `json:"records_out,omitempty"` // lines or records, where it gives such
	Skipped    int64  `json:"skipped,omitempty"`     // records left out because of an error
	// fields with bytes that are not UTF-8, and what could not be decoded
	Replaced int64             `json:"replaced,omitempty"`
	Encoding string            `json:"encoding,omitempty"` // that was decoded
	Sums     map[string]string `json:"sums,omitempty"`     // of a checksum: hex by algorithm
}

// A Report is what a run did.
type Report struct {
	BytesIn   int64
	RecordsIn int64 // lines or records that the first stage to know them read
	Skipped   int64
	BytesOut  int64
	Stages    []StageCount
	Errors    []RecordError // the first MaxReported of those that were skipped
}

// MaxReported is how many skipped errors a Report lists.
const MaxReported = 10

// A batch is a piece of a stream. What is in it is valid until take returns,
// and until then the taker may change it.
type batch struct {
	data  []byte
	texts []text // of lines and records: where they are in data, in order
}

// A text is a line or a record: data[start:end], and data[end] is '\n'. There is
// room for jq.Pad bytes behind data.
type text struct {
	start, end int
	at         Position
}

// A Position is where something stands in a stage's input.
type Position struct {
	Line   int64 `json:"line"`   // from 1
	Offset int64 `json:"offset"` // bytes before it
}

// A flow is a stage at work. After an error it is not called any more.
type flow interface {
	take(b *batch) error
	finish() error // the stream has ended
}

// errStop says that a stage wants no more data and has finished what comes
// after it.
var errStop = errors.New("no more data wanted")

// A run is one use of a pipeline.
type run struct {
	ctx     context.Context
	options Options
	report  Report
	counter int      // stage whose records are the run's, or -1
	ends    []func() // what to do at the end, in reverse order

	mu sync.Mutex // guards report.Errors, for stages may work in goroutines of their own
}

func (r *run) atEnd(f func()) { r.ends = append(r.ends, f) }

// Run reads src to its end through all stages into dst. The error is the first
// one that any part met: src's or dst's own, *CorruptError, *LimitError,
// *RecordError, or the context's cause.
func (p *Pipeline) Run(ctx context.Context, dst io.Writer, src io.Reader, o Options) (*Report, error) {
	r := &run{ctx: ctx, options: o, counter: -1}
	r.report.Stages = make([]StageCount, len(p.stages))
	for i, s := range p.stages {
		r.report.Stages[i].Stage = s.name
		if r.counter < 0 && p.kinds[i+1] != KindBytes {
			r.counter = i
		}
	}
	in := &source{r: src}
	out := newSink(r, dst)
	err := p.run(r, out, in)
	for i := len(r.ends) - 1; i >= 0; i-- {
		r.ends[i]()
	}
	r.report.BytesIn, r.report.BytesOut = in.n, out.n
	for i := range r.report.Stages {
		r.report.Skipped += r.report.Stages[i].Skipped
	}
	r.publish()
	if err != nil {
		return nil, err
	}
	return &r.report, nil
}

// run joins the stages from the last to the first. Stages at the front that
// fetch their data become readers around the source; one further back works in
// a goroutine of its own.
func (p *Pipeline) run(r *run, out flow, src io.Reader) error {
	front := 0
	for front < len(p.stages) && p.stages[front].pull != nil {
		front++
	}
	next := out
	var err error
	for i := len(p.stages) - 1; i >= front; i-- {
		s := p.stages[i]
		next = &link{r: r, count: &r.report.Stages[i], kind: p.kinds[i+1], live: i == r.counter, next: next}
		switch {
		case s.pull != nil:
			next = newPipe(r, s, &r.report.Stages[i], next)
		case s.lazy != nil && p.kinds[i+1] == KindRecords && i+1 < len(p.stages) && p.stages[i+1].check:
			next = s.lazy(r, next)
		default:
			if next, err = s.push(r, p.kinds[i], next); err != nil {
				return err
			}
		}
		if s.text && p.kinds[i] == KindBytes && s.encoding != UTF8 {
			next = &decoding{r: r, next: next, count: &r.report.Stages[i], asked: s.encoding}
		}
	}
	slow := false // something is to be decompressed
	for i := range front {
		opened, release, err := p.stages[i].pull(r, src)
		if err != nil {
			return err
		}
		r.atEnd(release)
		if z, ok := opened.(*Reader); !ok || z.Format() != Plain {
			slow = true
		}
		src = &countedReader{opened, &r.report.Stages[i]}
	}
	if slow && front < len(p.stages) && runtime.GOMAXPROCS(0) > 1 {
		ahead := newAhead(r.ctx, src)
		r.atEnd(ahead.stop)
		src = ahead
	}
	if err := pump(r.ctx, src, next); !errors.Is(err, errStop) {
		return err
	}
	return nil
}

// pumped is how much is given to the first stage at once: whole pages, with room
// for jq.Pad bytes behind.
const pumped = chunkSize - 4<<10

// pump moves src into a flow until it ends.
func pump(ctx context.Context, src io.Reader, to flow) error {
	buf := chunks.Get().(*chunk)
	defer chunks.Put(buf)
	b := &batch{}
	for {
		n, readErr := fill(ctx, src, buf[:pumped])
		if n > 0 && (readErr == nil || Ended(readErr)) {
			b.data, b.texts = buf[:n], nil
			if err := to.take(b); err != nil {
				return err
			}
		}
		if Ended(readErr) {
			return to.finish()
		}
		if readErr != nil {
			return readErr
		}
	}
}

// A link counts what a stage gives to the next one.
type link struct {
	r     *run
	count *StageCount
	kind  Kind
	live  bool // its records are the run's progress
	next  flow
}

func (l *link) take(b *batch) error {
	if l.kind == KindBytes {
		l.count.BytesOut += int64(len(b.data))
		return l.next.take(b)
	}
	size := len(b.texts)
	for i := range b.texts {
		size += b.texts[i].end - b.texts[i].start
	}
	l.count.BytesOut += int64(size)
	l.count.RecordsOut += int64(len(b.texts))
	if l.live {
		l.r.report.RecordsIn += int64(len(b.texts))
		l.r.publish()
	}
	if len(b.texts) == 0 {
		return nil
	}
	return l.next.take(b)
}

func (l *link) finish() error { return l.next.finish() }

// publish lets others see how many records were read.
func (r *run) publish() {
	if r.options.Counts != nil && r.counter >= 0 {
		r.options.Counts.Records.Store(r.report.RecordsIn)
	}
}

type countedReader struct {
	r     io.Reader
	count *StageCount
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.count.BytesOut += int64(n)
	return n, err
}
