package cli

import (
	"context"
	"errors"
	"io"

	"longshore/client"
	"longshore/internal/httpapi"
)

const (
	// requests is how many are under way at once: towards the end of one the
	// server has less and less to do, and meanwhile works on the next.
	requests = 2
	// chunkSize is from how many bytes a request has enough.
	chunkSize = 4 << 20
	// noteEvery is how many answers go into the journal at once.
	noteEvery = 500
)

// send submits, a request for many lines, some requests at a time. Their answers are taken in in the order of
// the input: what comes to a request is kept until those before it have ended.
func (b *batch) send(ctx context.Context, to Installation, f *feed) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	sent, free := make(chan *chunk), make(chan struct{}, requests)
	var readErr error
	go func() {
		defer close(sent)
		for {
			free <- struct{}{} // at the end of a request
			var items []item
			if items, readErr = f.chunk(ctx); readErr != nil {
				return
			}
			if readErr = f.name(ctx, to, items); readErr != nil {
				return
			}
			k := &chunk{items: items, came: make(chan []httpapi.BatchAnswer, len(items)/noteEvery+1)}
			go k.send(ctx, b, to)
			sent <- k
		}
	}()
	var refused, unnoted error
	for k := range sent {
		for answers := range k.came {
			if unnoted == nil {
				unnoted = b.answeredLines(k.items, answers)
			}
			if unnoted != nil {
				stop(unnoted)
			}
		}
		if k.err != nil && refused == nil { // what the next request got is noted all the same
			refused = k.err
			stop(refused)
		}
		<-free
	}
	switch {
	case unnoted != nil:
		return unnoted
	case refused != nil:
		return refused
	case errors.Is(readErr, io.EOF):
		return nil
	default:
		return readErr
	}
}

// chunk returns what was read meanwhile, up to one request's worth.
func (f *feed) chunk(ctx context.Context) ([]item, error) {
	items, err := f.next(ctx)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, l := range items {
		size += len(l.Text)
	}
	for len(items) < client.MaxBatch/2 && size < chunkSize/2 {
		select {
		case more, ok := <-f.came:
			if !ok {
				return items, nil // next says why
			}
			for _, l := range more {
				size += len(l.Text)
			}
			items = append(items, more...)
		default:
			return items, nil
		}
	}
	return items, nil
}

// A chunk is the lines of one request. The Line of an answer to it is an index
// of items.
type chunk struct {
	items []item
	came  chan []httpapi.BatchAnswer // has room for all
	err   error                      // once came is closed
}

// send submits the lines and passes the answers on.
func (k *chunk) send(ctx context.Context, b *batch, to Installation) {
	defer close(k.came)
	lines := make([][]byte, len(k.items))
	var answers []httpapi.BatchAnswer
	pass := func(a httpapi.BatchAnswer) {
		if answers = append(answers, a); len(answers) >= noteEvery {
			k.came <- answers
			answers = make([]httpapi.BatchAnswer, 0, noteEvery)
		}
	}
	for i, l := range k.items {
		switch {
		case l.found:
			pass(httpapi.BatchAnswer{Line: int64(i), ID: b.book.id(l.Number, l.at)})
			continue
		case !l.TooLong:
			lines[i] = b.named(l)
			continue
		}
		pass(httpapi.Refusal(int64(i), httpapi.LineTooLong())) // what a server would say
	}
	for a, err := range to.SubmitLines(ctx, lines) {
		if err != nil {
			k.err = err
			break
		}
		a.Line-- // from 0
		pass(b.usedBefore(k.items[a.Line], a))
	}
	if len(answers) > 0 {
		k.came <- answers
	}
}

// answeredLines is answered for some of a chunk's lines.
func (b *batch) answeredLines(items []item, answers []httpapi.BatchAnswer) error {
	last := 0
	for i := range answers {
		at := int(answers[i].Line)
		last = max(last, at)
		answers[i].Line = items[at].Number
	}
	b.total.done.Store(items[last].end)
	return b.answered(answers, prefix{items[last].Number, items[last].crc})
}
