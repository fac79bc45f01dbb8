package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"sync/atomic"

	"longshore/internal/httpapi"
)

type counter = atomic.Int64

// sendLines submits each line of the input that no earlier run has.
func (b *batch) sendLines(ctx context.Context, to Installation, in io.Reader) error {
	// What reads may block for ever (a terminal, a pipe), so it is left behind
	// when ctx ends.
	f := &feed{batch: b, lines: httpapi.NewLines(in, httpapi.MaxBatchLine-maxKeyed),
		came: make(chan []item, feedAhead)}
	b.compareClocks(ctx, to)
	go f.read(ctx)
	return b.send(ctx, to, f)
}

// maxKeyed is what named adds to a line at most, in bytes.
const maxKeyed = 128

// feedAhead is how many reads of the input may wait to be sent.
const feedAhead = 16

// An item is a line that is to be sent.
type item struct {
	httpapi.Line
	crc uint32 // of the input up to here
	end int64  // in bytes of the input

	at    int64 // the time of its id, in ms; 0 = it has a key
	fresh bool  // no run can have sent it
	found bool  // it is a job already
}

// A feed reads the input ahead, and leaves out what the journal has.
type feed struct {
	*batch
	lines  *httpapi.Lines
	came   chan []item
	err    error // once came is closed: io.EOF, or what went wrong
	before counter

	crc  uint32
	end  int64
	sums int // of the journal's checksums, how many have been compared
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	lineEnd    = []byte{'\n'}
)

func (f *feed) read(ctx context.Context) {
	defer close(f.came)
	for {
		lines, err := f.lines.Next()
		if err != nil {
			if f.err = err; errors.Is(err, io.EOF) && f.sums < len(f.book.sums) {
				f.err = errChanged(f.batch)
			}
			return
		}
		items := make([]item, 0, len(lines))
		for _, l := range lines {
			f.crc = crc32.Update(crc32.Update(f.crc, castagnoli, l.Text), castagnoli, lineEnd)
			f.end += int64(len(l.Text)) + 1
			if err := f.compare(l.Number); err != nil {
				f.err = err
				return
			}
			if f.book.taken.has(l.Number) {
				f.before.Add(1)
				continue
			}
			if l.Number == 1 {
				if inUTF16(l.Text) {
					f.err = Usage("%s is in UTF-16: write it in UTF-8, in PowerShell by Out-File -Encoding utf8", f.files[0])
					return
				}
				if l.Text = unmarked(l.Text); len(bytes.TrimSpace(l.Text)) == 0 && !l.TooLong {
					continue // as any empty line
				}
			}
			items = append(items, item{Line: l, crc: f.crc, end: f.end})
		}
		if len(items) == 0 {
			continue
		}
		select {
		case f.came <- items:
		case <-ctx.Done():
			f.err = context.Cause(ctx)
			return
		}
	}
}

// compare compares the input with the one that the journal speaks of.
func (f *feed) compare(line int64) error {
	for f.sums < len(f.book.sums) && f.book.sums[f.sums].upto <= line {
		if sum := f.book.sums[f.sums]; sum.upto != line || sum.crc != f.crc {
			return errChanged(f.batch)
		}
		f.sums++
	}
	return nil
}

func errChanged(b *batch) error {
	return fmt.Errorf(
		"%s is not what its journal %s speaks of: to submit it from the start remove the journal, or name another with --journal",
		b.files[0], b.journal)
}

// next returns what was read; when ctx ends it does not wait.
func (f *feed) next(ctx context.Context) ([]item, error) {
	select {
	case items, ok := <-f.came:
		if ok {
			return items, nil
		}
		f.total.before = f.before.Load()
		return nil, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// unavailable reports whether a line may be taken when it comes again.
func unavailable(a httpapi.BatchAnswer) bool {
	return a.Status == http.StatusServiceUnavailable || a.Status == http.StatusTooManyRequests
}
