package api

import (
	"slices"
	"sync"

	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

// What is kept of answers that the clients of batches don't read yet, in bytes. A line is
// read only where there is room for its answer, so a client that reads nothing stops itself:
// each batch has some memory, and borrows more from what all of them share, up to
// what more than httpapi.MaxBatch lines need.
const (
	ownMemory    = 16 << 10
	sharedMemory = 8 << 20
	mostMemory   = 2 << 20
	memoryLoan   = 64 << 10
	lineMemory   = 256 // reserved for the answer to a line; most are a third of it
	batchGroup   = 400 // lines that are read at a time: a group of submit's
	spareBuffer  = 32 << 10
)

// An answerMemory is what all batches share.
type answerMemory struct {
	mu      sync.Mutex
	free    int
	waiting map[*answerBuffer]bool // they were told no
}

func newAnswerMemory() *answerMemory {
	return &answerMemory{free: sharedMemory, waiting: map[*answerBuffer]bool{}}
}

// lend lends one loan, or notes who is to be woken when there is some.
func (b *answerMemory) lend(to *answerBuffer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free < memoryLoan {
		b.waiting[to] = true
		return false
	}
	b.free -= memoryLoan
	return true
}

// giveBack takes room back. Nobody may hold an answerBuffer's lock.
func (b *answerMemory) giveBack(n int) {
	if n <= 0 {
		return
	}
	b.mu.Lock()
	b.free += n
	waiting := b.waiting
	b.waiting = map[*answerBuffer]bool{}
	b.mu.Unlock()
	for o := range waiting {
		o.wake()
	}
}

// forget ends a wait.
func (b *answerMemory) forget(o *answerBuffer) {
	b.mu.Lock()
	delete(b.waiting, o)
	b.mu.Unlock()
}

// An answerBuffer keeps the answers of one batch until the client takes them.
type answerBuffer struct {
	shared *answerMemory

	mu      sync.Mutex
	change  sync.Cond // of what follows
	text    []byte
	sending int // bytes that the client is taking
	pending int // lines that were read, or are being read, and not answered
	loan    int // bytes lent by shared
	closed  bool
	stopped bool
	err     error
}

func newAnswerBuffer(shared *answerMemory) *answerBuffer {
	o := &answerBuffer{shared: shared}
	o.change.L = &o.mu
	return o
}

func (o *answerBuffer) used() int { return len(o.text) + o.sending + o.pending*lineMemory }

// reserve returns how many lines may be read now, at least one and at most as many
// as are wanted. It waits while the client takes too little.
func (o *answerBuffer) reserve(most int) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		switch free := (ownMemory + o.loan - o.used()) / lineMemory; {
		case o.err != nil:
			return 0, o.err
		case free >= most || free > 0 && (o.loan >= mostMemory || !o.shared.lend(o)):
			n := min(free, most)
			o.pending += n
			return n, nil
		case free > 0: // it was lent
			o.loan += memoryLoan
		case o.loan < mostMemory && o.shared.lend(o):
			o.loan += memoryLoan
		case o.stopped:
			return 0, errBatchStops
		default:
			o.change.Wait()
		}
	}
}

// release takes back a wish to read lines.
func (o *answerBuffer) release(lines int) {
	o.mu.Lock()
	o.pending -= lines
	o.mu.Unlock()
}

// add adds the answers to lines.
func (o *answerBuffer) add(answers []httpapi.BatchAnswer) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pending -= len(answers)
	if o.err != nil {
		return o.err // nobody takes them
	}
	o.text = slices.Grow(o.text, len(answers)*lineMemory/3)
	for _, one := range answers {
		o.text = one.AppendJSON(o.text)
	}
	o.change.Broadcast()
	return nil
}

func (o *answerBuffer) wake() {
	o.mu.Lock()
	o.change.Broadcast()
	o.mu.Unlock()
}

// stop ends a wait for room: the server stops.
func (o *answerBuffer) stop() {
	o.mu.Lock()
	o.stopped = true
	o.change.Broadcast()
	o.mu.Unlock()
}

// close says that there will be no more answers.
func (o *answerBuffer) close() {
	o.mu.Lock()
	o.closed = true
	o.change.Broadcast()
	o.mu.Unlock()
}

// send writes what comes until close, or until the client takes no more.
func (o *answerBuffer) send(a *edge.Answer) {
	var spare []byte
	for {
		text := o.take(spare)
		if len(text) == 0 {
			return
		}
		if !a.Begun() {
			a.Header().Set("Content-Type", httpapi.TypeNDJSON)
		}
		err := a.Send(text)
		if spare = text; cap(spare) > spareBuffer {
			spare = nil
		}
		if o.sent(err); err != nil {
			return
		}
	}
}

// take waits for text, and takes it; none is the end. spare becomes room for the next.
func (o *answerBuffer) take(spare []byte) []byte {
	o.mu.Lock()
	for len(o.text) == 0 && !o.closed {
		o.change.Wait()
	}
	text := o.text
	o.text, o.sending = spare[:0], len(text)
	over := 0
	if len(text) == 0 { // the end
		over, o.loan = o.loan, 0
	}
	o.mu.Unlock()
	if len(text) == 0 {
		o.shared.forget(o)
	}
	o.shared.giveBack(over)
	return text
}

// sent notes that the client has the text, and gives back what isn't needed any more;
// all of it after an error: what comes then is not kept.
func (o *answerBuffer) sent(err error) {
	o.mu.Lock()
	o.sending, o.err = 0, err
	over := 0
	if err != nil {
		over, o.text = o.loan, nil
	} else if spared := ownMemory + o.loan - o.used(); spared > 0 {
		over = min(spared/memoryLoan*memoryLoan, o.loan)
	}
	o.loan -= over
	o.change.Broadcast()
	o.mu.Unlock()
	if err != nil {
		o.shared.forget(o)
	}
	o.shared.giveBack(over)
}
