package edge

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
)

// An Answer is the ResponseWriter that all handlers get. It notes what the log
// wants to know, lets the write deadline slide, and turns errors in plain text,
// as net/http writes them (404, 405, 416), into problems.
type Answer struct {
	http.ResponseWriter
	Client netip.Addr        // whom the request comes from; zero: not known
	Body   *Body             // nil: the request has none
	Who    *access.Principal // who asks; nil on a public route
	tenant string            // that the request is about, by its own words; "" = it says none
	JSON   []byte            // the request's body, read and not checked, on a route that takes JSON

	edge    *Edge
	control http.ResponseController
	idle    time.Duration // how long the client may take no byte
	slid    time.Time     // when the deadline was set

	shown string // a page's token that stood in the address, or in a form

	route    *Route // nil: none matched
	status   int    // 0: nothing written yet
	bytes    int64
	cause    error // of an error status, for the log
	cut      bool  // the answer broke off: so must the connection
	upgraded bool  // to a socket: the connection is no longer ours
	mending  bool  // a problem is being written in place of a plain text
	swallow  bool  // that text's body
}

// Shown is the page's token that the request had in its address, or in a form; "" = none. A page may
// have its own form send it.
func (a *Answer) Shown() string { return a.shown }

// Unwrap is for http.ResponseController.
func (a *Answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// SetIdle sets how long the client may take no byte.
func (a *Answer) SetIdle(idle time.Duration) { a.idle = idle }

// Tenant is whose the jobs are that the request makes.
func (a *Answer) Tenant() string {
	switch {
	case a.Who == nil || a.Who.Tenant != access.Installation:
		return a.who().Tenant
	case a.tenant != "":
		return a.tenant
	}
	return access.DefaultTenant
}

// View is which jobs there are for the request.
func (a *Answer) View() access.View {
	v := a.who().View()
	if v.Tenant == access.Installation && a.tenant != "" {
		v.Tenant = a.tenant
	}
	return v
}

// who is who asks; on a public route somebody who may nothing.
func (a *Answer) who() *access.Principal {
	if a.Who == nil {
		return &access.Principal{}
	}
	return a.Who
}

// Begun reports whether something was written.
func (a *Answer) Begun() bool { return a.status != 0 }

// ClientText is whom the request counts for, as a text; "" is a Unix socket's.
func (a *Answer) ClientText() string { return addressText(clientPrefix(a.Client)) }

// Duplex lets the answer go on beside the request's body. done is to be called when
// the answer has been written, or is yet to be: then it is an error.
func (a *Answer) Duplex() (done func()) {
	// An error says that the connection is not HTTP/1, which needs no leave, or
	// a test's recorder.
	_ = a.control.EnableFullDuplex()
	if a.Body == nil {
		return func() {}
	}
	a.Body.duplex = true
	return func() { a.Body.duplex = a.Begun() }
}

// Send writes a part of the answer, which goes out at once. An error says that the
// client is gone or takes nothing.
func (a *Answer) Send(p []byte) error {
	if _, err := a.Write(p); err != nil {
		return err
	}
	err := a.control.Flush()
	if err == nil || errors.Is(err, http.ErrNotSupported) { // of a test's recorder
		return nil
	}
	a.cut = true
	return err
}

// slide gives the client another idle to take bytes, to a tenth of it: not
// every write needs a timer of its own.
func (a *Answer) slide() {
	if now := time.Now(); now.Sub(a.slid) > a.idle/10 {
		a.slid = now
		a.control.SetWriteDeadline(now.Add(a.idle)) // not supported: a test's recorder
	}
}

func (a *Answer) WriteHeader(status int) {
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
		if a.Body != nil && !a.Body.duplex && !a.Body.settle() {
			a.Header().Set("Connection", "close")
		}
	case status == http.StatusSwitchingProtocols:
		a.status, a.upgraded = status, true
	}
	a.ResponseWriter.WriteHeader(status)
}

var plainDetails = map[int]string{
	http.StatusNotFound:                     "there is nothing at this path; /openapi.json lists what there is",
	http.StatusMethodNotAllowed:             "the path has other methods, see Allow",
	http.StatusRequestedRangeNotSatisfiable: "the range lies outside the output",
	http.StatusPreconditionFailed:           "the output is another than the condition names",
}

func (a *Answer) Write(p []byte) (int, error) {
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
