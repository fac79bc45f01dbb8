package web

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"longshore/internal/httpapi"
)

// An answer is the ResponseWriter that all handlers get. It notes what the log
// wants to know, lets the write deadline slide, and turns errors in plain text,
// as net/http writes them (404, 405, 416), into problems.
type answer struct {
	http.ResponseWriter
	control http.ResponseController
	idle    time.Duration // how long the client may take no byte
	slid    time.Time     // when the deadline was set

	client   netip.Addr   // zero: not known
	body     *requestBody // nil: the request has none
	route    *route       // nil: none matched
	json     []byte       // the request's body, read and checked, on a route that takes JSON
	status   int          // 0: nothing written yet
	bytes    int64
	cause    error // of an error status, for the log
	cut      bool  // the answer broke off: so must the connection
	upgraded bool  // to a socket: the connection is no longer ours
	mending  bool  // a problem is being written in place of a plain text
	swallow  bool  // that text's body
}

type answerKey struct{}

func withAnswer(ctx context.Context, a *answer) context.Context {
	return context.WithValue(ctx, answerKey{}, a)
}

// answerOf returns the answer of the request that ctx belongs to.
func answerOf(ctx context.Context) *answer { return ctx.Value(answerKey{}).(*answer) }

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// slide gives the client another idle to take bytes, to a tenth of it: not
// every write needs a timer of its own.
func (a *answer) slide() {
	if now := time.Now(); now.Sub(a.slid) > a.idle/10 {
		a.slid = now
		a.control.SetWriteDeadline(now.Add(a.idle)) // not supported: a test's recorder
	}
}

func (a *answer) WriteHeader(status int) {
	if a.status != 0 {
		return
	}
	a.slide()
	if status >= 400 && !a.mending && a.Header().Get("Content-Type") != httpapi.TypeProblem {
		a.mending = true
		writeProblem(a, httpapi.NewError(codeOf(status), plainDetails[status]).WithStatus(status))
		a.swallow = true
		return
	}
	switch {
	case status >= 200:
		a.status = status
		if a.body != nil && !a.body.duplex && !a.body.settle() {
			a.Header().Set("Connection", "close")
		}
	case status == http.StatusSwitchingProtocols:
		a.upgraded = true
	}
	a.ResponseWriter.WriteHeader(status)
}

var plainDetails = map[int]string{
	http.StatusNotFound:                     "there is nothing at this path; /openapi.json lists what there is",
	http.StatusMethodNotAllowed:             "the path has other methods, see Allow",
	http.StatusRequestedRangeNotSatisfiable: "the range lies outside the output",
	http.StatusPreconditionFailed:           "the output is another than the condition names",
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.swallow {
		return len(p), nil
	}
	a.slide()
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	if err != nil {
		a.cut = true // the client is gone or takes nothing
	}
	return n, err
}
