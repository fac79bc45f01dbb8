package redisdb

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Config says which Redis to use and how much of it.
type Config struct {
	// URL is redis://[user:password@]host[:port][/db], the same with rediss for
	// TLS, unix:///path/to/socket[?db=n],
	// redis+sentinel://[user:password@]host[:port],…/master[/db] with the
	// parameters sentinel_user and sentinel_password, or
	// redis+cluster://[user:password@]host[:port],…; these two with rediss as well.
	// It holds a password: print Address instead.
	URL string
	// TLSInsecure accepts any certificate, as Heroku's self-signed ones need.
	TLSInsecure bool
	// Replicated makes commands that are marked by Replicated wait for a replica.
	Replicated bool
	// MaxConnections is the most connections the client ever holds, on a Cluster
	// to each node, the one for pub/sub included; what asks sentinels is beside
	// them. At least MinConnections; zero means 6.
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
	p, err := parse(c.URL)
	if err != nil {
		return nil, err
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = defaultConnections
	}
	if c.MaxConnections < MinConnections {
		return nil, fmt.Errorf("redis connections: %d are too few, at least %d are needed", c.MaxConnections,
			MinConnections)
	}
	if p.TLSConfig != nil {
		p.TLSConfig.InsecureSkipVerify = c.TLSInsecure
	}
	tune(&p.Options, c.MaxConnections)
	switch {
	case p.master != "":
		client := redis.NewFailoverClient(p.failover())
		c.hook(client)
		return client, nil
	case p.nodes != nil:
		client := redis.NewClusterClient(p.cluster())
		client.OnNewNode(c.hook)
		client.AddHook(guard{})
		return client, nil
	}
	client := redis.NewClient(&p.Options)
	c.hook(client)
	return client, nil
}

// hook has a client do what go-redis doesn't.
func (c *Config) hook(client *redis.Client) {
	watchStalls(client)
	if c.Replicated {
		client.AddHook(replicas{client})
	}
}

// tune sets all that a URL doesn't.
func tune(o *redis.Options, connections int) {
	// The budget. go-redis has three pools: commands, pipelines and pub/sub. A
	// connection for commands is only dialed by a holder of one of PoolSize
	// turns, so this pool never grows beyond it; MaxActiveConns says the same to
	// the paths that take no turn. The pipeline pool would be on top of that, so
	// it is switched off and pipelines share the pool. Subscriptions are not
	// limited by go-redis: a process has one (internal/hub).
	o.PoolSize = connections - 1
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
}

// failover returns the options for a server that sentinels watch over. The client
// asks them for its address at each dial, and drops its connections when they say
// that another one has taken over.
func (p *place) failover() *redis.FailoverOptions {
	o := p.Options
	return &redis.FailoverOptions{
		MasterName: p.master, SentinelAddrs: p.nodes,
		SentinelUsername: p.sentinelUser, SentinelPassword: p.sentinelPassword,
		Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLSConfig,
		PoolSize: o.PoolSize, MaxActiveConns: o.MaxActiveConns, MaxIdleConns: o.MaxIdleConns,
		PipelinePoolSize: o.PipelinePoolSize, PoolTimeout: o.PoolTimeout, ConnMaxIdleTime: o.ConnMaxIdleTime,
		MaxRetries: o.MaxRetries, MinRetryBackoff: o.MinRetryBackoff, MaxRetryBackoff: o.MaxRetryBackoff,
		DialerRetries: o.DialerRetries, DialTimeout: o.DialTimeout,
		ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		ContextTimeoutEnabled: o.ContextTimeoutEnabled, Protocol: o.Protocol,
		DisableIdentity: o.DisableIdentity,
	}
}

// cluster returns the options for a Redis Cluster. A script's redirection takes a
// try of its own beside the one that hides a lost connection.
func (p *place) cluster() *redis.ClusterOptions {
	o := p.Options
	return &redis.ClusterOptions{
		Addrs: p.nodes, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
		PoolSize: o.PoolSize, MaxActiveConns: o.MaxActiveConns, MaxIdleConns: o.MaxIdleConns,
		PipelinePoolSize: o.PipelinePoolSize, PoolTimeout: o.PoolTimeout, ConnMaxIdleTime: o.ConnMaxIdleTime,
		MaxRedirects: 3, MaxRetries: o.MaxRetries,
		MinRetryBackoff: o.MinRetryBackoff, MaxRetryBackoff: o.MaxRetryBackoff,
		DialerRetries: o.DialerRetries, DialTimeout: o.DialTimeout,
		ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		ContextTimeoutEnabled: o.ContextTimeoutEnabled, Protocol: o.Protocol,
		DisableIdentity: o.DisableIdentity, MaintNotificationsConfig: o.MaintNotificationsConfig,
	}
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
