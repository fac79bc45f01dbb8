package edge

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"longshore/internal/httpapi"
)

// A Body is a request's body whose client must keep sending: each read
// may take Config.Idle at most. It remembers why reading failed, for by then
// the error has gone through other hands.
type Body struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration
	length  int64 // bytes, declared; -1 = unknown
	taken   int64 // bytes that were read
	expects bool  // the client waits for "100 Continue"
	slid    time.Time
	limit   int64 // bytes that may still come; < 0 = no limit
	pace    pace
	failed  error
	duplex  bool // the answer goes on beside it

	deadline deadline
}

var (
	errTooLong = errors.New("body is over its limit")
	errTooSlow = errors.New("body comes too slowly")
)

// BodyOf returns the request's body; nil if there is none.
func BodyOf(r *http.Request) *Body {
	b, _ := r.Body.(*Body)
	return b
}

// guardBody puts a Body in the request's place and returns it; nil if
// there is no body.
func guardBody(a *Answer, r *http.Request, idle time.Duration) *Body {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &Body{ReadCloser: r.Body, control: &a.control, idle: idle, length: r.ContentLength, limit: -1,
		expects: r.Header.Get("Expect") != ""}
	b.slide() // also for a body that nobody reads
	r.Body = b
	return b
}

// Close ends all reads to come. What is left of the body is settle's: net/http
// would wait for it here.
func (b *Body) Close() error {
	b.deadline.mu.Lock()
	defer b.deadline.mu.Unlock()
	b.deadline.closed = true
	return nil
}

// Limit bounds the bytes that may still come.
func (b *Body) Limit(n int64) { b.limit = n }

// Interrupt ends a read that waits for the client, and all that follow. Nobody
// wants the body any more, and its client need not be waited for.
func (b *Body) Interrupt() { b.deadline.interrupt(b.control) }

func (b *Body) interrupted() bool { return b != nil && b.deadline.was(&b.deadline.ended) }

// behind reports whether half the grace is used up. From then on it is the
// deadline, which moves by more than a little with each read.
func (b *Body) behind() bool { return b.pace.rate > 0 && b.pace.left < b.idle/2 }

func (b *Body) slide() {
	now := time.Now()
	if now.Sub(b.slid) < b.idle/10 && !b.behind() {
		return
	}
	b.slid = now
	next := now.Add(b.idle)
	if b.pace.rate > 0 && b.pace.left < b.idle {
		next = now.Add(b.pace.left)
	}
	b.deadline.set(b.control, next)
}

func (b *Body) Read(p []byte) (int, error) {
	if b.failed != nil {
		return 0, b.failed
	}
	if b.deadline.was(&b.deadline.closed) {
		return 0, http.ErrBodyReadAfterClose
	}
	b.expects = false // the client is told to go on
	b.slide()
	begun, behind := time.Now(), b.behind()
	n, err := b.ReadCloser.Read(p)
	b.taken += int64(n)
	if err == io.EOF {
		b.deadline.atEnd()
	}
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
	if err != nil && err != io.EOF {
		b.failed = err
	}
	return n, err
}

// TooSlow reports whether the body came too slowly.
func (b *Body) TooSlow() bool { return errors.Is(b.failed, errTooSlow) }

// Refusal says why the body could not be read; nil if it could, or nobody
// wanted it to its end.
func (b *Body) Refusal() *httpapi.Error {
	switch {
	case b == nil || b.failed == nil || b.interrupted():
		return nil
	case errors.Is(b.failed, errTooLong):
		return httpapi.NewError(httpapi.TooLarge, "the body is over the limit").Wrap(b.failed)
	case b.TooSlow():
		return httpapi.NewError(httpapi.Invalid,
			fmt.Sprintf("the body comes too slowly: expected %d bytes a second", b.pace.rate)).
			WithStatus(http.StatusRequestTimeout).Wrap(b.failed)
	case errors.Is(b.failed, os.ErrDeadlineExceeded):
		return httpapi.NewError(httpapi.Invalid, "the body took too long").
			WithStatus(http.StatusRequestTimeout).Wrap(b.failed)
	default:
		return httpapi.NewError(httpapi.Invalid, "the body could not be read to its end").
			WithStatus(http.StatusBadRequest).Wrap(b.failed)
	}
}

// checkCoding refuses a body that was compressed for its transport. Limits, rates
// and digests are of the bytes that come, and an upload that goes on somewhere in
// the middle could not be unpacked: a compressed file is sent as what it is.
func checkCoding(a *Answer, r *http.Request) error {
	if a.Body == nil {
		return nil
	}
	for _, header := range r.Header["Content-Encoding"] {
		for coding := range strings.SplitSeq(header, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				a.Header().Set("Accept-Encoding", "identity") // RFC 9110, 15.5.16
				return httpapi.NewError(httpapi.Unsupported, "expected a body without Content-Encoding")
			}
		}
	}
	return nil
}

// jsonTimeout is how long a JSON body, which is small, may take in all.
const jsonTimeout = 10 * time.Second

// readJSONBody reads a body that says of itself that it is JSON.
func readJSONBody(a *Answer, r *http.Request) error {
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
	a.JSON, err = ReadJSON(r)
	return err
}

// ReadJSON reads a body that is to be JSON, within the limits of one. The text
// is not checked yet.
func ReadJSON(r *http.Request) ([]byte, error) {
	body := BodyOf(r)
	if body == nil {
		return nil, nil
	}
	if r.ContentLength > httpapi.MaxJSON {
		return nil, httpapi.NewError(httpapi.TooLarge,
			"the JSON body is over the limit; send data as a job's input")
	}
	body.limit = httpapi.MaxJSON
	body.EndBy(time.Now().Add(jsonTimeout))
	text, err := readWhole(body, r.ContentLength)
	if err != nil {
		return nil, body.Refusal()
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
