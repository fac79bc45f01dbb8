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
}

var (
	errTooLong = errors.New("body is over its limit")
	errTooSlow = errors.New("body comes too slowly")
)

// limitRate makes the client send so many bytes a second from now on, after a
// grace; 0 = any.
func (b *requestBody) limitRate(rate int64, grace time.Duration) {
	b.pace = pace{rate: rate, grace: grace, left: grace}
}

// guardBody puts a requestBody in the request's place and returns it; nil if
// there is no body.
func (s *Server) guardBody(a *answer, r *http.Request) *requestBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &requestBody{ReadCloser: r.Body, control: a.control, idle: s.Idle, limit: -1}
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
	if b == nil || !closing || a.cut || a.status < 400 {
		return
	}
	_ = a.control.Flush() // not supported: a test's recorder
	a.control.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, b.ReadCloser) // an error is the end of the time, or the client's going
}

func (b *requestBody) slide() {
	now := time.Now()
	slow := b.pace.rate > 0 && b.pace.left < b.idle/2 // its deadline moves by more than a little
	if now.Sub(b.slid) < b.idle/10 && !slow {
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
	b.control.SetReadDeadline(deadline) // not supported: a test's recorder
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.failed != nil {
		return 0, b.failed
	}
	b.slide()
	begun := time.Now()
	n, err := b.ReadCloser.Read(p)
	if err == nil && !b.pace.took(n, time.Since(begun)) {
		b.failed = errTooSlow
		return 0, errTooSlow
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

// refusal says why the body could not be read; nil if it could.
func (b *requestBody) refusal() *httpapi.Error {
	switch {
	case b == nil || b.failed == nil:
		return nil
	case errors.Is(b.failed, errTooLong):
		return httpapi.NewError(httpapi.TooLarge, "the body is over the limit").Wrap(b.failed)
	case errors.Is(b.failed, errTooSlow):
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
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, body.refusal()
	}
	return text, nil
}
