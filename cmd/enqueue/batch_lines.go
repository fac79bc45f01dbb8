package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/submit"
)

type counter = atomic.Int64

// sendLines submits each line of the input that no earlier run has.
func (b *batch) sendLines(ctx context.Context, to *target, in io.Reader) error {
	// What reads may block for ever (a terminal, a pipe), so it is left behind
	// when ctx ends.
	f := &feed{batch: b, lines: submit.NewLines(in, httpapi.MaxBatchLine-maxKeyed), came: make(chan []item, feedAhead)}
	go f.read(ctx)
	if to.direct != nil {
		return b.sendDirect(ctx, to.direct, f)
	}
	return b.sendHTTP(ctx, to.http, f)
}

// maxKeyed is what keyed adds to a line at most, in bytes.
const maxKeyed = 128

// feedAhead is how many reads of the input may wait to be sent.
const feedAhead = 16

// An item is a line that is to be sent.
type item struct {
	submit.Line
	crc uint32 // of the input up to here
	end int64  // in bytes of the input
}

// A feed reads the input ahead, and leaves out what the journal has.
type feed struct {
	*batch
	lines  *submit.Lines
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
			items = append(items, item{l, f.crc, f.end})
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
	return fmt.Errorf("%s is not what its journal %s speaks of: to submit it from the start remove the journal, or name another with --journal",
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

// sendDirect submits straight to Redis.
func (b *batch) sendDirect(ctx context.Context, d *direct, f *feed) error {
	var mu sync.Mutex
	var sent []sentLine // in their order
	next := func() ([]submit.Draft, error) {
		items, err := f.next(ctx)
		if err != nil {
			return nil, err
		}
		drafts := make([]submit.Draft, len(items))
		mu.Lock()
		defer mu.Unlock()
		for i, l := range items {
			drafts[i] = submit.Read(l.Line)
			if r := &drafts[i].Request; r.ID == "" && r.IdempotencyKey == "" {
				r.IdempotencyKey = b.book.key(l.Number)
			}
			sent = append(sent, sentLine{&drafts[i], l.crc, l.end})
		}
		return drafts, nil
	}
	return d.SubmitBatch(ctx, next, func(answers []httpapi.BatchAnswer) error {
		mu.Lock()
		lines := sent[:len(answers)]
		sent = sent[len(answers):]
		mu.Unlock()
		last := lines[len(lines)-1]
		failed := insist(ctx, d, answers, lines)
		if failed != nil {
			answers = slices.DeleteFunc(answers, unavailable)
		}
		b.total.done.Store(last.end)
		if err := b.answered(answers, prefix{last.Line, last.crc}); err != nil {
			return err
		}
		return failed
	})
}

// A sentLine is a line whose answer is awaited.
type sentLine struct {
	*submit.Draft
	crc uint32
	end int64
}

// insist submits again what could not be taken for the moment, for about as
// long as a client of a server does. It returns why that did not help.
func insist(ctx context.Context, d *direct, answers []httpapi.BatchAnswer, lines []sentLine) error {
	pause := 200 * time.Millisecond
	for until := time.Now().Add(client.DefaultRetryFor); ; pause = min(2*pause, 2*time.Second) {
		var drafts []submit.Draft
		var at []int
		for i, a := range answers {
			if unavailable(a) {
				drafts, at = append(drafts, *lines[i].Draft), append(at, i)
			}
		}
		if len(at) == 0 {
			return nil
		}
		refused := answers[at[0]].Refused()
		if time.Now().Add(pause).After(until) {
			return refused
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for i, a := range d.SubmitMany(ctx, drafts) {
			answers[at[i]] = a
		}
	}
}

// unavailable reports whether a line may be taken when it comes again.
func unavailable(a httpapi.BatchAnswer) bool {
	return a.Status == http.StatusServiceUnavailable || a.Status == http.StatusTooManyRequests
}
