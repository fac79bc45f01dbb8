// Package loggen makes up web server access logs in the Combined format, for
// tests, benchmarks and the demo. The same options give the same bytes.
//
// Paths, addresses, referrers and user agents are drawn by Zipf's law, as real
// ones nearly are; the rate of requests swings over the day; some lines are
// broken, some hold a warning. All names are invented, the addresses are those
// that RFC 5737 and RFC 3849 set aside for examples and private ones.
package loggen

import (
	"io"
	"math/rand/v2"
	"strconv"
	"time"
)

// Options say what log to make. At least one of Lines and Bytes must be set.
type Options struct {
	Seed  uint64
	Lines int64 // 0 = as many as Bytes allows
	Bytes int64 // the log ends with the last line that fits; 0 = no limit

	Addresses int           // different client addresses at most; 0 = 20,000
	Paths     int           // different paths at most; 0 = 5,000
	Start     time.Time     // of the first line; zero = 2025-03-01 00:00 UTC
	Every     time.Duration // mean time between lines; 0 = 150 ms
}

// Totals are what a log holds, to compare an analysis with. Malformed lines
// count in Lines and Malformed only.
type Totals struct {
	Lines     int64
	Malformed int64
	Warnings  int64
	Bytes     int64 // sent, by the log
	Status    map[string]int64
	First     time.Time
	Last      time.Time
}

// A Reader is a log being made. It is not safe for concurrent use.
type Reader struct {
	options Options
	rng     *rand.Rand
	words   *vocabulary
	now     time.Time
	second  int64  // Unix time that stamp is of
	stamp   []byte // "[02/Jan/2006:15:04:05 +0000]"
	buf     []byte // begun line and those before it, not read yet
	rest    []byte // of buf
	made    int64  // bytes
	done    bool
	totals  Totals
	status  [600]int64
}

// New returns a reader of the log.
func New(o Options) *Reader {
	if o.Addresses == 0 {
		o.Addresses = 20_000
	}
	if o.Paths == 0 {
		o.Paths = 5_000
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2025, time.March, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Every == 0 {
		o.Every = 150 * time.Millisecond
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x6c6f6767656e))
	return &Reader{options: o, rng: rng, words: newVocabulary(rng, o), now: o.Start.UTC(), second: -1,
		done: o.Lines == 0 && o.Bytes == 0}
}

// bufferSize is how much is made ahead.
const bufferSize = 64 << 10

func (r *Reader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.done {
			return 0, io.EOF
		}
		r.buf = r.buf[:0]
		for len(r.buf) < bufferSize && !r.done {
			r.more()
		}
		r.rest = r.buf
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Totals returns what the log has held so far; it is complete when Read has
// returned io.EOF.
func (r *Reader) Totals() Totals {
	t := r.totals
	t.Status = map[string]int64{}
	for status, n := range r.status {
		if n > 0 {
			t.Status[strconv.Itoa(status)] = n
		}
	}
	return t
}

// A line is one that was made and is not counted yet.
type line struct {
	malformed, warning bool
	status             int
	bytes              int64
	at                 time.Time
}

// more adds a line, unless the log would grow over its limits.
func (r *Reader) more() {
	if r.options.Lines > 0 && r.totals.Lines == r.options.Lines {
		r.done = true
		return
	}
	before := len(r.buf)
	l := r.line()
	size := int64(len(r.buf) - before)
	if r.options.Bytes > 0 && r.made+size > r.options.Bytes {
		r.buf = r.buf[:before]
		r.done = true
		return
	}
	r.made += size
	r.count(l)
}

func (r *Reader) count(l line) {
	r.totals.Lines++
	if l.warning {
		r.totals.Warnings++
	}
	if l.malformed {
		r.totals.Malformed++
		return
	}
	r.status[l.status]++
	r.totals.Bytes += l.bytes
	if r.totals.First.IsZero() {
		r.totals.First = l.at
	}
	r.totals.Last = l.at
}
