package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"longshore/internal/access/people"
	"longshore/internal/claims"
	"longshore/internal/httpapi"
	"longshore/internal/refusal"
	"longshore/internal/web/api"
	"longshore/internal/web/edge"
	"longshore/internal/web/push"
	"longshore/internal/web/upload"
	"longshore/job"
	"longshore/tasks"
)

// Config of a Server.
type Config struct {
	Version string // of the program, for the OpenAPI document
	// Token is what clients must send as their bearer token. Without one only
	// requests to a loopback host are served, and none that came through a proxy.
	Token string
	// Gate knows who sends a credential; nil: there is the token, or nothing.
	Gate edge.Gate
	// Public is where browsers reach the installation, and People logs persons in there; nil: nobody
	// logs in.
	Public *url.URL
	People *people.People
	// Origins are the web origins ("https://app.example.com") whose pages may
	// use the API; none by default.
	Origins []string
	// HSTS is how long browsers are to use nothing but https for this host, which
	// is for the proxy in front to offer; 0 = says nothing.
	HSTS time.Duration
	// HireFire is the token with which HireFire asks how many workers are wanted; "" = it
	// isn't answered. HireFireLatency: it is told seconds instead.
	HireFire        string
	HireFireLatency bool
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

// Deps are what a Server works with; all are required but Operate, Schedules,
// Limits, Alerts, Claims, Scale, Metrics, Installation and
// WaitingFor.
type Deps struct {
	Submitter api.Submitter
	Records   api.Records
	Hub       push.Hub
	Blobs     api.Blobs
	Uploads   upload.Protocol
	Direct    upload.Uploads // straight to the bucket
	Catalog   *tasks.Catalog
	Access    api.KeyStore
	Functions api.FunctionStore
	Minter    api.Minter
	Queues    func(context.Context) ([]httpapi.QueueInfo, error)
	Workers   func(context.Context) ([]httpapi.WorkerInfo, error)
	Ready     func(context.Context) error // nil: the job store answers
	// Whole is job.ErrStoreReset where the job store has lost data; nil = that is not looked at.
	Whole     func(context.Context) error
	Operate   api.Operator  // nil = nothing of it is served
	Schedules api.Scheduler // likewise
	Limits    api.Limiter   // likewise
	Alerts    api.Alerter   // likewise
	Claims    *claims.Desk  // likewise, with ClaimTypes
	// ClaimTypes are the types that are claimed.
	ClaimTypes *claims.Types
	// Scale says how many workers are wanted; nil = nobody is told.
	Scale func(context.Context) (httpapi.Scale, error)
	// Metrics are those of this process, and Installation those of all together, in the
	// format that an Accept header asks for; nil = not served.
	Metrics, Installation api.Exposition
	// WaitingFor says what a job that has not ended waits for, from what is known
	// already; nil = not told.
	WaitingFor func(*job.Snapshot) job.Waiting
}

// A Server answers HTTP. It is an http.Handler; Serve runs it on a listener.
type Server struct {
	*edge.Edge
	waiters *push.Waiters
	drain   *drain
	stop    func() // ends all waiting: each waiter is answered with the state as it is
	grace   time.Duration
}

// New returns a server. The types in the catalog at this moment get a literal
// route each in the OpenAPI document; those that come later work all the same.
func New(c Config, d Deps) (*Server, error) {
	c.Idle = cmp.Or(c.Idle, 30*time.Second)
	e, err := edge.New(edge.Config{Token: c.Token, Gate: c.Gate, Public: c.Public, Origins: c.Origins,
		HSTS:           c.HSTS,
		Idle:           c.Idle,
		MaxConnections: c.MaxConnections, MaxConnectionsPerAddress: c.MaxConnectionsPerAddress,
		TrustedProxies: c.TrustedProxies, Refusal: refusal.Of, Log: c.Log})
	if err != nil {
		return nil, err
	}
	stopping, stop := context.WithCancel(context.Background())
	s := &Server{Edge: e, waiters: push.NewWaiters(d.Hub, c.MaxWait, c.MaxWaiters, c.MaxWaitersPerAddress),
		drain: newDrain(), grace: cmp.Or(c.Grace, 25*time.Second)}
	s.stop = func() {
		stop()
		d.Hub.Release()
	}
	document := new(document)
	about := describe(c.Version)
	e.Mount(about, append(routes(c, d, s.waiters, stopping), document.route()))
	if err := document.write(about, d.Catalog); err != nil {
		return nil, err
	}
	return s, nil
}

// Waiters is how many long-polls, streams and sockets wait now.
func (s *Server) Waiters() int { return s.waiters.Waiting() }

// Connections is how many connections are open now, but for sockets.
func (s *Server) Connections() int { return int(s.drain.open.Load()) }

// Serve answers on the listener until ctx ends. Then it takes no more
// connections, answers all waiters at once, lets the other requests end within
// Config.Grace, and cuts what is left. The listener is closed; a socket that other
// processes have too goes on with them.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := s.HTTPServer()
	s.drain.watch(srv)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		s.stop()
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	s.stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
	defer cancel()
	s.drain.stop(l)
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) && !errors.Is(ended, net.ErrClosed) {
		return errors.Join(fmt.Errorf("serve HTTP: %w", ended), srv.Close())
	}
	s.drain.wait(grace, s.grace)
	err := srv.Shutdown(grace)
	if err == nil {
		err = s.waiters.Empty(grace) // for sockets, of which net/http knows nothing
	}
	if err != nil {
		err = fmt.Errorf("stop HTTP: requests still open after %v: %w", s.grace,
			errors.Join(err, srv.Close()))
	}
	return err
}
