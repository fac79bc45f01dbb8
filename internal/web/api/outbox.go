package api

import (
	"slices"
	"sync"

	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

// What is kept of answers that the clients of batches don't read yet, in bytes. A line is
// read only where there is room for its answer, so a client that reads nothing stops itself:
// each batch has some room, and borrows more from what all of them share, up to
// what more than httpapi.MaxBatch lines need.
const (
	ownRoom     = 16 << 10
	sharedRoom  = 8 << 20
	mostRoom    = 2 << 20
	roomLoan    = 64 << 10
	lineRoom    = 256 // reserved for the answer to a line; most are a third of it
	batchGroup  = 400 // lines that are read at a time: a group of submit's
	spareOutbox = 32 << 10
)

// A batchRoom is what all batches share.
type batchRoom struct {
	mu      sync.Mutex
	free    int
	waiting map[*outbox]bool // they were told no
}

func newBatchRoom() *batchRoom {
	return &batchRoom{free: sharedRoom, waiting: map[*outbox]bool{}}
}

// lend lends one loan, or notes who is to be woken when there is some.
func (b *batchRoom) lend(to *outbox) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free < roomLoan {
		b.waiting[to] = true
		return false
	}
	b.free -= roomLoan
	return true
}

// giveBack takes room back. Nobody may hold an outbox's lock.
func (b *batchRoom) giveBack(n int) {
	if n <= 0 {
		return
	}
	b.mu.Lock()
	b.free += n
	waiting := b.waiting
	b.waiting = map[*outbox]bool{}
	b.mu.Unlock()
	for o := range waiting {
		o.wake()
	}
}

// forget ends a wait.
func (b *batchRoom) forget(o *outbox) {
	b.mu.Lock()
	delete(b.waiting, o)
	b.mu.Unlock()
}

// An outbox keeps the answers of one batch until the client takes them.
type outbox struct {
	shared *batchRoom

	mu      sync.Mutex
	change  sync.Cond // of what follows
	text    []byte
	sending int // bytes that the client is taking
	owed    int // lines that were read, or are being read, and not answered
	loan    int // bytes lent by shared
	closed  bool
	stopped bool
	err     error
}

func newOutbox(shared *batchRoom) *outbox {
	o := &outbox{shared: shared}
	o.change.L = &o.mu
	return o
}

func (o *outbox) used() int { return len(o.text) + o.sending + o.owed*lineRoom }

// reserve returns how many lines may be read now, at least one and at most as many
// as are wanted. It waits while the client takes too little.
func (o *outbox) reserve(most int) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		switch free := (ownRoom + o.loan - o.used()) / lineRoom; {
		case o.err != nil:
			return 0, o.err
		case free >= most || free > 0 && (o.loan >= mostRoom || !o.shared.lend(o)):
			n := min(free, most)
			o.owed += n
			return n, nil
		case free > 0: // it was lent
			o.loan += roomLoan
		case o.loan < mostRoom && o.shared.lend(o):
			o.loan += roomLoan
		case o.stopped:
			return 0, errBatchStops
		default:
			o.change.Wait()
		}
	}
}

// unreserve takes back a wish to read lines.
func (o *outbox) unreserve(lines int) {
	o.mu.Lock()
	o.owed -= lines
	o.mu.Unlock()
}

// add adds the answers to lines.
func (o *outbox) add(answers []httpapi.BatchAnswer) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owed -= len(answers)
	if o.err != nil {
		return o.err // nobody takes them
	}
	o.text = slices.Grow(o.text, len(answers)*lineRoom/3)
	for _, one := range answers {
		o.text = one.AppendJSON(o.text)
	}
	o.change.Broadcast()
	return nil
}

func (o *outbox) wake() {
	o.mu.Lock()
	o.change.Broadcast()
	o.mu.Unlock()
}

// stop ends a wait for room: the server stops.
func (o *outbox) stop() {
	o.mu.Lock()
	o.stopped = true
	o.change.Broadcast()
	o.mu.Unlock()
}

// close says that there will be no more answers.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.change.Broadcast()
	o.mu.Unlock()
}

// send writes what comes until close, or until the client takes no more.
func (o *outbox) send(a *edge.Answer) {
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
		if spare = text; cap(spare) > spareOutbox {
			spare = nil
		}
		if o.sent(err); err != nil {
			return
		}
	}
}

// take waits for text, and takes it; none is the end. spare becomes room for the next.
func (o *outbox) take(spare []byte) []byte {
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
func (o *outbox) sent(err error) {
	o.mu.Lock()
	o.sending, o.err = 0, err
	over := 0
	if err != nil {
		over, o.text = o.loan, nil
	} else if spared := ownRoom + o.loan - o.used(); spared > 0 {
		over = min(spared/roomLoan*roomLoan, o.loan)
	}
	o.loan -= over
	o.change.Broadcast()
	o.mu.Unlock()
	if err != nil {
		o.shared.forget(o)
	}
	o.shared.giveBack(over)
}
