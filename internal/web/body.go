package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
	"longshore/tasks"
)

// A requestBody is a request's body whose client must keep sending: each read
// may take Config.Idle at most. It remembers why reading failed, for by then
// the error has gone through other hands.
type requestBody struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration
	until   time.Time // the end of it all; zero = none
	slid    time.Time
	limit   int64 // bytes that may still come; < 0 = no limit
	pace    pace
	failed  error

	mu    sync.Mutex // of the read deadline
	ended bool       // by interrupt
}

var (
	errTooLong = errors.New("body is over its limit")
	errTooSlow = errors.New("body comes too slowly")
)

// guardBody puts a requestBody in the request's place and returns it; nil if
// there is no body.
func (s *Server) guardBody(a *answer, r *http.Request) *requestBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &requestBody{ReadCloser: r.Body, control: &a.control, idle: s.Idle, limit: -1}
	b.slide() // also for a body that nobody reads: net/http does so before it answers
	r.Body = b
	return b
}

// lingerTime is how long a client may go on sending a body that was refused.
const lingerTime = 500 * time.Millisecond

// linger lets a client that is still sending see its refusal: a connection that
// is closed with bytes unread is reset, and the reset can overtake the answer.
// net/http does as much by itself, but not where the client, as many proxies do,
// has asked for the connection to be closed.
func (b *requestBody) linger(a *answer, closing bool) {
	if b == nil || a.cut || a.status < 400 {
		return
	}
	if !closing {
		if b.tooSlow() {
			b.control.SetReadDeadline(longAgo) // else net/http waits for more of it before it answers
		}
		return
	}
	_ = a.control.Flush() // not supported: a test's recorder
	a.control.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, b.ReadCloser) // an error is the end of the time, or the client's going
}

// longAgo is a deadline that ends a read at once.
var longAgo = time.Unix(1, 0)

// interrupt ends a read that waits for the client, and all that follow. Nobody
// wants the body any more, and its client need not be waited for.
func (b *requestBody) interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.control.SetReadDeadline(longAgo)
}

func (b *requestBody) interrupted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

// behind reports whether half the grace is used up. From then on it is the
// deadline, which moves by more than a little with each read.
func (b *requestBody) behind() bool { return b.pace.rate > 0 && b.pace.left < b.idle/2 }

func (b *requestBody) slide() {
	now := time.Now()
	if now.Sub(b.slid) < b.idle/10 && !b.behind() {
		return
	}
	b.slid = now
	deadline := now.Add(b.idle)
	if b.pace.rate > 0 && b.pace.left < b.idle {
		deadline = now.Add(b.pace.left)
	}
	if !b.until.IsZero() && b.until.Before(deadline) {
		deadline = b.until
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.control.SetReadDeadline(deadline) // not supported: a test's recorder
	}
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.failed != nil {
		return 0, b.failed
	}
	b.slide()
	begun, behind := time.Now(), b.behind()
	n, err := b.ReadCloser.Read(p)
	late := errors.Is(err, os.ErrDeadlineExceeded) && behind
	if (err == nil || late) && !b.pace.took(n, time.Since(begun)) {
		b.failed = errTooSlow
		return n, errTooSlow
	}
	if b.limit >= 0 {
		if b.limit -= int64(n); b.limit < 0 {
			b.failed = errTooLong
			return 0, errTooLong
		}
	}
	if err != nil && err != io.EOF { // at the end net/http clears the deadline
		b.failed = err
	}
	return n, err
}

func (b *requestBody) tooSlow() bool { return errors.Is(b.failed, errTooSlow) }

// refusal says why the body could not be read; nil if it could, or nobody
// wanted it to its end.
func (b *requestBody) refusal() *httpapi.Error {
	switch {
	case b == nil || b.failed == nil || b.interrupted():
		return nil
	case errors.Is(b.failed, errTooLong):
		return httpapi.NewError(httpapi.TooLarge, "the body is over the limit").Wrap(b.failed)
	case b.tooSlow():
		return httpapi.NewError(httpapi.Invalid, fmt.Sprintf("the body comes too slowly: expected %d bytes a second", b.pace.rate)).
			WithStatus(http.StatusRequestTimeout).Wrap(b.failed)
	case errors.Is(b.failed, os.ErrDeadlineExceeded):
		return httpapi.NewError(httpapi.Invalid, "the body took too long").WithStatus(http.StatusRequestTimeout).Wrap(b.failed)
	default:
		return httpapi.NewError(httpapi.Invalid, "the body could not be read to its end").WithStatus(http.StatusBadRequest).Wrap(b.failed)
	}
}

const (
	// maxJSON is the size limit of a JSON body: a payload and what is around it.
	maxJSON = 2 * job.MaxDocument
	// jsonTimeout is how long such a small body may take in all.
	jsonTimeout = 10 * time.Second
)

// checkJSONBody is the pass before huma's, which would take what we don't: it
// reads the whole body and puts the checked bytes in its place.
func checkJSONBody(a *answer, r *http.Request) error {
	kind, err := r.Header.Get("Content-Type"), error(nil)
	if kind != httpapi.TypeJSON {
		kind, _, err = mime.ParseMediaType(kind)
	}
	switch {
	case r.Header.Get("Content-Type") == "", kind == httpapi.TypeJSON, strings.HasSuffix(kind, "+json"):
	case kind == "application/x-www-form-urlencoded": // what curl -d says of any body
	default:
		return httpapi.NewError(httpapi.Unsupported, "expected Content-Type application/json").Wrap(err)
	}
	text, err := readJSON(r)
	if err != nil {
		return err
	}
	if err := tasks.CheckJSON(text); err != nil {
		return httpapi.NewError(httpapi.Invalid, err.Error()).WithStatus(http.StatusBadRequest)
	}
	a.json = text
	r.Body = io.NopCloser(bytes.NewReader(text))
	r.Header["Content-Type"] = typeJSON
	return nil
}

// readJSON reads a body that is to be JSON, within the limits of one. The text
// is not checked yet.
func readJSON(r *http.Request) ([]byte, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, httpapi.NewError(httpapi.Unsupported, "expected JSON without Content-Encoding")
	}
	body, ok := r.Body.(*requestBody)
	if !ok {
		return nil, nil
	}
	if r.ContentLength > maxJSON {
		return nil, httpapi.NewError(httpapi.TooLarge, "the JSON body is over the limit; send data as a job's input")
	}
	body.limit, body.until, body.slid = maxJSON, time.Now().Add(jsonTimeout), time.Time{}
	text, err := readWhole(body, r.ContentLength)
	if err != nil {
		return nil, body.refusal()
	}
	return text, nil
}

// readWhole reads a body whose length, if it is known, is small: a buffer of
// that length is enough.
func readWhole(body io.Reader, length int64) ([]byte, error) {
	if length < 0 || length > 4<<10 { // more is not set aside for what may never come
		return io.ReadAll(body)
	}
	text := make([]byte, length)
	_, err := io.ReadFull(body, text)
	return text, err
}
