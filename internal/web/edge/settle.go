package edge

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

// One connection serves many requests, and what is left of a body when its
// answer is out would be read as the next of them: so a body's end decides
// whether the connection goes on. And net/http watches the connection between a
// body's end and the next request: a read deadline that passes then ends the
// context of every request to come. So both have one owner each, here.

// A deadline is the only one who sets the connection's read deadline while a
// request is served, and only until the body's end was read or its answer began.
type deadline struct {
	mu      sync.Mutex
	at      time.Time // what is set
	until   time.Time // no deadline lies behind this one; zero = any may
	ended   bool      // by interrupt
	closed  bool      // nobody reads any more
	whole   bool      // the body's end was read
	settled bool      // the answer has begun: what is left is settle's
}

func (d *deadline) set(control *http.ResponseController, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setLocked(control, at)
}

func (d *deadline) setLocked(control *http.ResponseController, at time.Time) {
	if d.ended || d.whole || d.settled {
		return
	}
	if !d.until.IsZero() && d.until.Before(at) {
		at = d.until
	}
	d.at = at
	control.SetReadDeadline(at) // not supported: a test's recorder
}

// EndBy is the end of all reading: the body must be here by then.
func (b *Body) EndBy(at time.Time) {
	d := &b.deadline
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.until.IsZero() || at.Before(d.until) {
		d.until = at
	}
	d.setLocked(b.control, d.at)
}

// longAgo is a deadline that ends a read at once.
var longAgo = time.Unix(1, 0)

// interrupt ends the reads, unless there is nothing to read any more. It may come
// just when net/http has seen the end and we have not: then the connection is not
// fit for another request, and ends with this one.
func (d *deadline) interrupt(control *http.ResponseController) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.whole || d.settled {
		return
	}
	d.ended, d.closed = true, true
	control.SetReadDeadline(longAgo)
}

func (d *deadline) atEnd() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.whole = true
}

func (d *deadline) was(flag *bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return *flag
}

// Bounds of what is read of a body for which nobody asked, before its answer:
// what is there already, or as good as there, leaves the connection fit for the
// next request. Nobody waits for a client that keeps the rest back.
const (
	drainTime = 100 * time.Millisecond
	maxDrain  = 256 << 10
)

// settle is called when the answer begins, or with a duplex one when it has
// ended. It reports whether the connection is fit for another request.
func (b *Body) settle() bool {
	d := &b.deadline
	d.mu.Lock()
	fit := d.whole && !d.ended
	try := !d.settled && !d.whole && !d.ended && b.failed == nil && !b.expects && b.length <= maxDrain+b.taken
	d.settled = true
	if try {
		b.control.SetReadDeadline(time.Now().Add(drainTime))
	}
	d.mu.Unlock()
	if !try {
		return fit
	}
	_, err := io.CopyN(io.Discard, b.ReadCloser, maxDrain+1)
	if err != io.EOF { //nolint:errorlint // as net/http returns it
		return false
	}
	d.atEnd()
	return true
}

// lingerTime is how long a client may go on sending a body that was refused.
const lingerTime = 500 * time.Millisecond

// end is called when the request was served. It ends the connection if the body
// is not at its end, and lets a client that is still sending see its refusal: a
// connection that is closed with bytes unread is reset, and the reset can
// overtake the answer.
func (b *Body) end(a *Answer) {
	if b == nil || a.cut || a.upgraded {
		return
	}
	if a.status == 0 {
		a.WriteHeader(http.StatusOK) // as net/http would, past us
	}
	if b.settle() {
		return
	}
	if a.status < 400 || b.duplex {
		a.lastOfConnection()
		a.control.SetReadDeadline(longAgo) // else net/http waits for the rest
		return
	}
	_ = a.control.Flush() // not supported: a test's recorder
	a.control.SetReadDeadline(time.Now().Add(lingerTime))
	if _, err := io.Copy(io.Discard, b.ReadCloser); err != nil { // the end of the time, or the client's going
		a.control.SetReadDeadline(longAgo)
	}
}

// lastOfConnection ends the connection after this answer, be its header out
// already: what net/http does at a body that is over a limit.
func (a *Answer) lastOfConnection() {
	over := http.MaxBytesReader(a.ResponseWriter, io.NopCloser(bytes.NewReader([]byte{0})), 0)
	_, _ = over.Read(make([]byte, 1)) // the error is that it is over
}

// SetReadDeadline is for http.ResponseController: a library that wants to end
// the reading of the body may do so. Other deadlines are the body's own.
func (a *Answer) SetReadDeadline(at time.Time) error {
	if a.Body != nil && !at.IsZero() && !at.After(time.Now()) {
		a.Body.Interrupt()
	}
	return nil
}
