package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

var prefixForm = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

func (r *Redis) check(m *mistakes) {
	checkRedisURL(m, "REDIS_URL", r.URL)
	checkRedisURL(m, "REDIS_TLS_URL", r.TLSURL)
	if r.TLSURL.IsSet() {
		r.URL = r.TLSURL
	}
	if r.Ack != "" && r.Ack != Replicated {
		m.expect("ACK", Replicated+", or nothing")
	}
	within(m, "REDIS_MAX_CONNECTIONS", r.MaxConnections, 2, 10_000)
	if len(r.Prefix) > 32 || !prefixForm.MatchString(r.Prefix) {
		m.expect("PREFIX", "1 to 32 letters, digits or dashes")
	}
}

func checkRedisURL(m *mistakes, name string, u Secret) {
	if u.IsSet() && !redisURL(u.Reveal()) {
		m.expect(name, "redis://[user:password@]host:port[/db], rediss://…, unix:///path or "+
			"redis+sentinel://[user:password@]host:port,…/master-name[/db] or "+
			"redis+cluster://[user:password@]host:port,… (with special characters of the password percent-encoded)")
	}
}

func redisURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "redis", "rediss":
		return u.Opaque == ""
	case "redis+cluster", "rediss+cluster":
		return u.Host != "" && strings.Trim(u.Path, "/") == ""
	case "redis+sentinel", "rediss+sentinel":
		return u.Host != "" && strings.Trim(u.Path, "/") != ""
	case "unix":
		return strings.HasPrefix(u.Path, "/")
	}
	return false
}

// awsForm is what credentials are made of; a stray line break would break a header.
var awsForm = regexp.MustCompile(`^[!-~]+$`)

func (b *Blobs) check(m *mistakes) {
	inBucket := bucketURL(b.URL)
	if !inBucket && !fileURL(b.URL) {
		m.expect("BLOB_URL",
			"file:///absolute/folder (three slashes), file:folder for one in the working directory, "+
				"or s3://bucket/prefix?endpoint=https://host&region=name (without credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are for them)")
	}
	for _, v := range []struct {
		name   string
		value  string
		needed bool
	}{
		{"AWS_ACCESS_KEY_ID", b.KeyID.Reveal(), inBucket},
		{"AWS_SECRET_ACCESS_KEY", b.SecretKey.Reveal(), inBucket},
		{"AWS_SESSION_TOKEN", b.SessionToken.Reveal(), false},
		{"AWS_REGION", b.Region, false},
	} {
		switch {
		case v.value == "" && v.needed:
			m.add(v.name, "must be set for an s3:// BLOB_URL")
		case v.value != "" && !awsForm.MatchString(v.value):
			m.expect(v.name, "letters, digits and signs, without spaces or line breaks")
		}
	}
}

// bucketURL reports whether a text names a bucket; internal/blob/bucket reads it.
func bucketURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "s3" && u.Host != "" && u.User == nil && u.Fragment == ""
}

// fileURL reports whether a text names a folder; internal/connect reads it.
func fileURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "file" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Host != "" {
		return false
	}
	return u.Path != "" || u.Opaque != ""
}

func (j *Jobs) check(m *mistakes) {
	// A worker kills its runs 1 s before the end, and renews in a quarter.
	within(m, "LEASE", j.Lease, 4*time.Second, time.Hour)
	for _, secret := range j.CallbackSecrets() {
		if !webhookSecret(secret) {
			m.expect("CALLBACK_SECRETS",
				"whsec_ and 24 to 64 bytes in base64, as echo whsec_$(openssl rand -base64 32) prints one")
		}
	}
	if n := len(j.CallbackSecrets()); n > 2 || n == 0 && j.Callbacks.IsSet() {
		m.expect("CALLBACK_SECRETS", "one secret, or two separated by a comma")
	}
	for _, key := range j.CallbackKeys() {
		if len(key) < 32 {
			m.expect("CALLBACK_KEY", "at least 32 characters, as openssl rand -base64 32 prints them")
		}
	}
	if n := len(j.CallbackKeys()); n > 2 || n == 0 && j.CallbackKey.IsSet() {
		m.expect("CALLBACK_KEY", "one key, or two separated by a comma")
	}
	j.checkAlerts(m)
	// the most that a submission may ask for
	within(m, "RETENTION", j.Retention, time.Second, 366*24*time.Hour)
}

func (j *Jobs) checkAlerts(m *mistakes) {
	within(m, "ALERT_AGE", j.AlertAge, time.Second, 24*time.Hour)
	urls := j.AlertURLs()
	if len(urls) > 8 {
		m.expect("ALERT_URLS", "at most 8 URLs, separated by commas")
	}
	for _, text := range urls {
		plain, slack := strings.CutPrefix(text, "slack+")
		u, err := url.Parse(plain)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil ||
			strings.Contains(plain, "#") || len(plain) > 2048 {
			m.expect("ALERT_URLS", "http, https or slack+https URLs without user, password or fragment, "+
				"separated by commas; a comma within one as %2C")
		}
		if !slack && !j.Callbacks.IsSet() && !j.CallbackKey.IsSet() {
			m.add("ALERT_URLS", "CALLBACK_SECRETS or CALLBACK_KEY is missing, which signs what they get")
		}
	}
}

// webhookSecret reports whether a text is a secret of Standard Webhooks.
func webhookSecret(text string) bool {
	text, ok := strings.CutPrefix(text, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	return ok && err == nil && len(key) >= 24 && len(key) <= 64
}

func (h *HTTP) check(m *mistakes) {
	h.Memory.check(m)
	within(m, "PORT", h.Port, 0, 65535)
	within(m, "MAX_UPLOAD", h.MaxUpload, 1, 1<<60)
	within(m, "MAX_UPLOADS_PER_ADDRESS", h.MaxPerAddress, 0, 1_000_000)
	within(m, "MAX_OPEN_UPLOADS", h.MaxOpen, 0, 100_000_000)
	within(m, "MAX_OPEN_UPLOADS_PER_ADDRESS", h.AddressOpen, 0, 100_000_000)
	within(m, "MIN_UPLOAD_RATE", h.MinRate, 0, GiB)
	within(m, "UPLOAD_EXPIRY", h.UploadExpiry, time.Second, 8784*time.Hour)
	within(m, "MAX_WAIT", h.MaxWait, time.Second, time.Hour)
	within(m, "MAX_WAITERS", h.MaxWaiters, 1, 10_000_000)
	within(m, "MAX_WAITERS_PER_ADDRESS", h.AddressWaiters, 0, 10_000_000)
	within(m, "MAX_CONNECTIONS", h.MaxConns, 1, 10_000_000)
	within(m, "MAX_CONNECTIONS_PER_ADDRESS", h.AddressConns, 0, 10_000_000)
	within(m, "SCALE_TARGET", h.ScaleTarget, 100*time.Millisecond, time.Hour)
	if h.HireFireValue != "wanted" && h.HireFireValue != "latency" {
		m.expect("HIREFIRE_VALUE", "wanted or latency")
	}
	if h.HireFire.IsSet() && (!strong(h.HireFire.Reveal()) || !tokenForm.MatchString(h.HireFire.Reveal())) {
		m.expect("HIREFIRE_TOKEN", "a token of at least 24 letters and digits that nobody can guess")
	}
	h.Ceilings.check(m)
	within(m, "HSTS_MAX_AGE", h.HSTS, 0, 10*8784*time.Hour)
	checkToken(m, &h.Token, h.TokenFile)
	h.Access.check(m)
	if h.Access.Issuer != "" && !h.Closed() {
		m.add("JWT_ISSUER",
			"needs LONGSHORE_TOKEN or ACCESS_SECRET: an open installation asks nobody who he is")
	}
	if h.Access.Public != "" && !h.Closed() {
		m.add("PUBLIC_URL",
			"needs LONGSHORE_TOKEN or ACCESS_SECRET: an open installation asks nobody who he is")
	}
	if slices.Contains(h.CORSOrigins, "*") && !h.Closed() {
		m.add("CORS_ORIGINS",
			"* needs LONGSHORE_TOKEN or ACCESS_SECRET: without one, any page could use the server")
	}
	if name := tokenName(h.TokenFile); h.Token.IsSet() && !strong(h.Token.Reveal()) {
		m.expect(name,
			"a token of at least 24 characters that nobody can guess, as openssl rand -hex 32 prints one")
	}
}

func (a *Access) check(m *mistakes) {
	a.checkJWT(m)
	if a.Public != "" && !publicURL(a.Public) {
		m.expect("PUBLIC_URL", "https://host, or http://localhost:port for a trial, perhaps with a path")
	}
	a.checkOIDC(m)
	checkSecret(m, &a.Secret, a.SecretFile)
}

// checkSecret reads and checks ACCESS_SECRET.
func checkSecret(m *mistakes, secret *Secret, file string) {
	name := "ACCESS_SECRET"
	if file != "" {
		if secret.IsSet() {
			m.add(name, "is set and ACCESS_SECRET_FILE too; only one of them may be")
			return
		}
		name = "ACCESS_SECRET_FILE"
		text, err := readSmall(file)
		if err != nil {
			m.add(name, err.Error())
			return
		}
		if *secret = NewSecret(strings.TrimSpace(text)); !secret.IsSet() {
			m.add(name, "names an empty file")
			return
		}
	}
	for _, one := range split(secret.Reveal()) {
		if len(one) < 32 || !strong(one) {
			m.expect(name,
				"at least 32 characters that nobody can guess, as openssl rand -base64 32 prints them")
		}
	}
	if n := len(split(secret.Reveal())); n > 2 || n == 0 && secret.IsSet() {
		m.expect(name, "one secret, or two separated by a comma")
	}
}

// checkJWT checks the settings of another issuer's tokens.
func (a *Access) checkJWT(m *mistakes) {
	if a.Issuer != "" {
		if !keysURL(a.Issuer) {
			m.expect("JWT_ISSUER", "an https address, as the issuer writes it (http for this machine)")
		} else if len(a.Audience) == 0 {
			m.add("JWT_AUDIENCE", "must be set with JWT_ISSUER")
		}
	}
	if a.JWKS != "" && !keysURL(a.JWKS) {
		m.expect("JWT_JWKS_URL", "an https address (http for this machine)")
	}
	for name, claim := range map[string]string{"JWT_SUBJECT_CLAIM": a.Subject, "JWT_SCOPE_CLAIM": a.Scope,
		"JWT_TENANT_CLAIM": a.Tenant} {
		if (claim != "" || name != "JWT_TENANT_CLAIM") && (len(claim) > 200 || !claimForm.MatchString(claim)) {
			m.expect(name, "the name of a claim, or a JSON Pointer as /realm/roles")
		}
	}
	within(m, "JWT_MAX_LIFE", a.MaxLife, time.Minute, 7*24*time.Hour)
}

// checkOIDC checks the settings of an issuer by which people log in.
func (a *Access) checkOIDC(m *mistakes) {
	if a.OIDCIssuer == "" {
		for name, set := range map[string]bool{"OIDC_CLIENT_ID": a.OIDCClient != "",
			"OIDC_CLIENT_SECRET": a.OIDCSecret.IsSet(), "OIDC_CLIENT_SECRET_FILE": a.OIDCSecretFile != "",
			"OIDC_DOMAINS": a.OIDCDomains != nil, "OIDC_TRUST_MFA": a.OIDCTrustMFA} {
			if set {
				m.add(name, "needs OIDC_ISSUER")
			}
		}
		return
	}
	switch {
	case !keysURL(a.OIDCIssuer):
		m.expect("OIDC_ISSUER", "an https address, as the issuer writes it (http for this machine)")
	case a.Public == "":
		m.add("OIDC_ISSUER", "needs PUBLIC_URL: the issuer sends browsers back there")
	case a.OIDCClient == "":
		m.add("OIDC_CLIENT_ID", "must be set with OIDC_ISSUER")
	}
	if a.OIDCSecretFile == "" {
		return
	}
	text, err := readSmall(a.OIDCSecretFile)
	switch {
	case a.OIDCSecret.IsSet():
		m.add("OIDC_CLIENT_SECRET", "is set and OIDC_CLIENT_SECRET_FILE too; only one of them may be")
	case err != nil:
		m.add("OIDC_CLIENT_SECRET_FILE", err.Error())
	default:
		a.OIDCSecret = NewSecret(strings.TrimSpace(text))
	}
}

// publicURL reports whether browsers keep people's cookies for an address: for https alone, and
// for localhost.
func publicURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.Contains(u.Path, "//") ||
		!originHost.MatchString(u.Hostname()) && net.ParseIP(u.Hostname()) == nil {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && u.Hostname() == "localhost"
}

var claimForm = regexp.MustCompile(`^[A-Za-z0-9_.:/~-]+$`)

// keysURL reports whether keys may be fetched from an address.
func keysURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	near := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && near
}

func (c *Ceilings) check(m *mistakes) {
	most := defaultCeilings()
	within(m, "MAX_TIMEOUT", c.Timeout, time.Second, most.Timeout)
	within(m, "MAX_RETENTION", c.Retention, time.Second, most.Retention)
	within(m, "MAX_ATTEMPTS", c.Attempts, 1, most.Attempts)
	within(m, "MAX_JOBS", c.Jobs, 0, 1_000_000_000)
}

func (s *Space) check(m *mistakes) { within(m, "MIN_FREE_SPACE", s.MinFree, 0, 1<<60) }

func (w *Work) check(m *mistakes) {
	within(m, "CPU_CONCURRENCY", w.CPUConcurrency, 1, 1024)
	within(m, "STREAM_CONCURRENCY", w.StreamConcurrency, 1, 10_000)
	within(m, "CHILD_MEMORY", w.ChildMemory, 32*MiB, 1<<60)
	within(m, "MAX_OUTPUT", w.MaxOutput, 1, 1<<60)
	within(m, "MAX_LEFT_BEHIND", w.LeftBehind, 0, 10_000)
	within(m, "FUNCTIONS_WARM", w.FunctionsWarm, 0, 10_000)
	within(m, "FUNCTIONS_CACHE", w.FunctionsCache, 0, 1<<60)
	within(m, "SANDBOX_UID", w.SandboxUID, 0, 1<<31-20_000)
	within(m, "KILL_GRACE", w.KillGrace, 0, 2*time.Second)
}

func (m *Memory) check(all *mistakes) { within(all, "MEMORY_ALARM", m.Alarm, 0, 1<<60) }

func (r *Recycle) check(m *mistakes) {
	within(m, "WORKER_MAX_RSS", r.MaxRSS, 0, 1<<60)
	within(m, "WORKER_MAX_JOBS", r.MaxJobs, 0, 1<<31-1)
}

func (s *Stop) check(m *mistakes) {
	within(m, "SHUTDOWN_GRACE", s.Grace, time.Second, time.Hour)
}

func (s *Supervisor) check(m *mistakes) { within(m, "WATCHDOG_USEC", s.Watchdog, 0, 1<<52) }

func (s *Sockets) check(m *mistakes) {
	within(m, "LISTEN_FDS", s.FDs, 0, 1000)
	within(m, "LISTEN_PID", s.PID, 0, 1<<31-1)
}

func (l *Log) check(m *mistakes) {
	if l.Format != "text" && l.Format != "json" {
		m.expect("LOG_FORMAT", "text or json")
	}
}

func (t *Traces) check(m *mistakes) {
	if u, err := url.Parse(t.URL); t.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		m.expect("OTEL_EXPORTER_OTLP_ENDPOINT", "http://host:4318, or https://…")
	}
	within(m, "TRACE_RATE", t.Rate, 1, 1_000_000)
}

func (e *Enqueue) check(m *mistakes) {
	if e.URL == "" && !e.Redis.URL.IsSet() && !e.Redis.TLSURL.IsSet() {
		e.URL = "http://127.0.0.1:8080"
	}
	if e.URL != "" {
		u, err := url.Parse(e.URL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil ||
			u.RawQuery != "" || u.Fragment != "" {
			m.expect("LONGSHORE_URL",
				"an address like https://longshore.example.com, without a password (LONGSHORE_TOKEN is for that)")
		}
	}
	within(m, "MAX_UPLOAD", e.MaxUpload, 1, 1<<60)
	checkRedisURL(m, "ASYNQ_REDIS_URL", e.AsynqRedis)
	e.Ceilings.check(m)
	checkToken(m, &e.Token, e.TokenFile)
	checkSecret(m, &e.Sealing.Secret, e.Sealing.SecretFile)
}

// maxToken is the length limit of a token, in bytes: a header has to hold it.
const maxToken = 4 << 10

// tokenForm is what RFC 6750, section 2.1, allows in a header.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// A token is all that stands between the network and the jobs, and may be guessed
// at as fast as requests are answered.
const (
	minToken    = 24
	minDistinct = 8 // different characters: no row of x, no word again and again
)

func strong(token string) bool {
	distinct := map[rune]bool{}
	for _, c := range token {
		distinct[c] = true
	}
	return len(token) >= minToken && len(distinct) >= minDistinct
}

// tokenName is the variable that is to be changed.
func tokenName(file string) string {
	if file != "" {
		return "LONGSHORE_TOKEN_FILE"
	}
	return "LONGSHORE_TOKEN"
}

// checkToken reads the token from its file where there is one.
func checkToken(m *mistakes, token *Secret, file string) {
	name := tokenName(file)
	if file != "" {
		if token.IsSet() {
			m.add("LONGSHORE_TOKEN", "is set and LONGSHORE_TOKEN_FILE too; only one of them may be")
			return
		}
		text, err := readSmall(file)
		if err != nil {
			m.add(name, err.Error())
			return
		}
		if *token = NewSecret(strings.TrimSpace(text)); !token.IsSet() {
			m.add(name, "names an empty file")
			return
		}
	}
	if token.IsSet() && (len(token.Reveal()) > maxToken || !tokenForm.MatchString(token.Reveal())) {
		m.expect(name, "a token of letters, digits and -._~+/ (RFC 6750), at most 4096 of them")
	}
}

// readSmall reads a file that should be as small as a token. Its errors don't
// name the file: somebody may have put the token itself there.
func readSmall(file string) (string, error) {
	f, err := os.Open(file)
	if err == nil {
		defer f.Close()
		var b []byte
		if b, err = io.ReadAll(io.LimitReader(f, 2*maxToken)); err == nil {
			return string(b), nil
		}
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return "", fmt.Errorf("names a file that can't be read: %w", err)
}
