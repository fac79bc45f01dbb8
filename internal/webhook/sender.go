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
	"net/url"
	"strconv"
	"time"
)

// Limits of one attempt.
const (
	attemptTimeout = 15 * time.Second // from the name's resolution to the end of the answer
	dialTimeout    = 10 * time.Second
	maxAnswer      = 64 << 10 // bytes read of an answer, and of its header
)

// A Code says what was wrong with an attempt.
type Code string

// The codes of a failed attempt.
const (
	CodeAddress    Code = "address_refused"  // not a public address, and not in CALLBACK_ALLOW
	CodeDNS        Code = "dns_error"        // the host has no address
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
	Status     int // HTTP's; 0 = no answer
	Code       Code
	RetryAfter time.Duration // as the receiver wishes; 0 = no wish
	Err        error         // for the log; nil where Status says all
}

// A Sender signs and posts. It is safe for concurrent use.
type Sender struct {
	signer signer
	client *http.Client
}

// NewSender returns a sender that signs with one or two secrets
// ("whsec_<base64>" of 24 to 64 bytes) and posts to public addresses only, but
// for those that allow names: networks, addresses, hosts, each also with a port.
func NewSender(secrets, allow []string) (*Sender, error) {
	s, err := newSigner(secrets)
	if err != nil {
		return nil, err
	}
	if len(s.keys) == 0 {
		return nil, errors.New("no webhook secret")
	}
	g, err := newGuard(allow)
	if err != nil {
		return nil, err
	}
	return &Sender{signer: s, client: &http.Client{
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

// Post makes one attempt. id names the message, the same for each attempt.
func (s *Sender) Post(ctx context.Context, id, to string, body []byte) Result {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return Result{Code: CodeURL} // err tells the URL
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "longshore-webhook/1")
	now := time.Now()
	s.signer.sign(request.Header, id, now, body)
	answer, err := s.client.Do(request)
	if err != nil {
		return failure(err)
	}
	defer answer.Body.Close()
	// Read so that the connection can be used again; what it says is nobody's business.
	if _, err := io.CopyN(io.Discard, answer.Body, maxAnswer); err != nil && ctx.Err() != nil {
		return failure(err)
	}
	result := Result{Status: answer.StatusCode}
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
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		result.Code = CodeTimeout
	case errors.As(err, &dns):
		result.Code = CodeDNS
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &alert), errors.As(err, &unknown):
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
