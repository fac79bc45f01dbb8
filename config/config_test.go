package config_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/config"
)

// env makes a getenv of pairs NAME=value.
func env(pairs ...string) func(string) string {
	m := make(map[string]string)
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		m[name] = value
	}
	return func(name string) string { return m[name] }
}

var secrets = cmp.Comparer(func(a, b config.Secret) bool { return a.Reveal() == b.Reveal() })

var ceilings = config.Ceilings{Timeout: 24 * time.Hour, Retention: 8784 * time.Hour, Attempts: 100}

// defaultAccess is what is set of access where nobody sets anything.
var defaultAccess = config.Access{Subject: "sub", Scope: "scope", MaxLife: 24 * time.Hour}

func TestDefaults(t *testing.T) {
	t.Parallel()
	cores := runtime.GOMAXPROCS(0)
	web, err := config.LoadWeb(env())
	if err != nil {
		t.Fatal(err)
	}
	redis := config.Redis{URL: config.NewSecret("redis://127.0.0.1:6379"), MaxConnections: 4,
		Prefix: "longshore"}
	jobs := config.Jobs{Lease: 8 * time.Second, Retention: 24 * time.Hour, AlertAge: 5 * time.Minute}
	http := config.HTTP{Access: defaultAccess, Port: 8080, MaxUpload: 5 << 30, UploadExpiry: 24 * time.Hour,
		MaxPerAddress: 256, MaxOpen: 100_000, AddressOpen: 1000, MinRate: 1 << 10,
		ScaleTarget: 10 * time.Second, HireFireValue: "wanted", MaxWait: 25 * time.Second, MaxWaiters: 20_000,
		MaxConns: 50_000, Ceilings: ceilings}
	log := config.Log{Format: "text", Level: slog.LevelInfo}
	traces := config.Traces{Rate: 100}
	stop := config.Stop{Grace: 25 * time.Second}
	blobs := config.Blobs{URL: "file:data/blobs"}
	space := config.Space{MinFree: 64 << 20}
	deployed := config.Deployed{Allowed: config.DeployModules}
	wantWeb := config.Web{Redis: redis, Blobs: blobs, Jobs: jobs, Space: space, HTTP: http,
		Deployed: deployed, Stop: stop, Log: log, Traces: traces}
	if diff := cmp.Diff(wantWeb, web, secrets); diff != "" {
		t.Errorf("web (-want +got):\n%s", diff)
	}
	worker, err := config.LoadWorker(env())
	if err != nil {
		t.Fatal(err)
	}
	redis.MaxConnections = 6
	work := config.Work{
		Lanes: config.Lanes{"io", "cpu"}, CPUConcurrency: cores, StreamConcurrency: 8 * cores,
		ChildMemory: 512 << 20, MaxOutput: 10 << 30, LeftBehind: 3,
		Functions: config.Functions{Dir: "functions"}, FunctionsCache: 1 << 30, KillGrace: 2 * time.Second,
	}
	wantWorker := config.Worker{Redis: redis, Blobs: blobs, Jobs: jobs, Space: space, Work: work,
		Deployed: deployed, Stop: stop, Log: log, Traces: traces}
	if diff := cmp.Diff(wantWorker, worker, secrets); diff != "" {
		t.Errorf("worker (-want +got):\n%s", diff)
	}
	dev, err := config.LoadDev(env())
	if err != nil {
		t.Fatal(err)
	}
	wantDev := config.Dev{DataDir: "data", Jobs: jobs, Space: space, HTTP: http, Work: work,
		Deployed: deployed, Stop: stop, Log: log, Traces: traces}
	if diff := cmp.Diff(wantDev, dev, secrets); diff != "" {
		t.Errorf("dev (-want +got):\n%s", diff)
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	web, err := config.LoadWeb(env(
		"REDIS_URL=redis://h", "REDIS_TLS_URL=rediss://:hunter2@h:6380", "REDIS_TLS_INSECURE=true",
		"REDIS_MAX_CONNECTIONS=20",
		"PREFIX=Team-7", "BLOB_URL=file:///var/lib/long%20shore", "PORT=0",
		"LONGSHORE_TOKEN=hunter2-0123456789abcdef", "HSTS_MAX_AGE=8760h", "MAX_UPLOAD=10gb",
		"UPLOAD_EXPIRY=36h",
		"MAX_WAIT=55", "MAX_WAITERS=100", "MAX_WAITERS_PER_ADDRESS=7",
		"CORS_ORIGINS=https://a.example, http://localhost:3000",
		"TRUSTED_PROXIES=10.1.2.3/8,::ffff:192.0.2.1,2001:db8::/32", "LEASE=1m30s", "RETENTION=2h",
		"SHUTDOWN_GRACE=1500ms", "LOG_FORMAT=json", "LOG_LEVEL=warn",
	))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Web{
		Redis: config.Redis{
			URL:    config.NewSecret("rediss://:hunter2@h:6380"),
			TLSURL: config.NewSecret("rediss://:hunter2@h:6380"), TLSInsecure: true, MaxConnections: 20,
			Prefix: "Team-7",
		},
		Blobs: config.Blobs{URL: "file:///var/lib/long%20shore"},
		Jobs:  config.Jobs{Lease: 90 * time.Second, Retention: 2 * time.Hour, AlertAge: 5 * time.Minute},
		Space: config.Space{MinFree: 64 << 20}, Deployed: config.Deployed{Allowed: config.DeployModules},
		HTTP: config.HTTP{
			Access: defaultAccess, Token: config.NewSecret("hunter2-0123456789abcdef"),
			HSTS: 8760 * time.Hour, MaxUpload: 10e9, UploadExpiry: 36 * time.Hour, MaxPerAddress: 256,
			MaxOpen: 100_000, AddressOpen: 1000, MinRate: 1 << 10, ScaleTarget: 10 * time.Second,
			HireFireValue: "wanted", MaxWait: 55 * time.Second, MaxWaiters: 100, AddressWaiters: 7,
			MaxConns: 50_000, Ceilings: ceilings,
			CORSOrigins: config.Origins{"https://a.example", "http://localhost:3000"},
			TrustedProxies: config.Proxies{netip.MustParsePrefix("10.0.0.0/8"),
				netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32")},
		},
		Stop: config.Stop{Grace: 1500 * time.Millisecond},
		Log:  config.Log{Format: "json", Level: slog.LevelWarn}, Traces: config.Traces{Rate: 100},
	}
	if diff := cmp.Diff(want, web, secrets,
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for addr, trusted := range map[string]bool{"10.9.9.9": true, "::ffff:10.9.9.9": true, "192.0.2.2": false,
		"2001:db8::1": true} {
		if got := web.HTTP.TrustedProxies.Contains(netip.MustParseAddr(addr)); got != trusted {
			t.Errorf("Contains(%s) = %v", addr, got)
		}
	}
}

const secretA, secretB = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	"whsec_c2l4dHktZm91ciBieXRlcyBhcmUgdGhlIG1vc3QgdGhhdCBhIHNlY3JldCBtYXkgaGF2ZS4gLg=="

func TestCallbacks(t *testing.T) {
	t.Parallel()
	c, err := config.LoadWorker(env("CALLBACK_SECRETS="+secretA+", "+secretB,
		"CALLBACK_ALLOW=10.0.0.0/8,fd00::/8, ::1,hooks.internal:8080,[::1]:80,Sink",
		"CALLBACK_PORTS=25, 6379", "CALLBACK_KEY="+strings.Repeat("k", 32)+","+strings.Repeat("l", 40)))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Jobs.CallbackSecrets(); !slices.Equal(got, []string{secretA, secretB}) {
		t.Errorf("secrets %q", got)
	}
	want := config.Allow{"10.0.0.0/8", "fd00::/8", "::1", "hooks.internal:8080", "[::1]:80", "Sink"}
	if !slices.Equal(c.Jobs.CallbackAllow, want) {
		t.Errorf("allow %q", c.Jobs.CallbackAllow)
	}
	if keys := c.Jobs.CallbackKeys(); !slices.Equal(c.Jobs.CallbackPorts, config.Ports{25, 6379}) ||
		len(keys) != 2 || len(keys[1]) != 40 {
		t.Errorf("ports %v, %d keys", c.Jobs.CallbackPorts, len(keys))
	}
}

func TestEnqueueWhere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		env []string
		url string
	}{
		{nil, "http://127.0.0.1:8080"},
		{[]string{"REDIS_URL=redis://h"}, ""},
		{[]string{"REDIS_TLS_URL=rediss://h"}, ""},
		{[]string{"REDIS_URL=redis://h", "LONGSHORE_URL=https://h/base"}, "https://h/base"},
	} {
		c, err := config.LoadEnqueue(env(tt.env...))
		if err != nil || c.URL != tt.url {
			t.Errorf("%v: URL = %q, %v, want %q", tt.env, c.URL, err, tt.url)
		}
	}
}

// TestMistakes gives each variable bad values, and expects its name and no value.
func TestMistakes(t *testing.T) {
	t.Parallel()
	bad := map[string][]string{
		"REDIS_URL": {"hunter2", "http://hunter2", "redis://:hunter2%zz@h", "unix://hunter2",
			"redis:hunter2"},
		"REDIS_TLS_URL":         {"hunter2"},
		"ASYNQ_REDIS_URL":       {"hunter2", "http://hunter2", "redis://:hunter2%zz@h"},
		"REDIS_TLS_INSECURE":    {"hunter2"},
		"ACK":                   {"hunter2"},
		"REDIS_MAX_CONNECTIONS": {"hunter2", "1", "-1", "0", "1.5", "99999999999999999999", "10001"},
		"PREFIX":                {"hunter2{", "a:b", "a b", "ü", strings.Repeat("hunter2", 5)},
		"BLOB_URL": {"hunter2", "/hunter2", "file://hunter2/x", "s3://", "s3:hunter2",
			"s3://key:hunter2@bucket", "s3://bucket#hunter2", "file://", "file:///x?hunter2"},
		"AWS_ACCESS_KEY_ID":     {"hunter2 x", "ü"},
		"AWS_SECRET_ACCESS_KEY": {"hunter2\n"},
		"AWS_SESSION_TOKEN":     {"hunter2\thunter2"},
		"AWS_REGION":            {"hunter2 x"},
		"WORKER_LANES":          {"hunter2", "io,io", ",", "gpu"},
		"QUEUES": {"hunter2 x", "a,a", "a=1,a!", ",", "a=0", "a=-1", "a=1001", "a=x", "a!=3", "-a", "Mail", "ä",
			strings.Repeat("hunter2", 5), "a:b", "*"},
		"CPU_CONCURRENCY":    {"0", "-4", "hunter2", "2000"},
		"STREAM_CONCURRENCY": {"0", "18446744073709551615"},
		"MAX_OUTPUT":         {"hunter2", "0", "-1", "1 GiB", "9999999TiB"},
		"MEMORY_ALARM":       {"hunter2", "-1", "9999999TiB"},
		"WORKER_MAX_RSS":     {"hunter2", "-1", "9999999TiB"},
		"WORKER_MAX_JOBS":    {"hunter2", "-1", "1.5", "3000000000"},
		"MAX_LEFT_BEHIND":    {"hunter2", "-1", "10001", "1.5"},
		"CHILD_MEMORY":       {"hunter2", "1KiB", "-1", "512 MiB", "9999999TiB", "MiB", "1.5GiB"},
		"KILL_GRACE":         {"3s", "-1s", "hunter2"},
		"SHUTDOWN_GRACE":     {"0", "2h", "NaN", "1e3", "10 s"},
		"LEASE":              {"1s", "hunter2", "99999999999h"},
		"RETENTION":          {"0", "200000h"},
		"CALLBACK_SECRETS": {"hunter2", "whsec_hunter2", ",", "whsec_aHVudGVyMg==",
			strings.Repeat(secretA+",", 3), "whsec_" + strings.Repeat("hunter2A", 20)},
		"CALLBACK_KEY": {"hunter2", ",", strings.Repeat("hunter2", 5) + ",hunter2",
			strings.Repeat(strings.Repeat("hunter2", 5)+",", 3)},
		"CALLBACK_PORTS": {"hunter2", "0", "65536", "-1", "25 26"},
		"CALLBACK_ALLOW": {"http://hunter2", "10.0.0.0/33", "hunter2:x", "h:0", "a b", "*"},
		"ALERT_URLS": {"hunter2", "ftp://hunter2", "https://u:hunter2@h", "slack+https://", "https://h/#hunter2",
			"slack+hunter2", "https://no.secret/hunter2", strings.Repeat("slack+https://h/hunter2,", 9)},
		"ALERT_AGE":                   {"0", "500ms", "25h", "hunter2"},
		"LOG_FORMAT":                  {"hunter2"},
		"LOG_LEVEL":                   {"hunter2"},
		"TRACE_RATE":                  {"0", "-1", "hunter2", "2000000"},
		"OTEL_EXPORTER_OTLP_ENDPOINT": {"hunter2", "grpc://hunter2", "http://", "hunter2:4318"},
		"SCALE_TARGET":                {"0", "2h", "hunter2"},
		"HIREFIRE_TOKEN":              {"hunter2", "hunter2 hunter2 hunter2 ab", strings.Repeat("hunter2", 9)},
		"HIREFIRE_VALUE":              {"hunter2"},
		"METRICS_ADDR":                {"hunter2", "hunter2:9100", "65536", "-1", "127.0.0.1:", "127.0.0.1", "1.2.3.4:x"},
		"NOTIFY_SOCKET":               nil, // what it names isn't ours to judge
		"WATCHDOG_USEC":               {"-1", "hunter2", "1s"},
		"LISTEN_FDS":                  {"-1", "hunter2", "1001"},
		"LISTEN_PID":                  {"-1", "hunter2"},
		"CLUSTER_DIR":                 nil,
		"PORT":                        {"-1", "65536", "http"},
		"MAX_UPLOAD":                  {"0", "hunter2"},
		"UPLOAD_EXPIRY":               {"0", "500ms", "9000h"},
		"MAX_WAIT":                    {"0", "500ms", "2h"},
		"CORS_ORIGINS": {"*", "hunter2", "https://a/", "https://a,b", "https://hunter2@a",
			"https://*.example.com", "https://*", "https://App.example.com", "https://bücher.example",
			"https://a:443", "http://a:80", "https://a:", "https://a:0", "https://a:0443", "https://a:99999",
			"https://a.", "https://[::1", "https://[::1%25x]", "null"},
		"TRUSTED_PROXIES": {"hunter2", "10.0.0.0/33", "10.0.0.0/8,x"},
		"LONGSHORE_TOKEN": {"hunter2 x", "hunter2\n", "ü", strings.Repeat("hunter2", 1000), "hunter2",
			"hunter2-89012345678abcd", strings.Repeat("x", 64), strings.Repeat("hunter2", 9)},
		"LONGSHORE_TOKEN_FILE": {"/hunter2", os.DevNull, t.TempDir()},
		"ACCESS_SECRET": {"hunter2", "hunter2hunter2hunter2hunter2hunter2", strings.Repeat("hunter2+/=", 4) +
			",hunter2",
			"0123456789abcdef0123456789abcde1,0123456789abcdef0123456789abcde2,0123456789abcdef0123456789abcde3", ","},
		"JWT_ISSUER": {"hunter2", "http://a.example", "https://u:hunter2@a.example"}, "JWT_AUDIENCE": {","},
		"OIDC_ISSUER": {"hunter2", "http://a.example"}, "OIDC_DOMAINS": {","},
		"OIDC_TRUST_MFA": {"hunter2", "true"}, "OIDC_CLIENT_ID": {"hunter2"},
		"OIDC_CLIENT_SECRET": {"hunter2"}, "OIDC_CLIENT_SECRET_FILE": {"hunter2"},
		"PUBLIC_URL": {"hunter2", "http://jobs.example.com", "https://u:hunter2@a.example",
			"http://127.0.0.1:80",
			"https://a.example/?x", "ftp://a.example"},
		"JWT_JWKS_URL": {"hunter2", "http://a.example/keys"}, "JWT_SUBJECT_CLAIM": {"a b"},
		"JWT_TENANT_CLAIM": {"a b"}, "JWT_SCOPE_CLAIM": {"a b"}, "JWT_SCOPES": {"hunter2", "a=hunter2", "a=",
			"a=admin;a=admin"},
		"JWT_MAX_LIFE": {"1s", "hunter2", "1000h"}, "ACCESS_SECRET_FILE": {"/hunter2", os.DevNull,
			t.TempDir()},
		"LONGSHORE_URL": {"hunter2", "ftp://hunter2", "https://u:hunter2@h", "https://h?hunter2=1",
			"https://"},

		"MAX_UPLOADS_PER_ADDRESS": {"-1", "many"}, "MAX_OPEN_UPLOADS": {"-1", "many"},
		"MAX_OPEN_UPLOADS_PER_ADDRESS": {"-1", "many"}, "MIN_UPLOAD_RATE": {"2GiB", "slow"},
		"MIN_FREE_SPACE": {"-1", "some"}, "MAX_WAITERS": {"0", "-1", "hunter2"},
		"MAX_WAITERS_PER_ADDRESS": {"-1", "hunter2"},
		"MAX_CONNECTIONS":         {"0", "hunter2"}, "MAX_CONNECTIONS_PER_ADDRESS": {"-1", "hunter2"},
		"MAX_TIMEOUT":     {"0", "25h", "hunter2"},
		"MAX_RETENTION":   {"0", "9000h", "hunter2"},
		"MAX_ATTEMPTS":    {"0", "101", "hunter2"},
		"MAX_JOBS":        {"-1", "1000000001", "hunter2"},
		"HSTS_MAX_AGE":    {"-1s", "hunter2", "999999h"},
		"SANDBOX_UID":     {"-1", "4000000000", "hunter2"},
		"FUNCTIONS_WARM":  {"-1", "10001", "hunter2"},
		"FUNCTIONS_CACHE": {"-1", "hunter2"}, "FUNCTIONS_DEPLOY": {"on", "hunter2"},
		"FUNCTIONS_ENV": {"A B", "LONGSHORE_TOKEN", "a=hunter2"}, "FUNCTIONS_NETWORK": {"true", "hunter2"},
	}
	for name, values := range bad {
		for _, value := range values {
			load := loaderOf(t, name)
			err := load(env(name + "=" + value))
			value = value[:min(len(value), 40)]
			if err == nil || !strings.HasPrefix(err.Error(), name+": ") ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("%s=%s: %v, want one mistake of that name", name, value, err)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s=%s: the error tells the value: %v", name, value, err)
			}
		}
	}
	for _, s := range config.Table() {
		if _, ok := bad[s.Name]; !ok && s.Name != "DATA_DIR" && s.Name != "FUNCTIONS_DIR" {
			t.Errorf("no bad values of %s are tried", s.Name)
		}
	}
}

// TestBucketNeedsCredentials holds that a bucket's missing credentials are named.
func TestBucketNeedsCredentials(t *testing.T) {
	t.Parallel()
	_, err := config.LoadWeb(env("BLOB_URL=s3://bucket"))
	if err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID: ") ||
		!strings.Contains(err.Error(), "AWS_SECRET_ACCESS_KEY: ") {
		t.Errorf("without credentials: %v", err)
	}
	c, err := config.LoadWorker(env("BLOB_URL=s3://bucket/p?region=r", "AWS_ACCESS_KEY_ID=id",
		"AWS_SECRET_ACCESS_KEY=hunter2", "AWS_REGION=x"))
	if err != nil || c.Blobs.KeyID.Reveal() != "id" || c.Blobs.SecretKey.Reveal() != "hunter2" ||
		c.Blobs.Region != "x" {
		t.Errorf("with credentials: %+v, %v", c.Blobs, err)
	}
}

// loaderOf returns a program's loader that reads the variable.
func loaderOf(t *testing.T, name string) func(func(string) string) error {
	t.Helper()
	i := slices.IndexFunc(config.Table(), func(s config.Setting) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no setting %s", name)
	}
	switch config.Table()[i].Programs[0] {
	case "web":
		return func(g func(string) string) error { _, err := config.LoadWeb(g); return err }
	case "worker":
		return func(g func(string) string) error { _, err := config.LoadWorker(g); return err }
	case "enqueue":
		return func(g func(string) string) error { _, err := config.LoadEnqueue(g); return err }
	default:
		return func(g func(string) string) error { _, err := config.LoadDev(g); return err }
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.LoadWorker(env(
		"REDIS_URL=hunter2", "REDIS_MAX_CONNECTIONS=lots", "WORKER_LANES=gpu", "CPU_CONCURRENCY=0",
		"CHILD_MEMORY=much", "LEASE=x", "LOG_LEVEL=loud", "LOG_FORMAT=xml", "PREFIX={}",
		"REDIS_TLS_INSECURE=perhaps",
	))
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 10 {
		t.Errorf("%d mistakes, want 10:\n%v", len(lines), err)
	}
	want := "CHILD_MEMORY: expected a size like 512MiB, 10GB or a number of bytes"
	if !slices.Contains(lines, want) {
		t.Errorf("no line %q in:\n%v", want, err)
	}
}

func TestTokenFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("hunter2-0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadWeb(env("LONGSHORE_TOKEN_FILE=" + file))
	if err != nil || c.HTTP.Token.Reveal() != "hunter2-0123456789abcdef" {
		t.Errorf("token = %q, %v", c.HTTP.Token.Reveal(), err)
	}
	if _, err := config.LoadWeb(env("LONGSHORE_TOKEN_FILE="+file, "LONGSHORE_TOKEN=x")); err == nil {
		t.Error("two tokens are fine")
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("hunter2\n", 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.LoadEnqueue(env("LONGSHORE_TOKEN_FILE=" + file)); err == nil ||
		strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a large file: %v", err)
	}
}

// TestSecretsStayHidden prints whole settings in every way that a log may.
func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	getenv := env("REDIS_URL=redis://:hunter2@h", "REDIS_TLS_URL=rediss://:hunter2@h",
		"LONGSHORE_TOKEN=hunter2-0123456789abcdef", "LONGSHORE_URL=http://h")
	web, err := config.LoadWeb(getenv)
	if err != nil {
		t.Fatal(err)
	}
	enqueue, err := config.LoadEnqueue(getenv)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	jsonLog := slog.New(slog.NewJSONHandler(&out, nil))
	type wrapper struct{ hidden config.Web } // fmt calls no methods below an unexported field
	for _, c := range []any{web, &web, enqueue, web.HTTP.Token, wrapper{web}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			fmt.Fprintf(&out, verb+"\n", c)
		}
		log.Info("settings", "config", c)
		jsonLog.Info("settings", "config", c)
	}
	if err := json.NewEncoder(&out).Encode([]any{web, enqueue}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hunter2") ||
		strings.Contains(out.String(), fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("a secret shows:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("nothing was redacted at all")
	}
}

// TestNoSecretInPlainText holds that a variable that can carry a secret has the
// type for it.
func TestNoSecretInPlainText(t *testing.T) {
	t.Parallel()
	// refuse credentials, or only name a file
	plain := []string{"LONGSHORE_URL", "BLOB_URL", "LONGSHORE_TOKEN_FILE", "ACCESS_SECRET_FILE",
		"JWT_JWKS_URL", "PUBLIC_URL", "OIDC_CLIENT_SECRET_FILE"}
	suspicious := []string{"URL", "TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL"}
	var walk func(reflect.Type)
	walk = func(s reflect.Type) {
		for i := range s.NumField() {
			f := s.Field(i)
			name := f.Tag.Get("env")
			if name == "" {
				walk(f.Type)
				continue
			}
			isSuspicious := slices.ContainsFunc(suspicious, func(w string) bool {
				return strings.Contains(name, w)
			})
			if isSuspicious && f.Type != reflect.TypeFor[config.Secret]() && !slices.Contains(plain, name) {
				t.Errorf("%s is a %s, not a Secret", name, f.Type)
			}
		}
	}
	for _, program := range []any{config.Web{}, config.Worker{}, config.Enqueue{}, config.Dev{}} {
		walk(reflect.TypeOf(program))
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	table := config.Table()
	byName := make(map[string]config.Setting)
	for _, s := range table {
		if s.Meaning == "" || len(s.Programs) == 0 || byName[s.Name].Name != "" {
			t.Errorf("bad entry %+v", s)
		}
		byName[s.Name] = s
	}
	for name, want := range map[string]string{
		"REDIS_MAX_CONNECTIONS": "4 (web), 6 (worker), 3 (enqueue)",
		"REDIS_URL":             "redis://127.0.0.1:6379 (web), redis://127.0.0.1:6379 (worker), none (enqueue)",
		"RETENTION":             "24h", "LEASE": "8s", "MAX_UPLOAD": "5GiB", "CHILD_MEMORY": "512MiB",
		"WORKER_LANES": "io,cpu", "CPU_CONCURRENCY": "number of cores", "PORT": "8080", "LOG_LEVEL": "info",
		"LONGSHORE_TOKEN": "", "REDIS_TLS_INSECURE": "false",
	} {
		if got := byName[name].Default; got != want {
			t.Errorf("default of %s: %q, want %q", name, got, want)
		}
	}
	if got := byName["KILL_GRACE"].Programs; !slices.Equal(got, []string{"worker", "dev"}) {
		t.Errorf("KILL_GRACE is read by %v", got)
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Bytes{
		"0": 0, "4096": 4096, "1KiB": 1024, "1kb": 1000, "512MiB": 512 << 20, "10GB": 10e9, "7TiB": 7 << 40,
		"12B": 12, "8388607TiB": 8388607 << 40,
	} {
		var b config.Bytes
		if err := b.EnvDecode(text); err != nil || b != want {
			t.Errorf("%s = %d, %v, want %d", text, b, err, want)
		}
	}
	for b, want := range map[config.Bytes]string{0: "0B", 1: "1B", 1024: "1KiB", 1500: "1500B", 2000: "2KB",
		5 << 30: "5GiB", 10e9: "10GB"} {
		if got := b.String(); got != want {
			t.Errorf("String() of %d = %s, want %s", int64(b), got, want)
		}
	}
}

// FuzzBytes holds that what is read can be written and read again.
func FuzzBytes(f *testing.F) {
	for _, s := range []string{"512MiB", "1.5GB", "-1", "99999999999999999999", "10 GB", "b", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var b, again config.Bytes
		if b.EnvDecode(text) != nil {
			return
		}
		if err := again.EnvDecode(b.String()); err != nil || again != b || b < 0 {
			t.Fatalf("%q = %d, again %d, %v", text, b, again, err)
		}
	})
}
