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

// Redis says which Redis to use. All processes of an installation share it.
type Redis struct {
	// URL already is that of REDIS_TLS_URL where that is set.
	URL            Secret `env:"REDIS_URL" doc:"Redis server: redis://[user:password@]host:port[/db], rediss://… for TLS, or unix:///path"`
	TLSURL         Secret `env:"REDIS_TLS_URL" doc:"used instead of REDIS_URL where set, as some Heroku plans do"`
	TLSInsecure    bool   `env:"REDIS_TLS_INSECURE" doc:"accept any certificate of Redis; Heroku's are self-signed"`
	MaxConnections int    `env:"REDIS_MAX_CONNECTIONS" doc:"most connections of this process to Redis, the one for pub/sub included"`
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
}

// Web says how the web server serves.
type Web struct {
	Redis Redis
	Blobs Blobs
	Jobs  Jobs
	Space Space
	HTTP  HTTP
	Stop  Stop
	Log   Log
}

// HTTP is what a server of the HTTP interface needs.
type HTTP struct {
	Port           int           `env:"PORT" doc:"port to listen on; 0 takes a free one"`
	Token          Secret        `env:"LONGSHORE_TOKEN" doc:"bearer token that every request must carry, at least 24 characters, as openssl rand -hex 32 prints them; without one the server listens on 127.0.0.1 only and serves nothing that came through a proxy"`
	TokenFile      string        `env:"LONGSHORE_TOKEN_FILE" doc:"file that holds LONGSHORE_TOKEN"`
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
	HSTS           time.Duration `env:"HSTS_MAX_AGE" doc:"where a proxy offers https: how long browsers are to use nothing else for this host (Strict-Transport-Security), as 8760h; 0 = says nothing"`
	Ceilings       Ceilings
	TrustedProxies Proxies `env:"TRUSTED_PROXIES" doc:"addresses or networks (10.0.0.0/8) whose X-Forwarded-For is believed, separated by commas"`
}

// Ceilings are the most that a submission may ask for, and that may be there, by
// whatever way it comes.
type Ceilings struct {
	Timeout   time.Duration `env:"MAX_TIMEOUT" doc:"longest timeout of an attempt that a submission may ask for; a type's own is cut down to it"`
	Retention time.Duration `env:"MAX_RETENTION" doc:"longest retention that a submission may ask for"`
	Attempts  int           `env:"MAX_ATTEMPTS" doc:"most attempts that a submission may ask for; a type's own are cut down to it"`
	Jobs      int           `env:"MAX_JOBS" doc:"most jobs that may be there in the whole installation, ended ones count until their retention is over; beyond it new ones are refused with queue_full. They are counted once a second, so what comes within a second may go beyond; 0 = no limit"`
}

// Worker says how a worker process works.
type Worker struct {
	Redis Redis
	Blobs Blobs
	Jobs  Jobs
	Space Space
	Work  Work
	Stop  Stop
	Log   Log
}

// Work says what a worker runs, and how much of it at once.
type Work struct {
	Lanes             Lanes         `env:"WORKER_LANES" doc:"lanes to serve: io, cpu or both"`
	CPUConcurrency    int           `env:"CPU_CONCURRENCY" shown:"number of cores" doc:"jobs of lane cpu at once"`
	StreamConcurrency int           `env:"STREAM_CONCURRENCY" shown:"8 × number of cores" doc:"jobs of lane io at once"`
	ChildMemory       Bytes         `env:"CHILD_MEMORY" doc:"memory that one job of lane cpu may use"`
	MaxOutput         Bytes         `env:"MAX_OUTPUT" doc:"the most bytes that one job may write, all its outputs together; a payload's max_bytes can only lower it"`
	LeftBehind        int           `env:"MAX_LEFT_BEHIND" doc:"jobs of lane io that go on though they were to end, at which the worker takes no more, lets the others end and exits with code 75, to be started anew; 0 = never"`
	CallbackAllow     Allow         `env:"CALLBACK_ALLOW" doc:"places beyond the public internet that callbacks may go to: networks (10.0.0.0/8), addresses, hosts or host:port, separated by commas"`
	CallbackPorts     Ports         `env:"CALLBACK_PORTS" doc:"ports that callbacks may go to although they are barred (docs/webhooks.md), separated by commas"`
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

// Enqueue is the settings of the command line client. It speaks HTTP to URL;
// where that is empty it goes straight to Redis and the blob store.
type Enqueue struct {
	URL       string `env:"LONGSHORE_URL" shown:"http://127.0.0.1:8080, unless REDIS_URL is set" doc:"web server to use; without it all commands but queues go straight to REDIS_URL where that is set"`
	Token     Secret `env:"LONGSHORE_TOKEN" doc:"bearer token of the web server"`
	TokenFile string `env:"LONGSHORE_TOKEN_FILE" doc:"file that holds LONGSHORE_TOKEN"`
	Redis     Redis
	Blobs     Blobs
	Jobs      Jobs
	Space     Space
	MaxUpload Bytes `env:"MAX_UPLOAD" doc:"largest input of a job"`
	Ceilings  Ceilings
}

// Dev is the settings of the development program, which brings its own Redis
// and keeps everything in one folder.
type Dev struct {
	DataDir string `env:"DATA_DIR" shown:"data, in the working directory" doc:"folder for Redis's data and the files of jobs"`
	Jobs    Jobs
	Space   Space
	HTTP    HTTP
	Work    Work
	Stop    Stop
	Log     Log
}

const localRedis = "redis://127.0.0.1:6379"

func defaultRedis(url string, connections int) Redis {
	return Redis{URL: NewSecret(url), MaxConnections: connections, Prefix: "longshore"}
}

func defaultBlobs() Blobs { return Blobs{URL: "file:data/blobs"} }

func defaultSpace() Space { return Space{MinFree: 64 * MiB} }

func defaultJobs() Jobs { return Jobs{Lease: 8 * time.Second, Retention: 24 * time.Hour} }

func defaultHTTP() HTTP {
	return HTTP{Port: 8080, MaxUpload: defaultMaxUpload, UploadExpiry: 24 * time.Hour, MaxPerAddress: 256,
		MaxOpen: 100_000, AddressOpen: 1000, MinRate: KiB,
		MaxWait: 25 * time.Second, MaxWaiters: 20_000, MaxConns: 50_000, Ceilings: defaultCeilings()}
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
		KillGrace:         2 * time.Second,
	}
}

func defaultStop() Stop { return Stop{Grace: 25 * time.Second} }

func defaultLog() Log { return Log{Format: "text", Level: slog.LevelInfo} }

func defaultWeb() Web {
	return Web{
		Redis: defaultRedis(localRedis, 4), Blobs: defaultBlobs(), Jobs: defaultJobs(),
		Space: defaultSpace(), HTTP: defaultHTTP(), Stop: defaultStop(), Log: defaultLog(),
	}
}

func defaultWorker() Worker {
	return Worker{
		Redis: defaultRedis(localRedis, 6), Blobs: defaultBlobs(), Jobs: defaultJobs(),
		Space: defaultSpace(), Work: defaultWork(), Stop: defaultStop(), Log: defaultLog(),
	}
}

func defaultEnqueue() Enqueue {
	return Enqueue{
		Redis: defaultRedis("", 3), Blobs: defaultBlobs(), Jobs: defaultJobs(), Space: defaultSpace(),
		MaxUpload: defaultMaxUpload, Ceilings: defaultCeilings(),
	}
}

func defaultDev() Dev {
	return Dev{
		DataDir: "data", Jobs: defaultJobs(), Space: defaultSpace(), HTTP: defaultHTTP(), Work: defaultWork(),
		Stop: defaultStop(), Log: defaultLog(),
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
	c.Stop.check(m)
	c.Log.check(m)
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
