// Package config is the settings of the programs, read once from environment
// variables at the start. Loading depends on nothing but the variables (and the
// file that LONGSHORE_TOKEN_FILE names), and reports every mistake at once.
// Only programs import it: other packages declare what they need themselves.
package config

import (
	"log/slog"
	"net/netip"
	"runtime"
	"time"
)

// Tags of a field: env is the variable, doc its meaning, shown the default in
// words where the value says too little. The defaults are the values that
// defaultWeb and its siblings set.

// Replicated is the value of ACK beside none.
const Replicated = "replicated"

// Redis says which Redis to use. All processes of an installation share it.
type Redis struct {
	// URL already is that of REDIS_TLS_URL where that is set.
	URL            Secret `env:"REDIS_URL" doc:"Redis server: redis://[user:password@]host:port[/db], rediss://… for TLS, unix:///path, redis+sentinel://[user:password@]host:port,…/master-name[/db], or redis+cluster://[user:password@]host:port,…"`
	TLSURL         Secret `env:"REDIS_TLS_URL" doc:"used instead of REDIS_URL where set, as some Heroku plans do"`
	TLSInsecure    bool   `env:"REDIS_TLS_INSECURE" doc:"accept any certificate of Redis; Heroku's are self-signed"`
	MaxConnections int    `env:"REDIS_MAX_CONNECTIONS" doc:"most connections of this process to Redis, the one for pub/sub included"`
	Ack            string `env:"ACK" doc:"replicated = a job is acknowledged only when a replica of Redis has it, so that a failover loses none; else when Redis has it"`
	Prefix         string `env:"PREFIX" doc:"begins every key, channel and queue name, so that installations can share a Redis"`
}

// Blobs says where the files of jobs are.
type Blobs struct {
	URL          string `env:"BLOB_URL" shown:"file:data/blobs, in the working directory" doc:"where inputs and outputs are kept, the same for every process: file:///absolute/folder, or s3://bucket/prefix?endpoint=https://host&region=name (docs/blobs.md)"`
	KeyID        Secret `env:"AWS_ACCESS_KEY_ID" doc:"credentials of an s3:// BLOB_URL"`
	SecretKey    Secret `env:"AWS_SECRET_ACCESS_KEY" doc:"the secret half of AWS_ACCESS_KEY_ID"`
	SessionToken Secret `env:"AWS_SESSION_TOKEN" doc:"third part of credentials that are lent for a time"`
	Region       string `env:"AWS_REGION" doc:"region of an s3:// BLOB_URL that names none"`
}

// Space says what is left of the disks.
type Space struct {
	MinFree Bytes `env:"MIN_FREE_SPACE" doc:"space in the blob folder, and in the work folders of lane cpu (TMPDIR), that no upload and no output may use, but at most a twentieth of its disk; 0 = none"`
}

// Jobs says how jobs live.
type Jobs struct {
	Lease     time.Duration `env:"LEASE" doc:"how long a job belongs to a process that has fallen silent; it is renewed four times as often"`
	Retention time.Duration `env:"RETENTION" doc:"how long a job and its files stay after its end"`
	// Callbacks holds one or two secrets; CallbackSecrets splits them.
	Callbacks Secret `env:"CALLBACK_SECRETS" doc:"secret that signs callbacks, whsec_ and 24 to 64 bytes in base64; two, separated by a comma, while receivers change over; without one or a CALLBACK_KEY no callback_url is accepted"`
	// CallbackKey holds one or two keys; CallbackKeys splits them.
	CallbackKey Secret `env:"CALLBACK_KEY" doc:"key from which each receiver's own secret and ed25519 key pair are derived (enqueue callback-secret prints them), at least 32 characters and given to nobody; two, separated by a comma, while receivers change over"`

	CallbackAllow Allow `env:"CALLBACK_ALLOW" doc:"places beyond the public internet that callbacks and alerts may go to: networks (10.0.0.0/8), addresses, hosts or host:port, separated by commas"`
	CallbackPorts Ports `env:"CALLBACK_PORTS" doc:"ports that callbacks and alerts may go to although they are barred (docs/webhooks.md), separated by commas"`

	// Alerts holds up to eight URLs, which hold secrets; AlertURLs splits them.
	Alerts   Secret        `env:"ALERT_URLS" doc:"whom to tell what is wrong, and that it is over (docs/operate.md): up to 8 URLs, separated by commas; each gets a webhook, signed as callbacks are, and one of slack+https://… a line of text. Set it for web and worker alike"`
	AlertAge time.Duration `env:"ALERT_AGE" doc:"how long the oldest job of a queue may wait before that is an alert, 1s to 24h"`
}

// Web says how the web server serves.
type Web struct {
	Redis    Redis
	Blobs    Blobs
	Jobs     Jobs
	Space    Space
	HTTP     HTTP
	Deployed Deployed
	Stop     Stop
	Log      Log
	Traces   Traces
	Above    Supervisor
	Sockets  Sockets
}

// Supervisor says how to tell a supervisor how this process is doing: systemd and
// cluster set these variables, nobody else.
type Supervisor struct {
	Notify   string `env:"NOTIFY_SOCKET" doc:"set by systemd and cluster: the socket that is told when this process is ready, that it lives, and that it ends (sd_notify)"`
	Watchdog int    `env:"WATCHDOG_USEC" doc:"set by systemd and cluster: how long this process may be silent, in microseconds; 0 = for ever"`
}

// Patience is Watchdog as a duration.
func (s Supervisor) Patience() time.Duration { return time.Duration(s.Watchdog) * time.Microsecond }

// Sockets are those that a supervisor has opened for this process: systemd and cluster
// set these variables, nobody else.
type Sockets struct {
	FDs int `env:"LISTEN_FDS" doc:"set by systemd and cluster: 1 where the socket to listen on is open already, and PORT isn't opened"`
	PID int `env:"LISTEN_PID" doc:"set by systemd and cluster: the process that LISTEN_FDS is meant for"`
}

// Cluster is the settings of the supervisor. Those of the processes it runs are their own.
type Cluster struct {
	Port       int    `env:"PORT" doc:"port to listen on; 0 takes a free one"`
	Token      Secret `env:"LONGSHORE_TOKEN" doc:"bearer token of the web server"`
	TokenFile  string `env:"LONGSHORE_TOKEN_FILE" doc:"file that holds LONGSHORE_TOKEN"`
	Secret     Secret `env:"ACCESS_SECRET" doc:"secret of the web server"`
	SecretFile string `env:"ACCESS_SECRET_FILE" doc:"file that holds ACCESS_SECRET"`
	Dir        string `env:"CLUSTER_DIR" shown:".cluster, beside the Procfile" doc:"folder for the lock and the sockets of a cluster, and for what silent processes said last; only its user may enter it"`
	Stop       Stop
	Log        Log
	Above      Supervisor
	Sockets    Sockets
}

// Closed reports whether web asks for a credential, and so may be reached from elsewhere.
func (c Cluster) Closed() bool {
	return c.Token.IsSet() || c.TokenFile != "" || c.Secret.IsSet() || c.SecretFile != ""
}

// HTTP is what a server of the HTTP interface needs.
type HTTP struct {
	Port           int    `env:"PORT" doc:"port to listen on; 0 takes a free one"`
	Token          Secret `env:"LONGSHORE_TOKEN" doc:"bearer token that every request must carry, at least 24 characters, as openssl rand -hex 32 prints them; without one the server listens on 127.0.0.1 only and serves nothing that came through a proxy"`
	TokenFile      string `env:"LONGSHORE_TOKEN_FILE" doc:"file that holds LONGSHORE_TOKEN"`
	Access         Access
	Memory         Memory
	MaxUpload      Bytes         `env:"MAX_UPLOAD" doc:"largest input of a job"`
	MaxPerAddress  int           `env:"MAX_UPLOADS_PER_ADDRESS" doc:"uploads that one client address may have under way; 0 = no limit. Behind a proxy set TRUSTED_PROXIES, or all clients count as one"`
	MaxOpen        int           `env:"MAX_OPEN_UPLOADS" doc:"uploads in pieces that may have begun and not ended in the whole installation, be they silent or not; 0 = no limit"`
	AddressOpen    int           `env:"MAX_OPEN_UPLOADS_PER_ADDRESS" doc:"the same for one client address, as TRUSTED_PROXIES tells it; 0 = no limit"`
	MinRate        Bytes         `env:"MIN_UPLOAD_RATE" doc:"bytes a second at which an upload must keep coming, over half a minute; 0 = any"`
	UploadExpiry   time.Duration `env:"UPLOAD_EXPIRY" doc:"how long an upload in pieces may be silent before it is given up"`
	MaxWait        time.Duration `env:"MAX_WAIT" doc:"longest wait of a long-poll; Heroku's router gives up at 30s"`
	MaxWaiters     int           `env:"MAX_WAITERS" doc:"most long-polls, event streams and WebSockets that wait at a time; who comes beyond them is answered at once"`
	AddressWaiters int           `env:"MAX_WAITERS_PER_ADDRESS" doc:"the same for one client address, as TRUSTED_PROXIES tells it; 0 = no limit"`
	MaxConns       int           `env:"MAX_CONNECTIONS" doc:"most connections that are open at a time, WebSockets left out; who comes beyond them is answered 503"`
	AddressConns   int           `env:"MAX_CONNECTIONS_PER_ADDRESS" doc:"the same for one address, unless it is one of TRUSTED_PROXIES; 0 = no limit"`
	CORSOrigins    Origins       `env:"CORS_ORIGINS" doc:"origins whose pages may use the server from a browser, like https://app.example.com, separated by commas"`
	ScaleTarget    time.Duration `env:"SCALE_TARGET" doc:"how long a job may wait for a slot before more workers are wanted (GET /v1/scale); of priority low, 30 times that"`
	HireFire       Secret        `env:"HIREFIRE_TOKEN" doc:"token with which HireFire asks how many workers are wanted, at least 24 characters; without one it is answered 404"`
	HireFireValue  string        `env:"HIREFIRE_VALUE" doc:"what HireFire is told: wanted (workers, ratio 1) or latency (seconds that the oldest job has been due)"`
	HSTS           time.Duration `env:"HSTS_MAX_AGE" doc:"where a proxy offers https: how long browsers are to use nothing else for this host (Strict-Transport-Security), as 8760h; 0 = says nothing"`
	Ceilings       Ceilings
	TrustedProxies Proxies `env:"TRUSTED_PROXIES" doc:"addresses or networks (10.0.0.0/8) whose X-Forwarded-For is believed, separated by commas"`
}

// Access says how clients show who they are, beside LONGSHORE_TOKEN (docs/access.md).
type Access struct {
	// Secret holds one or two; Secrets splits them.
	Secret     Secret `env:"ACCESS_SECRET" doc:"secret from which the keys that sign pages' tokens and seal secret values of payloads are derived, at least 32 characters and given to nobody; two, separated by a comma (the new one first), while old tokens run out. Set, it closes the installation as LONGSHORE_TOKEN does"`
	SecretFile string `env:"ACCESS_SECRET_FILE" doc:"file that holds ACCESS_SECRET"`
	// Public is where browsers reach the web processes; without it nobody logs in.
	Public string `env:"PUBLIC_URL" doc:"address by which browsers reach the web processes, https (or http://localhost:port); it may have a path that a proxy takes away. Set, people can log in at /ui/login, in a closed installation (docs/access.md)"`
	// An issuer by which people log in.
	OIDCIssuer     string `env:"OIDC_ISSUER" doc:"issuer of OpenID Connect by which people may log in, as it writes itself; its clients' redirect address is PUBLIC_URL/ui/login/issuer/back"`
	OIDCClient     string `env:"OIDC_CLIENT_ID" doc:"what OIDC_ISSUER knows this installation by"`
	OIDCSecret     Secret `env:"OIDC_CLIENT_SECRET" doc:"the secret of OIDC_CLIENT_ID; none for a public client"`
	OIDCSecretFile string `env:"OIDC_CLIENT_SECRET_FILE" doc:"file that holds OIDC_CLIENT_SECRET"`
	OIDCDomains    Words  `env:"OIDC_DOMAINS" doc:"domains of verified e-mail addresses whose people log in by OIDC_ISSUER uninvited, as viewers, separated by commas; none by default"`
	OIDCTrustMFA   bool   `env:"OIDC_TRUST_MFA" doc:"whom OIDC_ISSUER says to have proved two things (amr mfa) isn't asked for a code of an app"`
	// JWTs of another issuer.
	Issuer   string        `env:"JWT_ISSUER" doc:"issuer whose JWTs are taken as bearer tokens, as they write it in iss; none by default"`
	Audience Words         `env:"JWT_AUDIENCE" doc:"what a JWT must name in aud, one of some separated by commas; must be set with JWT_ISSUER"`
	JWKS     string        `env:"JWT_JWKS_URL" shown:"as the issuer's discovery document says" doc:"where the keys of JWT_ISSUER are, by https"`
	Tenant   string        `env:"JWT_TENANT_CLAIM" shown:"all are of tenant default" doc:"claim of a JWT that says of which tenant it is, a name or a JSON Pointer; a JWT without it is refused"`
	Subject  string        `env:"JWT_SUBJECT_CLAIM" doc:"claim of a JWT that says who it is, a name or a JSON Pointer"`
	Scope    string        `env:"JWT_SCOPE_CLAIM" doc:"claim of a JWT that says what it may, words or an array"`
	Scopes   ScopeMap      `env:"JWT_SCOPES" shown:"our own names count" doc:"what scopes of JWT_ISSUER give here, as reader=jobs:read jobs:all;writer=jobs:submit; * is any token"`
	MaxLife  time.Duration `env:"JWT_MAX_LIFE" doc:"longest life of a JWT, from iat to exp"`
}

// Secrets returns those of ACCESS_SECRET, the newest first.
func (a Access) Secrets() []string { return split(a.Secret.Reveal()) }

// Closed reports whether clients must show who they are. It is a matter of settings alone:
// an emptied Redis opens nothing.
func (h HTTP) Closed() bool { return h.Token.IsSet() || h.Access.Secret.IsSet() }

// Ceilings are the most that a submission may ask for, and that may be there, by
// whatever way it comes.
type Ceilings struct {
	Timeout   time.Duration `env:"MAX_TIMEOUT" doc:"longest timeout of an attempt that a submission may ask for; a type's own is cut down to it"`
	Retention time.Duration `env:"MAX_RETENTION" doc:"longest retention that a submission may ask for"`
	Attempts  int           `env:"MAX_ATTEMPTS" doc:"most attempts that a submission may ask for; a type's own are cut down to it"`
	Jobs      int           `env:"MAX_JOBS" doc:"most jobs that may be there in the whole installation, ended ones count until their retention is over; beyond it new ones are refused with store_full. They are counted once a second, so what comes within a second may go beyond; 0 = no limit"`
}

// Sealing says by which keys secrets of payloads are sealed.
type Sealing struct {
	Secret     Secret `env:"ACCESS_SECRET" doc:"the web processes': it opens and seals secret values of payloads (docs/access.md)"`
	SecretFile string `env:"ACCESS_SECRET_FILE" doc:"file that holds ACCESS_SECRET"`
}

// Secrets returns those of ACCESS_SECRET, the newest first.
func (s Sealing) Secrets() []string { return split(s.Secret.Reveal()) }

// Worker says how a worker process works.
type Worker struct {
	Sealing  Sealing
	Redis    Redis
	Blobs    Blobs
	Jobs     Jobs
	Space    Space
	Work     Work
	Memory   Memory
	Recycle  Recycle
	Deployed Deployed
	Stop     Stop
	Log      Log
	Traces   Traces
	Above    Supervisor
}

// Functions says where functions are.
type Functions struct {
	Dir string `env:"FUNCTIONS_DIR" shown:"functions, in the working directory" doc:"folder of functions: each folder in it with a program is a type (docs/functions.md); it need not be there"`
}

// Memory says when a process is too large.
type Memory struct {
	Alarm Bytes `env:"MEMORY_ALARM" shown:"80 % of the container's limit, or of GOMEMLIMIT" doc:"resident memory of this process over which there is an alarm; that it only grows is alarmed anyway (docs/memory.md)"`
}

// Recycle says when a worker starts itself anew.
type Recycle struct {
	MaxRSS  Bytes `env:"WORKER_MAX_RSS" doc:"resident memory over which a worker, give or take a tenth, finishes what it runs and starts itself anew; not in its first ten minutes, and not if it needs nearly as much as it starts; 0 = never"`
	MaxJobs int   `env:"WORKER_MAX_JOBS" doc:"jobs, give or take a tenth, after which a worker does the same; 0 = never"`
}

// Deployed says what is taken of functions that come over the API. Web takes them in by it,
// and workers run them by it.
type Deployed struct {
	Allowed Deploy `env:"FUNCTIONS_DEPLOY" doc:"which functions may be deployed over the API: wasm, modules only; all, programs too, so whoever has the scope functions:deploy runs what he likes on the workers, in the sandbox; off, none"`
	Env     Names  `env:"FUNCTIONS_ENV" doc:"names of variables of the worker's environment that deployed functions may get, separated by commas"`
	Network Switch `env:"FUNCTIONS_NETWORK" doc:"on or off: whether deployed functions may connect to others"`
}

// Work says what a worker runs, and how much of it at once.
type Work struct {
	Lanes             Lanes   `env:"WORKER_LANES" doc:"lanes to serve: io, cpu or both"`
	Queues            Queues  `env:"QUEUES" doc:"queues to serve, and the weight of each: default,mailers=3; one with ! behind comes strictly first: mailers!,default; empty = all, alike"`
	CPUConcurrency    int     `env:"CPU_CONCURRENCY" shown:"number of cores" doc:"jobs of lane cpu at once"`
	StreamConcurrency int     `env:"STREAM_CONCURRENCY" shown:"8 × number of cores" doc:"jobs of lane io at once"`
	ChildMemory       Bytes   `env:"CHILD_MEMORY" doc:"memory that one job of lane cpu may use"`
	MaxOutput         Bytes   `env:"MAX_OUTPUT" doc:"the most bytes that one job may write, all its outputs together; a payload's max_bytes can only lower it"`
	LeftBehind        int     `env:"MAX_LEFT_BEHIND" doc:"jobs of lane io that go on though they were to end, at which the worker takes no more, lets the others end and exits with code 75, to be started anew; 0 = never"`
	MetricsAddr       Address `env:"METRICS_ADDR" doc:"where a worker answers GET /metrics for Prometheus, as 9100 or 127.0.0.1:9100; without a host only this machine may ask; empty = nowhere, and nothing is counted"`
	Functions         Functions
	FunctionsWarm     int           `env:"FUNCTIONS_WARM" doc:"warm processes of functions of mode lambda that are kept between jobs, of all functions together; the one used least recently ends; 0 = as many as there are slots"`
	FunctionsCache    Bytes         `env:"FUNCTIONS_CACHE" doc:"what a worker keeps on disk (in TMPDIR) of deployed functions that nobody uses; the one used least recently goes"`
	SandboxUID        int           `env:"SANDBOX_UID" doc:"where the worker is root: number of the first of the users that programs of functions run as, one for each slot; 0 = they run as the worker's, without capabilities"`
	KillGrace         time.Duration `env:"KILL_GRACE" doc:"time that a job gets to end by itself when it is canceled or out of time; at most 2s"`
}

// Stop says how a process ends.
type Stop struct {
	Grace time.Duration `env:"SHUTDOWN_GRACE" doc:"time to finish or give back everything after SIGTERM; Heroku kills at 30s"`
}

// Log says what is logged, and how.
type Log struct {
	Format string `env:"LOG_FORMAT" doc:"text or json"`
	Level  Level  `env:"LOG_LEVEL" shown:"info" doc:"debug, info, warn or error"`
}

// Traces says where spans go (docs/traces.md).
type Traces struct {
	URL  string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" doc:"OpenTelemetry collector that gets spans of jobs whose callers trace, by OTLP over HTTP (docs/traces.md): http://host:4318; empty = none are made"`
	Rate int    `env:"TRACE_RATE" doc:"of how many jobs a second a process makes spans at most"`
}

// Enqueue is the settings of the command line client. It speaks HTTP to URL;
// where that is empty it goes straight to Redis and the blob store.
type Enqueue struct {
	URL       string `env:"LONGSHORE_URL" shown:"http://127.0.0.1:8080, unless REDIS_URL is set" doc:"web server to use; without it all commands but queues go straight to REDIS_URL where that is set"`
	Token     Secret `env:"LONGSHORE_TOKEN" doc:"bearer token of the web server"`
	TokenFile string `env:"LONGSHORE_TOKEN_FILE" doc:"file that holds LONGSHORE_TOKEN"`
	Sealing   Sealing
	Redis     Redis
	Blobs     Blobs
	Jobs      Jobs
	Space     Space
	MaxUpload Bytes `env:"MAX_UPLOAD" doc:"largest input of a job"`
	Ceilings  Ceilings
	Functions Functions
	// AsynqRedis may hold a password, which no flag may.
	AsynqRedis Secret `env:"ASYNQ_REDIS_URL" doc:"Redis whose tasks enqueue asynq-move moves; without it the installation's"`
}

// Dev is the settings of the development program, which brings its own Redis
// and keeps everything in one folder.
type Dev struct {
	DataDir  string `env:"DATA_DIR" shown:"data, in the working directory" doc:"folder for Redis's data and the files of jobs"`
	Jobs     Jobs
	Space    Space
	HTTP     HTTP
	Work     Work
	Deployed Deployed
	Stop     Stop
	Log      Log
	Traces   Traces
}

const localRedis = "redis://127.0.0.1:6379"

func defaultRedis(url string, connections int) Redis {
	return Redis{URL: NewSecret(url), MaxConnections: connections, Prefix: "longshore"}
}

func defaultBlobs() Blobs { return Blobs{URL: "file:data/blobs"} }

func defaultSpace() Space { return Space{MinFree: 64 * MiB} }

func defaultJobs() Jobs {
	return Jobs{Lease: 8 * time.Second, Retention: 24 * time.Hour, AlertAge: 5 * time.Minute}
}

func defaultHTTP() HTTP {
	return HTTP{Port: 8080, MaxUpload: defaultMaxUpload, UploadExpiry: 24 * time.Hour, MaxPerAddress: 256,
		MaxOpen: 100_000, AddressOpen: 1000, MinRate: KiB,
		ScaleTarget: 10 * time.Second, HireFireValue: "wanted",
		MaxWait: 25 * time.Second, MaxWaiters: 20_000, MaxConns: 50_000, Ceilings: defaultCeilings(),
		Access: Access{Subject: "sub", Scope: "scope", MaxLife: 24 * time.Hour}}
}

func defaultCeilings() Ceilings {
	return Ceilings{Timeout: 24 * time.Hour, Retention: 366 * 24 * time.Hour, Attempts: 100}
}

const defaultMaxUpload = 5 * GiB

func defaultWork() Work {
	cores := runtime.GOMAXPROCS(0) // obeys a container's limit
	return Work{
		Lanes:             Lanes{"io", "cpu"},
		CPUConcurrency:    cores,
		StreamConcurrency: 8 * cores,
		ChildMemory:       512 * MiB,
		MaxOutput:         10 * GiB,
		LeftBehind:        3,
		Functions:         defaultFunctions(),
		FunctionsCache:    GiB,
		KillGrace:         2 * time.Second,
	}
}

func defaultDeployed() Deployed { return Deployed{Allowed: DeployModules} }

func defaultFunctions() Functions { return Functions{Dir: "functions"} }

func defaultStop() Stop { return Stop{Grace: 25 * time.Second} }

func defaultTraces() Traces { return Traces{Rate: 100} }

func defaultLog() Log { return Log{Format: "text", Level: slog.LevelInfo} }

func defaultWeb() Web {
	return Web{
		Redis: defaultRedis(localRedis, 4), Blobs: defaultBlobs(), Jobs: defaultJobs(),
		Space: defaultSpace(), HTTP: defaultHTTP(), Deployed: defaultDeployed(), Stop: defaultStop(),
		Log: defaultLog(), Traces: defaultTraces(),
	}
}

func defaultWorker() Worker {
	return Worker{
		Redis: defaultRedis(localRedis, 6), Blobs: defaultBlobs(), Jobs: defaultJobs(),
		Space: defaultSpace(), Work: defaultWork(), Deployed: defaultDeployed(), Stop: defaultStop(),
		Log: defaultLog(), Traces: defaultTraces(),
	}
}

func defaultCluster() Cluster { return Cluster{Port: 8080, Stop: defaultStop(), Log: defaultLog()} }

func defaultEnqueue() Enqueue {
	return Enqueue{
		Redis: defaultRedis("", 3), Blobs: defaultBlobs(), Jobs: defaultJobs(), Space: defaultSpace(),
		MaxUpload: defaultMaxUpload, Ceilings: defaultCeilings(), Functions: defaultFunctions(),
	}
}

func defaultDev() Dev {
	return Dev{
		DataDir: "data", Jobs: defaultJobs(), Space: defaultSpace(), HTTP: defaultHTTP(), Work: defaultWork(),
		Deployed: defaultDeployed(), Stop: defaultStop(), Log: defaultLog(), Traces: defaultTraces(),
	}
}

// LoadWeb reads the settings of the web server. getenv is os.Getenv but for
// tests. The error joins one error for each mistake.
func LoadWeb(getenv func(string) string) (Web, error) {
	c := defaultWeb()
	m := read(getenv, &c)
	c.Redis.check(m)
	c.Blobs.check(m)
	c.Jobs.check(m)
	c.Space.check(m)
	c.HTTP.check(m)
	c.Stop.check(m)
	c.Log.check(m)
	c.Traces.check(m)
	c.Above.check(m)
	c.Sockets.check(m)
	return c, m.err()
}

// LoadWorker reads the settings of a worker, as LoadWeb does.
func LoadWorker(getenv func(string) string) (Worker, error) {
	c := defaultWorker()
	m := read(getenv, &c)
	c.Redis.check(m)
	c.Blobs.check(m)
	c.Jobs.check(m)
	c.Space.check(m)
	c.Work.check(m)
	c.Memory.check(m)
	c.Recycle.check(m)
	c.Stop.check(m)
	c.Log.check(m)
	c.Traces.check(m)
	c.Above.check(m)
	checkSecret(m, &c.Sealing.Secret, c.Sealing.SecretFile)
	return c, m.err()
}

// LoadCluster reads the settings of the supervisor, as LoadWeb does. A token is not judged:
// that is for those who use it.
func LoadCluster(getenv func(string) string) (Cluster, error) {
	c := defaultCluster()
	m := read(getenv, &c)
	within(m, "PORT", c.Port, 0, 65535)
	c.Stop.check(m)
	c.Log.check(m)
	c.Above.check(m)
	c.Sockets.check(m)
	return c, m.err()
}

// LoadEnqueue reads the settings of the command line client, as LoadWeb does.
func LoadEnqueue(getenv func(string) string) (Enqueue, error) {
	c := defaultEnqueue()
	m := read(getenv, &c)
	c.check(m)
	c.Redis.check(m)
	c.Blobs.check(m)
	c.Jobs.check(m)
	c.Space.check(m)
	return c, m.err()
}

// LoadDev reads the settings of the development program, as LoadWeb does.
func LoadDev(getenv func(string) string) (Dev, error) {
	c := defaultDev()
	m := read(getenv, &c)
	c.Jobs.check(m)
	c.Space.check(m)
	c.HTTP.check(m)
	c.Work.check(m)
	c.Stop.check(m)
	c.Log.check(m)
	c.Traces.check(m)
	return c, m.err()
}

// Contains reports whether an address belongs to a trusted proxy.
func (p Proxies) Contains(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// CallbackSecrets returns the secrets that sign callbacks, the newest first.
func (j Jobs) CallbackSecrets() []string { return split(j.Callbacks.Reveal()) }

// CallbackKeys returns the keys of receivers' own secrets, the newest first.
func (j Jobs) CallbackKeys() []string { return split(j.CallbackKey.Reveal()) }

// AlertURLs returns the receivers of alerts.
func (j Jobs) AlertURLs() []string { return split(j.Alerts.Reveal()) }
