package lambda

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A phase is where a process stands, as its calls tell.
//
//	starting → idle → busy → answering → answered → idle …
//
// It is idle while it waits for an event, and busy until its answer begins. A call that
// fits no phase is answered with 400 and changes nothing, but for an event asked for
// without an answer to the last: that breaks the process.
type phase int

const (
	starting phase = iota
	idle
	busy
	answering
	answered
	broken
)

// An Event is a job as the process gets it.
type Event struct {
	Payload  []byte
	Deadline time.Time
	// Custom is handed on in the client context. Its values must be valid UTF-8.
	Custom map[string]string
	// Body takes the answer as it comes in. Its error ends the job; what is left of the
	// answer is dropped.
	Body io.Writer
	// Traceparent is the job's trace, as W3C writes it; "" = none.
	Traceparent string
}

// A call is an event that was handed out, or is about to be.
type call struct {
	Event
	id   string // random, so that no other process can guess it
	done chan error
	// length is what the answer said of its own, 0 = nothing; set before done.
	length int64
	// dropped says that nobody wants the answer any more; guarded by server.mu.
	dropped bool
}

// end says what became of the call: only the first word counts.
func (c *call) end(err error) {
	select {
	case c.done <- err:
	default:
	}
}

// A server is the runtime API of one process.
type server struct {
	about About
	http  http.Server
	at    net.Listener
	wg    sync.WaitGroup

	ready    chan struct{} // closed at the first idle
	failed   chan error    // what the process said of its failed start; one at most
	ended    context.Context
	end      context.CancelFunc
	extended string // identifier that extensions get

	mu      sync.Mutex
	phase   phase
	changed chan struct{} // closed and made anew at each change to idle or broken
	waiter  chan *call    // of the newest call of next; nil = none waits
	current *call         // handed out last
}

// About is what a process is told about its function.
type About struct {
	Type    string
	Version string
	Handler string
}

// newServer listens; serve begins to answer.
func newServer(about About) (*server, error) {
	at, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("runtime API: %w", err)
	}
	s := &server{about: about, at: at, ready: make(chan struct{}), failed: make(chan error, 1),
		changed: make(chan struct{}), extended: newID()}
	s.ended, s.end = context.WithCancel(context.Background())
	const run, extension = "/2018-06-01/runtime/", "/2020-01-01/extension/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+run+"invocation/next", s.next)
	mux.HandleFunc("POST "+run+"invocation/{id}/response", s.response)
	mux.HandleFunc("POST "+run+"invocation/{id}/error", s.failure)
	mux.HandleFunc("POST "+run+"init/error", s.initError)
	mux.HandleFunc("POST "+extension+"register", s.register)
	mux.HandleFunc("GET "+extension+"event/next", s.extensionNext)
	s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.wg.Add(1)
		defer s.wg.Done()
		mux.ServeHTTP(w, r)
	})
	s.http.MaxHeaderBytes = 2 << 20 // clients send the cause for X-Ray, up to 1 MiB, in a header
	return s, nil
}

// address is what AWS_LAMBDA_RUNTIME_API says.
func (s *server) address() string { return s.at.Addr().String() }

// port is the address's.
func (s *server) port() int { return s.at.Addr().(*net.TCPAddr).Port }

// serve answers until close. Connections for which ours says no are closed.
func (s *server) serve(ours func(net.Conn) bool) {
	s.wg.Go(func() { _ = s.http.Serve(&guarded{s.at, ours}) }) // ends with the listener
}

// close ends the server and all that waits in it.
func (s *server) close() {
	s.end()
	_ = s.http.Close()
	_ = s.at.Close() // where serve was never called
	s.wg.Wait()
}

// guarded is a listener that lets only some in.
type guarded struct {
	net.Listener
	ours func(net.Conn) bool
}

func (g *guarded) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil || g.ours(c) {
			return c, err
		}
		_ = c.Close() // a stranger's
	}
}

// set moves to a phase that others wait for; the caller holds mu.
func (s *server) set(to phase) {
	s.phase = to
	close(s.changed)
	s.changed = make(chan struct{})
}

// next hands out the next event as soon as there is one.
func (s *server) next(w http.ResponseWriter, r *http.Request) {
	mine := make(chan *call, 1)
	s.mu.Lock()
	switch s.phase {
	case busy, answering:
		current := s.current
		s.set(broken)
		s.mu.Unlock()
		current.end(&Crash{How: "asked for the next event without an answer to the last"})
		refuse(w, "InvalidStateTransition", "the last event has no answer")
		return
	case broken:
		s.mu.Unlock()
		refuse(w, "InvalidStateTransition", "this process is at its end")
		return
	case starting:
		close(s.ready)
	}
	if s.waiter != nil {
		close(s.waiter) // its connection is likely dead
	}
	s.waiter = mine
	s.set(idle)
	s.mu.Unlock()
	select {
	case c, ok := <-mine:
		if !ok {
			refuse(w, "InvalidStateTransition", "another call waits for the next event")
			return
		}
		s.hand(w, c)
	case <-r.Context().Done():
		s.mu.Lock()
		if s.waiter == mine {
			s.waiter = nil
		}
		s.mu.Unlock()
		select {
		case c, ok := <-mine: // handed out just now, to nobody
			if ok {
				c.end(&Crash{How: "hung up as its event came"})
			}
		default:
		}
	case <-s.ended.Done():
	}
}

// hand writes an event out.
func (s *server) hand(w http.ResponseWriter, c *call) {
	custom, err := json.Marshal(map[string]any{"custom": c.Custom})
	if err != nil {
		panic(err) // a map of strings
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(c.Payload))}
	h["Lambda-Runtime-Aws-Request-Id"] = []string{c.id}
	h["Lambda-Runtime-Deadline-Ms"] = []string{strconv.FormatInt(c.Deadline.UnixMilli(), 10)}
	h["Lambda-Runtime-Invoked-Function-Arn"] = []string{"arn:aws:lambda:local:000000000000:function:" +
		s.about.Type}
	h["Lambda-Runtime-Trace-Id"] = []string{traceID(c.Traceparent)}
	h["Lambda-Runtime-Client-Context"] = []string{ascii(custom)}
	if _, err := w.Write(c.Payload); err == nil {
		err = http.NewResponseController(w).Flush()
		if err == nil {
			return
		}
	}
	c.end(&Crash{How: "hung up as its event came"})
}

// invoke hands an event to the process, which must be idle.
func (s *server) invoke(e Event) (*call, error) {
	c := &call{Event: e, id: newID(), done: make(chan error, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != idle || s.waiter == nil {
		return nil, &Crash{How: "did not wait for its event"}
	}
	s.current = c
	s.phase = busy
	s.waiter <- c
	s.waiter = nil
	return c, nil
}

// drop says that nobody waits for the answer to a call any more.
func (s *server) drop(c *call) {
	s.mu.Lock()
	c.dropped = true
	s.mu.Unlock()
}

// begin takes the answer to a call: an id that is not the current's, or a second
// answer, is refused.
func (s *server) begin(w http.ResponseWriter, r *http.Request) (c *call, dropped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.current == nil || r.PathValue("id") != s.current.id:
		refuse(w, "InvalidRequestID", "no event of that id is under way here")
		return nil, false
	case s.phase != busy:
		refuse(w, "InvalidStateTransition", "this event has its answer")
		return nil, false
	}
	s.phase = answering
	return s.current, s.current.dropped
}

// finished ends the answer to a call.
func (s *server) finished(w http.ResponseWriter) {
	s.mu.Lock()
	if s.phase == answering {
		s.phase = answered
	}
	s.mu.Unlock()
	accept(w)
}

// response takes an answer: it counts once body and trailers are read.
func (s *server) response(w http.ResponseWriter, r *http.Request) {
	c, dropped := s.begin(w, r)
	if c == nil {
		return
	}
	body := io.Writer(io.Discard)
	if !dropped {
		body = c.Body
	}
	c.length = max(0, r.ContentLength)
	err := take(body, r)
	var refused *refusedError
	if errors.As(err, &refused) {
		// The job has ended; the process may live, if it can be heard out.
		c.end(refused.Unwrap())
		_, _ = io.Copy(io.Discard, r.Body)
	}
	s.mu.Lock()
	if s.phase == answering {
		s.phase = answered
	}
	s.mu.Unlock()
	c.end(err)
	accept(w)
}

// failure takes the word that a call has failed.
func (s *server) failure(w http.ResponseWriter, r *http.Request) {
	c, _ := s.begin(w, r)
	if c == nil {
		return
	}
	err := readError(r)
	s.finished(w)
	c.end(err)
}

// initError takes the word that the process can't start.
func (s *server) initError(w http.ResponseWriter, r *http.Request) {
	err := readError(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != starting {
		refuse(w, "InvalidStateTransition", "the start is over")
		return
	}
	s.set(broken)
	s.failed <- err
	accept(w)
}

// register makes an extension known, in name only: there are no events for it.
func (s *server) register(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 64<<10))
	w.Header().Set("Lambda-Extension-Identifier", s.extended)
	reply(w, http.StatusOK, map[string]string{"functionName": s.about.Type,
		"functionVersion": s.about.Version, "handler": s.about.Handler})
}

// extensionNext waits: no event comes.
func (s *server) extensionNext(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Lambda-Extension-Identifier") != s.extended {
		reply(w, http.StatusForbidden, problem{"no extension of that identifier",
			"Extension.UnknownExtensionIdentifier"})
		return
	}
	select {
	case <-r.Context().Done():
	case <-s.ended.Done():
	}
}

// problem is how the API says no.
type problem struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func refuse(w http.ResponseWriter, typ, message string) {
	reply(w, http.StatusBadRequest, problem{message, typ})
}

func accept(w http.ResponseWriter) {
	reply(w, http.StatusAccepted, map[string]string{"status": "OK"})
}

func reply(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // only types of this file
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that hung up needs none
}

// newID draws an id in the form of a UUID, version 4.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// traceID is a trace in the form of AWS X-Ray: that of the job, or else one that is drawn and not sampled.
// https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
func traceID(traceparent string) string {
	if len(traceparent) == 55 {
		trace, parent, sampled := traceparent[3:35], traceparent[36:52], traceparent[54:]
		return "Root=1-" + trace[:8] + "-" + trace[8:] + ";Parent=" + parent + ";Sampled=" + sampled
	}
	var b [20]byte
	rand.Read(b[:])
	return fmt.Sprintf("Root=1-%08x-%x;Parent=%x;Sampled=0", time.Now().Unix(), b[:12], b[12:])
}
