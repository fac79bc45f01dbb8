package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"longshore/internal/printable"
	"longshore/internal/receiver"
	"longshore/internal/tracing"
)

// Limits of one attempt.
const (
	findTimeout    = 5 * time.Second  // of the name's resolution
	attemptTimeout = 15 * time.Second // from then to the end of the answer
	dialTimeout    = 10 * time.Second
	saidMost       = 256      // bytes of an answer that are kept
	maxAnswer      = 64 << 10 // bytes read of an answer, and of its header
)

// A Code says what was wrong with an attempt.
type Code string

// The codes of a failed attempt.
const (
	// no such host, no public address, a barred port: no more attempts
	CodeAddress    Code = "address_refused"
	CodeDNS        Code = "dns_error"        // the host could not be looked up
	CodeTLS        Code = "tls_error"        // no good certificate, or no TLS
	CodeConnection Code = "connection_error" // refused, or broken off
	CodeTimeout    Code = "timeout"          // no whole answer within 15 s
	CodeRedirect   Code = "redirect"         // 3xx: it is not followed
	CodeStatus     Code = "http_status"      // any other status but 2xx
	CodeGone       Code = "gone"             // 410: no more attempts
	CodeURL        Code = "invalid_url"
)

// A Result is how one attempt ended. Code is "" if the receiver took it.
type Result struct {
	Status     int    // HTTP's; 0 = no answer
	Answer     string // the begin of what it said, fit for people
	Code       Code
	RetryAfter time.Duration // as the receiver wishes; 0 = no wish
	Err        error         // for the log; nil where Status says all
}

// A Sender signs and posts. It is safe for concurrent use.
type Sender struct {
	signer signer
	guard  *guard
	client *http.Client
}

// Config of a Sender. It needs Secrets or Keys, or Unsigned.
type Config struct {
	// Unsigned says that nothing is signed: for receivers that know no signatures.
	Unsigned bool
	// Secrets, one or two of the form whsec_<base64> of 24 to 64 bytes, sign for all
	// receivers alike.
	Secrets []string
	// Keys, one or two texts of at least 32 bytes, give each receiver a secret and a
	// key pair of its own: see Derive.
	Keys []string
	// Allow lists places beyond public addresses that may be posted to: networks,
	// addresses, hosts, the last two also with a port.
	Allow []string
	// Ports lists barred ports that may be posted to.
	Ports []uint16
	// Resolver finds the addresses of names; nil = the system's.
	Resolver Resolver
}

// NewSender returns a sender.
func NewSender(c Config) (*Sender, error) {
	var s signer
	if !c.Unsigned {
		var err error
		if s, err = newSigner(c.Secrets, c.Keys); err != nil {
			return nil, err
		}
	}
	g, err := newGuard(c.Allow, c.Ports...)
	if err != nil {
		return nil, err
	}
	if c.Resolver != nil {
		g.resolver = c.Resolver
	}
	return &Sender{signer: s, guard: g, client: &http.Client{
		Transport: &http.Transport{
			// No proxy: it would resolve names behind the guard's back.
			DialContext:            g.dial,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // so that the limit holds for what is read
			TLSHandshakeTimeout:    dialTimeout,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    perHost,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
			// A connection that has died is noticed, and not used for the next attempt.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// CloseIdleConnections closes the connections that no attempt uses.
func (s *Sender) CloseIdleConnections() { s.client.CloseIdleConnections() }

// Find returns the addresses that an attempt would connect to; a code says why
// there is to be none.
func (s *Sender) Find(ctx context.Context, to string) ([]netip.Addr, Result) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	u, err := url.Parse(to)
	if err != nil || u.Host == "" {
		return nil, Result{Code: CodeURL} // err tells the URL
	}
	at, err := s.guard.find(ctx, receiver.Host(u.Hostname()), receiver.Port(u))
	if err != nil {
		return nil, failure(err)
	}
	return at, Result{}
}

// Post makes one attempt at addresses that Find has found. id names the message, the
// same for each attempt.
func (s *Sender) Post(ctx context.Context, id, to string, at []netip.Addr, body []byte) Result {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, found{}, at), attemptTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return Result{Code: CodeURL} // err tells the URL
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "longshore-webhook/1")
	if trace := tracing.From(ctx); trace != "" {
		request.Header.Set(tracing.Header, trace)
	}
	now := time.Now()
	s.signer.sign(request.Header, request.URL, id, now, body)
	answer, err := s.client.Do(request)
	if err != nil {
		return failure(err)
	}
	defer answer.Body.Close()
	// Read so that the connection can be used again. What it says first is shown to who sees the job.
	said := make([]byte, saidMost)
	n, err := io.ReadFull(answer.Body, said)
	if err == nil {
		_, err = io.CopyN(io.Discard, answer.Body, maxAnswer)
	}
	if err != nil && ctx.Err() != nil {
		return failure(err)
	}
	result := Result{Status: answer.StatusCode, Answer: answerOf(said[:n])}
	switch status := answer.StatusCode; {
	case status >= 200 && status < 300:
		return result
	case status == http.StatusGone:
		result.Code = CodeGone
	case status >= 300 && status < 400:
		result.Code = CodeRedirect
	default:
		result.Code = CodeStatus
	}
	result.RetryAfter = retryAfter(answer.Header.Get("Retry-After"), now)
	return result
}

// answerOf is what a receiver said, fit for people.
func answerOf(said []byte) string {
	text := printable.Line(strings.ToValidUTF8(strings.TrimSpace(string(said)), "?"))
	for len(text) > saidMost {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// failure names what went wrong before there was an answer.
func failure(err error) Result {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the URL, which may hold a secret
	}
	result := Result{Code: CodeConnection, Err: err}
	var timeout net.Error
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, ErrAddress):
		result.Code = CodeAddress
	case errors.As(err, &dns):
		result.Code = CodeDNS
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		result.Code = CodeTimeout
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &certificate), errors.As(err, &record),
		errors.As(err, &alert), errors.As(err, &unknown):
		result.Code = CodeTLS
	}
	return result
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3); what is neither is no wish.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
