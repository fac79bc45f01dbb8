// Package edge is what holds for every request, whatever it is about: the table of
// routes, who may use each, how a body is read and an answer written, limits, errors
// and the log. It knows no jobs. The wings over it (packages api, push and upload)
// return routes; package web mounts them here.
package edge

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strconv"
	"time"

	"longshore/internal/httpapi"
)

// Config of an Edge; package web says what each field means.
type Config struct {
	Token                                    string
	Gate                                     Gate     // nil: there is the token, or nothing
	Public                                   *url.URL // the installation's address; nil = nobody logs in
	Origins                                  []string
	HSTS                                     time.Duration
	MaxConnections, MaxConnectionsPerAddress int
	Idle                                     time.Duration // 0 = 30 s
	TrustedProxies                           []netip.Prefix
	// Refusal turns what went wrong behind a route into what its client is told.
	Refusal func(error) *httpapi.Error
	Log     *slog.Logger
}

// An Edge is the http.Handler around all routes.
type Edge struct {
	Config
	mux     *http.ServeMux
	origins *origins
	guard   *guard
	proxies proxies
	hsts    []string // value of a header; nil = none
}

// New returns an edge without routes; see Mount.
func New(c Config) (*Edge, error) {
	c.Idle = cmp.Or(c.Idle, 30*time.Second)
	origins, err := newOrigins(c.Origins, c.Gate == nil && c.Token == "" || c.Gate != nil && c.Gate.Open())
	if err != nil {
		return nil, err
	}
	e := &Edge{Config: c, mux: http.NewServeMux(), origins: origins, guard: newGuard(c),
		proxies: c.TrustedProxies}
	if c.HSTS > 0 {
		e.hsts = []string{"max-age=" + strconv.FormatInt(int64(c.HSTS/time.Second), 10)}
	}
	return e, nil
}

// Values that many answers share; nobody appends to them.
var (
	noSniff, noStore = []string{"nosniff"}, []string{"no-store"}
	sameOrigin       = []string{"same-origin"}
	noReferrer       = []string{"no-referrer"}
	// noFrames is for answers that no page is to show; an output's own policy is stricter.
	noFrames = []string{"default-src 'none'; frame-ancestors 'none'"}
)

// ServeHTTP is the edge: what holds for every request stands here, and what
// holds for every route in admit.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	a := &Answer{ResponseWriter: w, edge: e, control: *http.NewResponseController(w), idle: 2 * e.Idle,
		Client: e.proxies.client(r)}
	defer func() {
		e.recovered(a, r, recover())
		a.Body.end(a)
		e.logRequest(a, r, time.Since(begun))
		if a.cut {
			panic(http.ErrAbortHandler)
		}
	}()
	h := w.Header()
	h["X-Content-Type-Options"] = noSniff
	h["Cache-Control"] = noStore
	h["Cross-Origin-Resource-Policy"] = sameOrigin
	h["Referrer-Policy"] = noReferrer
	h["Content-Security-Policy"] = noFrames
	if e.hsts != nil {
		h["Strict-Transport-Security"] = e.hsts
	}
	a.Body = guardBody(a, r, e.Idle)
	if err := e.check(a, r); err != nil {
		a.refuse(r, err)
		return
	}
	if e.origins.preflight(a, r) {
		return
	}
	e.mux.ServeHTTP(a, r)
}

// check refuses requests for reasons that are the same on every path.
func (e *Edge) check(a *Answer, r *http.Request) error {
	if headerSize(r) > maxHeader {
		return httpapi.NewError(httpapi.TooLarge, fmt.Sprintf("the header is over %d bytes", maxHeader)).
			WithStatus(http.StatusRequestHeaderFieldsTooLarge)
	}
	if err := e.guard.checkNear(r); err != nil {
		return err
	}
	if r.URL.RawQuery == "" {
		return e.origins.check(a, r)
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return httpapi.NewError(httpapi.Invalid, "the query string is malformed").
			WithStatus(http.StatusBadRequest)
	}
	return e.origins.check(a, r)
}

func headerSize(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return n
}

// recovered makes a panic an internal error of this one request.
func (e *Edge) recovered(a *Answer, r *http.Request, value any) {
	if value == nil {
		return
	}
	err, ok := value.(error)
	if ok && errors.Is(err, http.ErrAbortHandler) || a.cut {
		a.cut = true
		return
	}
	e.Log.ErrorContext(r.Context(), "handler panicked", "panic", fmt.Sprint(value),
		"stack", string(debug.Stack()))
	a.refuse(r, httpapi.NewError(httpapi.Internal, ""))
}

// logRequest says what was asked by its route, never by its path or query:
// those may hold what is the client's alone.
func (e *Edge) logRequest(a *Answer, r *http.Request, took time.Duration) {
	level, name := slog.LevelInfo, "none"
	if a.route != nil {
		name = a.route.Op.Path
		if a.route.Probe {
			level = slog.LevelDebug
		}
	}
	if a.status < 500 && !e.Log.Enabled(r.Context(), level) {
		return
	}
	status := a.status
	if r.Context().Err() != nil && (status == 0 || a.cut) {
		status = statusClientGone
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("route", name), slog.Int("status", status),
		slog.String("client", addressText(a.Client)), slog.Int64("bytes", a.bytes),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
	}
	if status >= 500 {
		level = slog.LevelWarn
		if status == http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	if a.cut {
		attrs = append(attrs, slog.Bool("cut", true))
	}
	if a.cause != nil {
		attrs = append(attrs, slog.Any("error", a.cause))
	}
	// LogAttrs would look our place in the source up, which no log shows.
	record := slog.NewRecord(time.Now(), level, "request", 0)
	record.AddAttrs(attrs...)
	_ = e.Log.Handler().Handle(r.Context(), record) // as slog does
}
