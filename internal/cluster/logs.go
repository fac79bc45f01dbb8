package cluster

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

const (
	// maxKept is what one process may have written and nobody has taken, in bytes. Pipes
	// are always read, so that a screen that stands still stops no process.
	maxKept = 256 << 10
	maxLine = 16 << 10
)

// A lineBuffer cuts what a process writes into lines. It never blocks: when too much is
// kept the oldest lines go, and are counted.
type lineBuffer struct {
	prefix string
	wake   chan<- struct{}

	mu      sync.Mutex
	lines   [][]byte // whole, each with its end; those before first were dropped
	first   int
	kept    int // their bytes
	dropped int
	partial []byte // of a line that has not ended
	cut     bool   // it is over maxLine, and the rest isn't kept
	divert  io.Writer
	ended   bool // nothing more comes
}

// Write never fails, as what reads a family's output wants it.
func (b *lineBuffer) Write(p []byte) (int, error) {
	n := len(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.divert != nil {
		_, _ = b.divert.Write(p) // what doesn't fit there is not kept
		return n, nil
	}
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		if room := maxLine - len(b.partial); len(line) > room {
			line, b.cut = line[:room], true
		}
		b.partial = append(b.partial, line...)
		if p = rest; whole {
			b.flush()
		}
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return n, nil
}

// flush makes a line of what there is.
func (b *lineBuffer) flush() {
	line := make([]byte, 0, len(b.partial)+len(" … cut\n"))
	line = append(line, bytes.TrimSuffix(b.partial, []byte("\r"))...)
	if b.cut {
		line = append(line, " … cut"...)
	}
	line = append(line, '\n')
	b.lines, b.kept = append(b.lines, line), b.kept+len(line)
	if cap(b.partial) > 4<<10 {
		b.partial = nil
	}
	b.partial, b.cut = b.partial[:0], false
	for ; b.kept > maxKept; b.first++ {
		b.kept -= len(b.lines[b.first])
		b.lines[b.first] = nil
		b.dropped++
	}
	if b.first > 1000 && b.first > len(b.lines)/2 { // seldom: it moves all that is kept
		b.lines, b.first = slices.Delete(b.lines, 0, b.first), 0
	}
}

// divertTo sends what comes from now on elsewhere.
func (b *lineBuffer) divertTo(w io.Writer) {
	b.mu.Lock()
	b.divert = w
	b.mu.Unlock()
}

// end says that nothing more comes.
func (b *lineBuffer) end() {
	b.mu.Lock()
	if len(b.partial) > 0 {
		b.flush()
	}
	b.ended = true
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take returns what is kept; done: nothing more comes.
func (b *lineBuffer) take() (lines [][]byte, dropped int, done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines, dropped, done = b.lines[b.first:], b.dropped, b.ended
	b.lines, b.first, b.kept, b.dropped = nil, 0, 0, 0
	return lines, dropped, done
}

// A printer writes the lines of all processes to one place, each with its name before it.
type printer struct {
	out  io.Writer
	wake chan struct{}
	end  chan struct{}
	done chan struct{}

	mu      sync.Mutex
	width   int
	sources []*lineBuffer
}

func newPrinter(out io.Writer) *printer {
	p := &printer{out: out, wake: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	return p
}

// source returns what a process of that name writes to.
func (p *printer) source(name string) *lineBuffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.width = max(p.width, len(name))
	b := &lineBuffer{prefix: name, wake: p.wake}
	p.sources = append(p.sources, b)
	return b
}

func (p *printer) run() {
	defer close(p.done)
	for {
		select {
		case <-p.wake:
			p.print()
		case <-p.end:
			p.print()
			return
		}
	}
}

// print writes what all have, in one write each.
func (p *printer) print() {
	p.mu.Lock()
	sources, width := slices.Clone(p.sources), p.width
	p.mu.Unlock()
	var text bytes.Buffer
	for _, b := range sources {
		lines, dropped, done := b.take()
		if dropped > 0 {
			fmt.Fprintf(&text, "%-*s | … %d lines dropped: they came faster than they could be written\n",
				width, b.prefix, dropped)
		}
		for _, line := range lines {
			fmt.Fprintf(&text, "%-*s | %s", width, b.prefix, line)
		}
		if done {
			p.mu.Lock()
			p.sources = slices.DeleteFunc(p.sources, func(other *lineBuffer) bool { return other == b })
			p.mu.Unlock()
		}
		if text.Len() > 0 {
			_, _ = p.out.Write(text.Bytes()) // a reader that has gone stops no process
			text.Reset()
		}
	}
}

// closePatience is for the last lines, where nobody reads them.
const closePatience = 2 * time.Second

// close writes what is left.
func (p *printer) close() {
	close(p.end)
	select {
	case <-p.done:
	case <-time.After(closePatience):
	}
}
