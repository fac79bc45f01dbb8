package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"longshore/internal/auth"
	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
)

// Config of a Server.
type Config struct {
	Version string // of the program, for the OpenAPI document
	// Token is what clients must send as their bearer token. Without one only
	// requests to a loopback host are served, and none that came through a proxy.
	Token string
	// Origins are the web origins ("https://app.example.com") whose pages may
	// use the API; none by default.
	Origins []string
	// HSTS is how long browsers are to use nothing but https for this host, which
	// is for the proxy in front to offer; 0 = says nothing.
	HSTS time.Duration
	// MaxWait bounds a long-poll; 0 = 25 s (Heroku's router cuts at 30 s).
	MaxWait time.Duration
	// MaxWaiters bounds the long-polls, streams and sockets that wait at a time,
	// and MaxWaitersPerAddress those of one client; 0 = no limit. Who comes
	// beyond them is answered at once.
	MaxWaiters, MaxWaitersPerAddress int
	// MaxConnections bounds the connections that are open, WebSockets left out, and
	// MaxConnectionsPerAddress those of one address, unless it is a trusted proxy's; 0 = no limit.
	MaxConnections, MaxConnectionsPerAddress int
	// MaxUpload bounds a job's input in bytes; 0 = no limit.
	MaxUpload int64
	// MaxUploadsPerAddress bounds the uploads and batches that one client address has
	// under way; 0 = no limit.
	MaxUploadsPerAddress int
	// MinUploadRate is the least rate of an upload in bytes per second, over
	// about Idle; 0 = any.
	MinUploadRate int64
	// MinFreeSpace is what an upload must leave free in the blob store, in bytes,
	// but a twentieth of a small one; 0 = nothing.
	MinFreeSpace int64
	// Idle is how long a client may send no byte of a body; 0 = 30 s. It may
	// take none for twice that time.
	Idle time.Duration
	// Heartbeat is the time after which a silent stream shows that it lives;
	// 0 = 15 s.
	Heartbeat time.Duration
	// TrustedProxies are those whose X-Forwarded-For is believed, for the log,
	// MaxWaitersPerAddress and MaxUploadsPerAddress.
	TrustedProxies []netip.Prefix
	// Grace is what requests under way get at shutdown; 0 = 25 s.
	Grace time.Duration
	Log   *slog.Logger
}

// Door takes jobs in. submit.Door implements it; its errors are *httpapi.Error.
type Door interface {
	Submit(ctx context.Context, r submit.Request) (snap job.Snapshot, created bool, err error)
	Retry(ctx context.Context, id job.ID) (job.Snapshot, error)
	SubmitBatch(ctx context.Context, next func() ([]submit.Draft, error), answer func([]httpapi.BatchAnswer) error) error
}

// Records reads and ends jobs. Its errors wrap those of package job.
type Records interface {
	Get(ctx context.Context, id job.ID) (job.Snapshot, error)
	GetMany(ctx context.Context, ids []job.ID) ([]job.Reading, error)
	List(ctx context.Context, f job.Filter) (job.Page, error)
	Cancel(ctx context.Context, id job.ID) (job.Snapshot, error)
	Delete(ctx context.Context, id job.ID) error
	Callback(ctx context.Context, id job.ID) (job.Callback, error)
}

// Waiter waits for jobs. hub.Hub implements it.
type Waiter interface {
	Wait(ctx context.Context, patience time.Duration, wants ...hub.Want) ([]job.Rev, error)
	Release() // ends all waits
	Look(ctx context.Context, wants ...hub.Want) ([]job.Rev, error)
	Watch() *hub.Watcher
}

// Blobs opens outputs.
type Blobs interface {
	Open(ctx context.Context, name string) (blob.Reader, error)
}

// Deps are what a Server works with; all are required but WaitingFor.
type Deps struct {
	Door    Door
	Records Records
	Hub     Waiter
	Blobs   Blobs
	Uploads Uploads
	Catalog *tasks.Catalog
	Queues  func(context.Context) ([]httpapi.QueueInfo, error)
	Workers func(context.Context) ([]httpapi.WorkerInfo, error)
	Ready   func(context.Context) error // nil: the job store answers
	// WaitingFor says what a job that has not ended waits for, from what is known
	// already; nil = not told.
	WaitingFor func(*job.Snapshot) job.Waiting
	// Unavailable reports whether an error means that the job store is out of reach.
	Unavailable func(error) bool
}

// A Server answers HTTP. It is an http.Handler; Serve runs it on a listener.
type Server struct {
	Config
	Deps
	mux     *http.ServeMux
	origins *origins
	waiters *guests // who waits
	uploads *guests // under way
	token   auth.Token
	openapi []byte
	hsts    []string      // value of a header; nil = none
	scans   chan struct{} // has one for each list under way

	failures  auth.Failures // wrong tokens
	batchRoom *batchRoom

	// stopping ends all waiting: at shutdown each waiter is answered with the
	// state as it is.
	stopping context.Context
	stop     func()
}

// New returns a server. The types in the catalog at this moment get a literal
// route each in the OpenAPI document; those that come later work all the same.
func New(c Config, d Deps) (*Server, error) {
	c.MaxWait = cmp.Or(c.MaxWait, 25*time.Second)
	c.Idle = cmp.Or(c.Idle, 30*time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, 15*time.Second)
	c.Grace = cmp.Or(c.Grace, 25*time.Second)
	s := &Server{Config: c, Deps: d, mux: http.NewServeMux(), token: auth.NewToken(c.Token),
		waiters: newGuests(c.MaxWaiters, c.MaxWaitersPerAddress), uploads: newGuests(0, c.MaxUploadsPerAddress), scans: make(chan struct{}, maxScans),
		batchRoom: newBatchRoom()}
	if c.HSTS > 0 {
		s.hsts = []string{"max-age=" + strconv.FormatInt(int64(c.HSTS/time.Second), 10)}
	}
	stopping, stop := context.WithCancel(context.Background())
	s.stopping, s.stop = stopping, func() {
		stop()
		s.Hub.Release()
	}
	var err error
	if s.origins, err = newOrigins(c.Origins); err != nil {
		return nil, err
	}
	if err := s.register(); err != nil {
		return nil, err
	}
	return s, nil
}

// register puts the table of routes on the mux and describes it.
func (s *Server) register() error {
	setErrors()
	config := huma.DefaultConfig("Longshore", s.Version)
	config.Info.Description = apiDescription
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", "" // the document is a route of ours
	config.CreateHooks = nil                                             // no $schema in answers
	config.Formats = map[string]huma.Format{httpapi.TypeJSON: huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	if s.Token != "" {
		config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer"}}
	}
	g := &guarded{server: s, routes: map[string]*route{}}
	api := humago.New(g, config)
	for _, rt := range s.routes() {
		if rt.access != public && s.Token != "" {
			rt.op.Security = []map[string][]string{{"bearer": {}}}
		}
		rt.op.RejectUnknownQueryParameters = !rt.loose
		g.routes[rt.op.Method+" "+rt.op.Path] = &rt
		rt.add(s, api, &rt)
	}
	s.describe(api)
	text, err := json.Marshal(api.OpenAPI())
	if err != nil {
		return fmt.Errorf("describe the API: %w", err)
	}
	s.openapi = text
	return nil
}

// Limits of a connection. There is no total time limit for a request: an input
// of any size may come, as long as bytes move (Config.Idle).
const (
	headerTimeout    = 10 * time.Second // until a request's header is there
	keepAliveTimeout = 120 * time.Second
	// maxHeader is what a request's header may have in bytes. net/http answers
	// in plain text at its own limit, so that one lies higher.
	maxHeader = 16 << 10
)

// HTTPServer returns the http.Server that Serve uses.
func (s *Server) HTTPServer() *http.Server {
	conns := &connections{trusted: s.trusted, all: newGuests(s.MaxConnections, 0), each: newGuests(0, s.MaxConnectionsPerAddress)}
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       keepAliveTimeout,
		MaxHeaderBytes:    4 * maxHeader,
		ConnContext:       withConn,
		ConnState:         conns.state,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
}

// Serve answers on the listener until ctx ends. Then it takes no more
// connections, answers all waiters at once, lets the other requests end within
// Config.Grace, and cuts what is left.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := s.HTTPServer()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		s.stop()
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	s.stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Grace)
	defer cancel()
	err := srv.Shutdown(grace)
	if err == nil {
		err = s.waiters.wait(grace) // for sockets, of which net/http knows nothing
	}
	if err != nil {
		err = fmt.Errorf("stop HTTP: requests still open after %v: %w", s.Grace, errors.Join(err, srv.Close()))
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
