package handlers

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/axiomhq/hyperloglog"

	"longshore/internal/stream"
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
// that is in no known format is counted as malformed and is no error. The log
// may be packed with gzip or zstd.
func analyzeLog(ctx context.Context, run *Run, p tasks.Analyze) (any, error) {
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
	a := newLogAnalysis(p.Format)
	if err := a.read(stream.WithContext(ctx, z), run.Counts); err != nil {
		return nil, err
	}
	report, err := a.report(p.Top)
	if err != nil {
		return nil, Fail(err)
	}
	return report, nil
}

// A logAnalysis is the state of reading one log.
type logAnalysis struct {
	parser         logParser
	lines          int64
	malformed      int64
	malformedLines []int64
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

func newLogAnalysis(format string) *logAnalysis {
	a := &logAnalysis{
		parser: logParser{format: format}, methods: map[string]*int64{},
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
			a.bad()
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
	if warns(line) {
		a.warnings++
	}
	var l logLine
	if !a.parser.parse(line, &l) {
		a.bad()
		return
	}
	a.status[l.status]++
	a.bytes += min(l.bytes, math.MaxInt64-a.bytes)
	a.first, a.last = min(a.first, l.unix), max(a.last, l.unix)
	a.hours.add(l.unix)
	a.addresses.add(l.address)
	if a.uniques != nil {
		a.uniques.Insert(l.address)
	}
	method, path := splitRequest(l.request)
	a.method(method)
	if path != nil {
		a.paths.add(path)
	}
	if given(l.referrer) {
		a.referrers.add(l.referrer)
	}
	if given(l.agent) {
		a.agents.add(l.agent)
	}
}

// given reports whether the client sent the header: servers write "-" for none.
func given(field []byte) bool {
	return len(field) > 1 || len(field) == 1 && field[0] != '-'
}

func (a *logAnalysis) bad() {
	a.malformed++
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
