package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"

	"longshore/internal/httpapi"
)

// How long the head of an answer may take where nothing else is said. An
// upload's answer may take as long as the upload; see body.
const answerTimeout = 30 * time.Second

// maxAnswer is the most we read of a JSON answer, in bytes: a full page of
// jobs with the largest results.
const maxAnswer = 128 << 20

// A call is one request, which may be sent several times.
type call struct {
	method string
	path   string // with its parameters escaped, as httpapi builds it
	query  url.Values
	header http.Header
	body   *body         // nil = none
	safe   bool          // a repeat does no harm
	limit  time.Duration // until the head of the answer is there; 0 = answerTimeout, or none with a body
	known  bool          // the server knows what is asked for: worth more patience
	// resumes says that it is about an upload in pieces: see resumable.
	resumes bool
	stall   time.Duration // how long no byte of the body may go; 0 = for ever
}

// get returns the call of a read.
func get(path string, query url.Values) call {
	return call{method: http.MethodGet, path: path, query: query, safe: true}
}

// withJSON is the call with a body in JSON, whose texts have the size that they have: no < becomes \u003c.
func (c call) withJSON(body any) (call, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return call{}, err
	}
	c.header = http.Header{"Content-Type": {httpapi.TypeJSON}}
	c.body = newBody(bytes.NewReader(text.Bytes()), int64(text.Len()))
	return c, nil
}

// exchange sends the call and decodes the JSON answer into out.
func (c *Client) exchange(ctx context.Context, call call, out any) (http.Header, error) {
	p := c.newPatience()
	for {
		header, err := c.exchangeOnce(ctx, call, out)
		if err == nil {
			return header, nil
		}
		if err = p.pause(ctx, call, err); err != nil {
			return nil, err
		}
	}
}

func (c *Client) exchangeOnce(ctx context.Context, call call, out any) (http.Header, error) {
	reading, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, done, err := c.send(reading, call)
	if err != nil {
		return nil, err
	}
	defer done()
	timer := time.AfterFunc(answerTimeout, func() {
		cancel(fmt.Errorf("half an answer within %v", answerTimeout))
	})
	defer timer.Stop()
	if resp.StatusCode == http.StatusNoContent {
		return resp.Header, nil
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind != httpapi.TypeJSON {
		return nil, fmt.Errorf("%w (HTTP %d, %s)", ErrForeign, resp.StatusCode, orNone(kind))
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		if cause := context.Cause(reading); cause != nil {
			err = cause
		}
		return nil, c.unreachable(ctx, call, err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrForeign, err)
	}
	return resp.Header, nil
}

// send sends the call once and returns a success's answer with its body open.
// done closes the answer and ends the call; afterwards nobody reads its input.
func (c *Client) send(ctx context.Context, call call) (answer *http.Response, done func(), err error) {
	sending, cancel := context.WithCancelCause(ctx)
	var resp *http.Response
	end := func() {
		if resp != nil {
			resp.Body.Close() // only then the transport lets go of an input that was not asked for
		}
		cancel(nil)
		if call.body != nil {
			call.body.settle(ctx)
		}
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	req, err := c.request(sending, call)
	if err != nil {
		return nil, nil, err
	}
	limit := call.limit
	if limit == 0 && call.body == nil {
		limit = answerTimeout
	}
	if limit > 0 {
		timer := time.AfterFunc(limit, func() { cancel(fmt.Errorf("no answer within %v", limit)) })
		defer timer.Stop()
	}
	if call.stall > 0 {
		timer := time.AfterFunc(call.stall, func() {
			cancel(fmt.Errorf("nothing went or came for %v", call.stall))
		})
		defer timer.Stop()
		call.body.last.moved = func() { timer.Reset(call.stall) }
	}
	resp, err = c.http.Do(req)
	if err != nil {
		if cause := context.Cause(sending); cause != nil && ctx.Err() == nil {
			err = cause
		}
		return nil, nil, c.unreachable(ctx, call, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, nil, refusal(resp)
	}
	return resp, end, nil
}

func (c *Client) request(ctx context.Context, call call) (*http.Request, error) {
	target := c.base.String() + call.path
	if len(call.query) > 0 {
		target += "?" + call.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, call.method, target, nil)
	if err != nil {
		return nil, fmt.Errorf("%s %s: bad address", call.method, call.path)
	}
	for name, values := range call.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", userAgent)
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", httpapi.TypeJSON+", "+httpapi.TypeProblem)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if call.body != nil {
		if err := call.body.attach(req); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// unreachable is the error of a request that got no answer, or half of one.
// It leaves the query out, which holds the payload.
func (c *Client) unreachable(ctx context.Context, call call, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", call.method, call.path, context.Cause(ctx))
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if call.body != nil && call.body.failed() != nil {
		return fmt.Errorf("read the input: %w", call.body.failed())
	}
	e := httpapi.NewError(Unavailable, fmt.Sprintf("%s: %v", c.base.Redacted(), err)).Wrap(err)
	e.Status, e.Title = 0, ""
	return e
}

// Pauses between tries grow from minPause to maxPause, each drawn at random
// from the upper half.
const (
	minPause = 200 * time.Millisecond
	maxPause = 4 * time.Second
)

// knownPatience is by how much longer we try for a job that was seen: a wait of
// hours should not end with a server's bad minute.
const knownPatience = 8

// A patience decides whether to try again.
type patience struct {
	c     *Client
	first time.Time // of the present row of failures; zero = none
	tries int
}

func (c *Client) newPatience() *patience { return &patience{c: c} }

// reset forgets the failures: a good answer came.
func (p *patience) reset() { p.first, p.tries = time.Time{}, 0 }

// pause waits before the next try of a call that failed with err. It returns
// nil when there is to be one, and otherwise the error to report.
func (p *patience) pause(ctx context.Context, call call, err error) error {
	var refused *Error
	if ctx.Err() != nil || !errors.As(err, &refused) || hopeless(err) {
		return err
	}
	if passes := refused.Status == 0 || transient(refused.Status) || call.resumes &&
		resumable(refused.Status); !passes || refused.Code == StoreReset { // that ends by an operator alone
		return err
	}
	if !call.safe || (call.body != nil && !call.body.again()) {
		return err
	}
	now := time.Now()
	if p.first.IsZero() {
		p.first = now
	}
	wait := min(minPause<<min(p.tries, 10), maxPause)
	wait = wait/2 + rand.N(wait/2)
	if refused.RetryAfter > 0 {
		wait = httpapi.Spread(refused.RetryAfter)
	}
	limit := p.c.retryFor
	if call.known {
		limit *= knownPatience
	}
	if now.Add(wait).Sub(p.first) > limit {
		return err
	}
	p.tries++
	p.c.onRetry(err, wait)
	if p.c.sleep(ctx, wait) != nil {
		return fmt.Errorf("%s %s: %w", call.method, call.path, context.Cause(ctx))
	}
	return nil
}

// hopeless reports whether a server can't be reached for a reason that does not pass.
func hopeless(err error) bool {
	var name *net.DNSError
	var cert *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	return errors.As(err, &name) && name.IsNotFound || errors.As(err, &cert) || errors.As(err, &plain)
}
