package redisdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Config says which Redis to use and how much of it.
type Config struct {
	// URL is redis://[user:password@]host[:port][/db], the same with rediss for
	// TLS, or unix:///path/to/socket[?db=n]. It holds a password: print
	// Address instead.
	URL string
	// TLSInsecure accepts any certificate, as Heroku's self-signed ones need.
	TLSInsecure bool
	// MaxConnections is the most connections the client ever holds, the one
	// for pub/sub included. At least MinConnections; zero means 6.
	MaxConnections int
}

// MinConnections is the smallest connection budget: one for pub/sub, one for
// commands.
const MinConnections = 2

const defaultConnections = 6

// Timeouts of one command. A caller's context may be shorter, and is obeyed.
const (
	dialTimeout = 3 * time.Second
	ioTimeout   = 3 * time.Second
	poolTimeout = 4 * time.Second
	// Servers close idle connections too, Heroku's after 5 minutes.
	idleTimeout = 4 * time.Minute
)

// Open returns a client. It does not connect: the first command does, so Redis
// may be down meanwhile. An error never contains the URL or a part of it.
func Open(c Config) (redis.UniversalClient, error) {
	o, err := parse(c.URL)
	if err != nil {
		return nil, err
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = defaultConnections
	}
	if c.MaxConnections < MinConnections {
		return nil, fmt.Errorf("redis connections: %d are too few, at least %d are needed", c.MaxConnections, MinConnections)
	}
	if o.TLSConfig != nil {
		o.TLSConfig.InsecureSkipVerify = c.TLSInsecure
	}

	// The budget. go-redis has three pools: commands, pipelines and pub/sub. A
	// connection for commands is only dialed by a holder of one of PoolSize
	// turns, so this pool never grows beyond it; MaxActiveConns says the same to
	// the paths that take no turn. The pipeline pool would be on top of that, so
	// it is switched off and pipelines share the pool. Subscriptions are not
	// limited by go-redis: a process has one (internal/hub).
	o.PoolSize = c.MaxConnections - 1
	o.MaxActiveConns = o.PoolSize
	o.MaxIdleConns = o.PoolSize
	o.PipelinePoolSize = -1

	// One retry hides a connection that died while idle and a restart of Redis.
	// More would add up to a hang, and each repeats a script: ours are made for
	// that (tokens, deliveries), and asynq's own conflict on a ticket is success.
	o.MaxRetries = 1
	o.MinRetryBackoff = 10 * time.Millisecond
	o.MaxRetryBackoff = 100 * time.Millisecond
	o.DialerRetries = 2
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, ioTimeout, ioTimeout
	o.PoolTimeout = poolTimeout
	o.ConnMaxIdleTime = idleTimeout
	o.ContextTimeoutEnabled = true

	// RESP2: scripts and pub/sub need nothing of RESP3, whose push frames go-redis
	// must look for between replies (a round trip takes the same time with
	// either). Maintenance notifications and the client's self-description would
	// cost each new connection a round trip more.
	o.Protocol = 2
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}

// Forms of a URL, for messages.
const urlForms = "redis://[user:password@]host:port[/db], rediss://… or unix:///path"

// parse reads a URL by go-redis' rules, but lets it set only the address, the
// credentials and the database. Its own errors quote the URL, so they are
// replaced by ones that quote nothing.
func parse(raw string) (*redis.Options, error) {
	if raw == "" {
		return nil, errors.New("redis URL is empty; expected " + urlForms)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("redis URL can't be read (special characters in the password must be percent-encoded); expected " + urlForms)
	}
	switch u.Scheme {
	case "redis", "rediss", "unix":
	default:
		return nil, errors.New("redis URL has another scheme; expected " + urlForms)
	}
	for name, values := range u.Query() {
		if name != "db" {
			return nil, errors.New("redis URL has a parameter other than db; the rest is set by Longshore")
		}
		if n, err := strconv.Atoi(values[len(values)-1]); err != nil || n < 0 {
			return nil, errors.New("redis URL has a bad database number")
		}
	}
	o, err := redis.ParseURL(raw)
	if err != nil || o.DB < 0 {
		return nil, errors.New("redis URL has a bad path; expected " + urlForms)
	}
	return o, nil
}

// Address returns the part of a Redis URL that may be shown: host, port and
// database, or the path of the socket. It returns "" for a bad URL.
func Address(rawURL string) string {
	o, err := parse(rawURL)
	if err != nil {
		return ""
	}
	if o.DB == 0 {
		return o.Addr
	}
	return o.Addr + "/" + strconv.Itoa(o.DB)
}

// LogTo sends what go-redis has to say (lost connections and the like) to log,
// at debug level, instead of standard error. It is for the whole process: a
// program calls it once at its start.
func LogTo(log *slog.Logger) { redis.SetLogger(clientLog{log}) }

type clientLog struct{ log *slog.Logger }

func (l clientLog) Printf(ctx context.Context, format string, v ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, "redis client", "text", fmt.Sprintf(format, v...))
	}
}
