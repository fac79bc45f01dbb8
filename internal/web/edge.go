package web

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	"longshore/internal/httpapi"
)

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
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	a := &answer{ResponseWriter: w, control: *http.NewResponseController(w), idle: 2 * s.Idle, client: s.clientAddress(r)}
	defer func() {
		s.recovered(a, r, recover())
		a.body.end(a)
		s.logRequest(a, r, time.Since(begun))
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
	if s.hsts != nil {
		h["Strict-Transport-Security"] = s.hsts
	}
	a.body = s.guardBody(a, r)
	if err := s.check(a, r); err != nil {
		s.refuse(a, r, err)
		return
	}
	if s.origins.preflight(a, r) {
		return
	}
	s.mux.ServeHTTP(a, r)
}

// check refuses requests for reasons that are the same on every path.
func (s *Server) check(a *answer, r *http.Request) error {
	if headerSize(r) > maxHeader {
		return httpapi.NewError(httpapi.TooLarge, fmt.Sprintf("the header is over %d bytes", maxHeader)).
			WithStatus(http.StatusRequestHeaderFieldsTooLarge)
	}
	if s.Token == "" {
		if err := checkNear(r); err != nil {
			return err
		}
	}
	if r.URL.RawQuery == "" {
		return s.origins.check(a, r)
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return httpapi.NewError(httpapi.Invalid, "the query string is malformed").WithStatus(http.StatusBadRequest)
	}
	return s.origins.check(a, r)
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

// guarded is the mux as huma sees it: each route is entered through admit.
type guarded struct {
	server *Server
	routes map[string]*route // by "METHOD path"
}

func (g *guarded) HandleFunc(pattern string, next func(http.ResponseWriter, *http.Request)) {
	s, rt := g.server, g.routes[pattern]
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		a := w.(*answer)
		a.route = rt
		if err := s.admit(rt, a, r); err != nil {
			s.refuse(a, r, err)
			return
		}
		if rt.quick != nil && rt.quick(a, r) {
			return
		}
		next(a, r.WithContext(withAnswer(r.Context(), a)))
	})
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.server.mux.ServeHTTP(w, r) }

// refuse answers with an error, or cuts the answer if it has begun.
func (s *Server) refuse(a *answer, r *http.Request, err error) {
	e := s.refusal(r.Context(), a, err)
	a.cause = e.Unwrap()
	if a.status != 0 {
		a.cut = true
		return
	}
	writeProblem(a, e)
}

// recovered makes a panic an internal error of this one request.
func (s *Server) recovered(a *answer, r *http.Request, value any) {
	if value == nil {
		return
	}
	if err, ok := value.(error); ok && errors.Is(err, http.ErrAbortHandler) || a.cut { // huma panics when its answer can't be written
		a.cut = true
		return
	}
	s.Log.ErrorContext(r.Context(), "handler panicked", "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
	s.refuse(a, r, httpapi.NewError(httpapi.Internal, ""))
}

// logRequest says what was asked by its route, never by its path or query:
// those may hold what is the client's alone.
func (s *Server) logRequest(a *answer, r *http.Request, took time.Duration) {
	level, name := slog.LevelInfo, "none"
	if a.route != nil {
		name = a.route.op.Path
		if a.route.probe {
			level = slog.LevelDebug
		}
	}
	if a.status < 500 && !s.Log.Enabled(r.Context(), level) {
		return
	}
	status := a.status
	if r.Context().Err() != nil && (status == 0 || a.cut) {
		status = statusClientGone
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("route", name), slog.Int("status", status),
		slog.String("client", addressText(a.client)), slog.Int64("bytes", a.bytes), slog.Float64("duration_ms", float64(took.Microseconds())/1000),
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
	record := slog.NewRecord(time.Now(), level, "request", 0) // LogAttrs would look our place in the source up, which no log shows
	record.AddAttrs(attrs...)
	_ = s.Log.Handler().Handle(r.Context(), record) // as slog does
}
