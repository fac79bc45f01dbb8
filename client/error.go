package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
)

// An Error is a refused request: a stable Code, the HTTP Status, a sentence in
// Detail, and in Errors each wrong place of what was sent. A server that can't
// be reached is an Error too, with code Unavailable and status 0.
type Error = answer.Error

// A Pointer names one wrong place in a request.
type Pointer = answer.Pointer

// A Code is the stable name of a reason why a request was refused.
type Code = answer.Code

// The codes of an Error.
const (
	Invalid             = answer.Invalid
	NotFound            = answer.NotFound
	Conflict            = answer.Conflict
	Duplicate           = answer.Duplicate
	IdempotencyMismatch = answer.IdempotencyMismatch
	Unauthorized        = answer.Unauthorized
	Forbidden           = answer.Forbidden
	StepUp              = answer.StepUp
	TooLarge            = answer.TooLarge
	Unsupported         = answer.Unsupported
	RateLimited         = answer.RateLimited
	QueueFull           = answer.QueueFull
	TooManyQueues       = answer.TooManyQueues
	BatchClosed         = answer.BatchClosed
	Lost                = answer.Lost
	AlreadyFinished     = answer.AlreadyFinished
	OutputMismatch      = answer.OutputMismatch
	StoreFull           = answer.StoreFull
	StoreReset          = answer.StoreReset
	Unavailable         = answer.Unavailable
	Internal            = answer.Internal
)

// ErrForeign says that what answered is not Longshore: an HTML page, a
// redirect, a proxy's error. Most often the URL is wrong.
var ErrForeign = errors.New("this is not Longshore's answer; check the server's URL")

// maxProblem is the most we read of an error's body, in bytes.
const maxProblem = 1 << 20

// refusal turns an answer that is no success into an error.
func refusal(resp *http.Response) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	after := retryAfter(resp.Header.Get("Retry-After"))
	if kind == httpapi.TypeProblem {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
		problem := &Error{}
		if err == nil && json.Unmarshal(text, problem) == nil && problem.Code != "" {
			problem.Status, problem.RetryAfter = resp.StatusCode, after
			return problem
		}
	}
	if kind == httpapi.TypeProblem && resp.Request != nil && resp.Request.Method == http.MethodHead {
		code, detail := headRefusal(resp.StatusCode)
		e := httpapi.NewError(code, detail).WithStatus(resp.StatusCode)
		e.RetryAfter = after
		return e
	}
	got := fmt.Sprintf("HTTP %d, %s", resp.StatusCode, orNone(kind))
	if transient(resp.StatusCode) {
		// Something in front of the server speaks for it: a router, a load balancer.
		e := httpapi.NewError(Unavailable, "no answer from the server behind this address: "+got)
		e.RetryAfter = after
		return e.WithStatus(resp.StatusCode)
	}
	if to, err := resp.Location(); err == nil && resp.StatusCode < 400 {
		to.RawQuery, to.Fragment = "", ""
		got += ", redirects to " + to.Redacted() +
			", which is followed for reads within one scheme, host and port only"
	}
	return fmt.Errorf("%w (%s)", ErrForeign, got)
}

// headRefusal words the refusal of a HEAD, which comes without a body.
func headRefusal(status int) (code Code, detail string) {
	switch status {
	case http.StatusUnauthorized:
		return Unauthorized, ""
	case http.StatusForbidden:
		return Forbidden, ""
	case http.StatusNotFound:
		return NotFound, "there is no such upload"
	case http.StatusGone:
		return NotFound, "the upload has ended, and its job with it"
	case http.StatusConflict, http.StatusLocked:
		return Conflict, "another request holds the upload"
	case http.StatusInternalServerError:
		return Internal, ""
	default:
		return Unavailable, http.StatusText(status)
	}
}

func orNone(kind string) string {
	if kind == "" {
		return "no content type"
	}
	return kind
}

// transient reports whether a status is likely to pass by itself.
func transient(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads the header's two forms (RFC 9110, section 10.2.3); 0 = none.
func retryAfter(text string) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, 86400)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
