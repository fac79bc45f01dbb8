package handlers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/axiomhq/hyperloglog"

	"longshore/internal/accesslog"
	"longshore/internal/stream"
	"longshore/job"
	"longshore/tasks"
)

// Bounds of an analysis. All its memory together stays under about 30 MB,
// whatever the log holds.
const (
	maxLogLine   = 128 << 10 // bytes; a longer line is malformed
	maxLogRatio  = 1000      // of a compressed log: real ones stay far below, bombs don't
	maxMalformed = 10        // line numbers that are listed
	maxMethods   = 64        // methods counted by name

	// How many different values are counted exactly.
	maxAddresses = 1 << 17
	maxPaths     = 1 << 16
	maxReferrers = 1 << 15
	maxAgents    = 1 << 14
	maxKeyBytes  = 4 << 20 // of each of them, in all
)

// analyzeLog is the handler of log.analyze; logReport is its result. A line
// that is in no known format is counted as malformed and is no error, unless all
// are: such a file is no log, or in a format that must be described. The log may
// be packed with gzip or zstd.
func analyzeLog(ctx context.Context, run *Run, p tasks.Analyze) (any, error) {
	format, err := accesslog.ParseFormat(p.Format, p.DateFormat, p.TimeFormat)
	if err != nil {
		return nil, Fail(err)
	}
	in, err := run.Input(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	z, err := stream.NewReader(in, stream.Auto, stream.Limits{Ratio: maxLogRatio})
	if err != nil {
		return nil, err
	}
	defer z.Close()
	a := newLogAnalysis(format)
	text := stream.NewText(stream.WithContext(ctx, z), stream.Encoding(p.Encoding))
	if err := a.read(text, &run.counts); err != nil {
		return nil, err
	}
	if a.foreign > 0 && a.lines == a.malformed {
		return nil, FailWith(job.TypeMismatch,
			fmt.Errorf("none of the %d lines is in a known log format, line %d for one; "+
				"format describes others", a.lines, a.foreign))
	}
	report, err := a.report(p.Top)
	if err != nil {
		return nil, Fail(err)
	}
	if e := text.Encoding(); e != stream.UTF8 && e != stream.AutoEncoding {
		report.Encoding = string(e)
	}
	return report, nil
}

// A logAnalysis is the state of reading one log.
type logAnalysis struct {
	parser         *accesslog.Parser
	lines          int64
	malformed      int64
	malformedLines []int64
	foreign        int64 // number of the first malformed line that is not blank; 0 = none
	bytes          int64
	warnings       int64
	status         [1000]int64
	methods        map[string]*int64
	first, last    int64 // Unix times; first > last before the first line
	hours          *hours

	paths, addresses, referrers, agents *counter

	// uniques estimates the number of addresses once there are more than the
	// counter holds; nil before.
	uniques *hyperloglog.Sketch
}

func newLogAnalysis(format *accesslog.Format) *logAnalysis {
	a := &logAnalysis{
		parser: accesslog.NewParser(format), methods: map[string]*int64{},
		first: math.MaxInt64, last: math.MinInt64, hours: newHours(),
		paths:     newCounter(maxPaths, maxKeyBytes),
		addresses: newCounter(maxAddresses, maxKeyBytes),
		referrers: newCounter(maxReferrers, maxKeyBytes),
		agents:    newCounter(maxAgents, maxKeyBytes),
	}
	a.addresses.beforePurge = func(c *counter) {
		a.uniques = hyperloglog.New16NoSparse()
		for _, e := range c.entries {
			a.uniques.Insert(c.key(e))
		}
	}
	return a
}

// recordsStep is how many lines pass between two looks at the counts by others.
const recordsStep = 1 << 12

// read takes in a whole log.
func (a *logAnalysis) read(r io.Reader, counts *stream.Counts) error {
	lines := stream.NewLines(r, maxLogLine)
	defer lines.Close()
	counts.Records.Store(0)
	for {
		line, err := lines.Next()
		switch {
		case err == nil:
			a.line(line)
		case stream.Ended(err):
			counts.Records.Store(a.lines)
			return nil
		case tooLong(err):
			a.lines++
			a.bad(false)
		default:
			return err
		}
		if a.lines%recordsStep == 0 {
			counts.Records.Store(a.lines)
		}
	}
}

func tooLong(err error) bool {
	limit := (*stream.LimitError)(nil)
	return errors.As(err, &limit) && limit.Limit == stream.LimitRecord
}

// line takes in one line.
func (a *logAnalysis) line(line []byte) {
	a.lines++
	if accesslog.Warns(line) {
		a.warnings++
	}
	var l accesslog.Line
	if !a.parser.Parse(line, &l) {
		a.bad(len(bytes.TrimSpace(line)) == 0)
		return
	}
	if l.Status >= 0 {
		a.status[l.Status]++
	}
	a.bytes += min(l.Bytes, math.MaxInt64-a.bytes)
	a.first, a.last = min(a.first, l.Unix), max(a.last, l.Unix)
	a.hours.add(l.Unix)
	a.addresses.add(l.Address)
	if a.uniques != nil {
		a.uniques.Insert(l.Address)
	}
	method, path := accesslog.SplitRequest(l.Request)
	a.method(method)
	if path != nil {
		a.paths.add(path)
	}
	if given(l.Referrer) {
		a.referrers.add(l.Referrer)
	}
	if given(l.Agent) {
		a.agents.add(l.Agent)
	}
}

// given reports whether the client sent the header: servers write "-" for none.
func given(field []byte) bool {
	return len(field) > 1 || len(field) == 1 && field[0] != '-'
}

// bad counts a malformed line.
func (a *logAnalysis) bad(blank bool) {
	a.malformed++
	if !blank && a.foreign == 0 {
		a.foreign = a.lines
	}
	if len(a.malformedLines) < maxMalformed {
		a.malformedLines = append(a.malformedLines, a.lines)
	}
}

// otherMethods is where requests without a proper method are counted.
const otherMethods = "other"

func (a *logAnalysis) method(name []byte) {
	count := a.methods[string(name)]
	if count == nil {
		key := string(name)
		if name == nil || len(a.methods) >= maxMethods {
			key = otherMethods
		}
		if count = a.methods[key]; count == nil {
			count = new(int64)
			a.methods[key] = count
		}
	}
	*count++
}

// unique returns the number of different addresses and whether it is exact.
func (a *logAnalysis) unique() (n int64, exact bool) {
	if a.uniques != nil {
		return int64(a.uniques.Estimate()), false
	}
	return int64(len(a.addresses.entries)), true
}
