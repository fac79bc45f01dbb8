package answer

import (
	"errors"
	"net/http"
	"time"

	"longshore/internal/printable"
	"longshore/job"
)

// A Code is the stable name of a reason why a request was refused.
type Code string

// The error codes of a request.
const (
	Invalid             Code = "invalid"
	NotFound            Code = "not_found"
	Conflict            Code = "conflict"
	AlreadyRetried      Code = "already_retried"
	AlreadyStarted      Code = "already_started"
	InputGone           Code = "input_gone"
	PreconditionFailed  Code = "precondition_failed"
	Duplicate           Code = "duplicate"
	IdempotencyMismatch Code = "idempotency_mismatch"
	Unauthorized        Code = "unauthorized"
	TokenExpired        Code = "token_expired"
	Forbidden           Code = "forbidden"
	StepUp              Code = "step_up"
	TooLarge            Code = "too_large"
	Unsupported         Code = "unsupported"
	RateLimited         Code = "rate_limited"
	QueueFull           Code = "queue_full"
	TooManyQueues       Code = "too_many_queues"
	Lost                Code = "lost"
	AlreadyFinished     Code = "already_finished"
	OutputMismatch      Code = "output_mismatch"
	BatchClosed         Code = "batch_closed"
	StoreFull           Code = "store_full"
	StoreReset          Code = "store_reset"
	Unavailable         Code = "unavailable"
	Internal            Code = "internal"
)

// A Pointer names one wrong place in a request.
type Pointer struct {
	Pointer string `json:"pointer"` // JSON Pointer (RFC 6901), or "?name" for a query parameter
	Detail  string `json:"detail"`
}

// MaxPointers is how many wrong places of a request are told: what is refused must
// not make an answer that is larger than the request.
const MaxPointers = 20

// An Error is the one form in which a refused request travels: from the submitter
// to the edge, over HTTP as problem+json (RFC 9457), and back out of the
// client. What it holds is safe to show; the cause is for the log only.
type Error struct {
	Code       Code          `json:"code"`
	Status     int           `json:"status"`
	Title      string        `json:"title"`
	Detail     string        `json:"detail,omitempty"`
	Errors     []Pointer     `json:"errors,omitempty"`
	Job        job.ID        `json:"job,omitempty" doc:"the job that is the retry, with already_retried; that has the key, with duplicate"`
	Operation  string        `json:"operation,omitempty" doc:"the operation that does the same already, with conflict"`
	RetryAfter time.Duration `json:"-"` // sent as the header, in whole seconds

	cause error
}

// statuses is the one table from codes to HTTP.
var statuses = map[Code]int{
	Invalid: http.StatusUnprocessableEntity, NotFound: http.StatusNotFound, Conflict: http.StatusConflict,
	AlreadyRetried: http.StatusConflict, BatchClosed: http.StatusConflict,
	AlreadyStarted: http.StatusConflict, InputGone: http.StatusUnprocessableEntity,
	PreconditionFailed:  http.StatusPreconditionFailed,
	Duplicate:           http.StatusConflict,
	IdempotencyMismatch: http.StatusUnprocessableEntity, Unauthorized: http.StatusUnauthorized,
	TokenExpired: http.StatusUnauthorized, Forbidden: http.StatusForbidden, StepUp: http.StatusForbidden,
	TooLarge: http.StatusRequestEntityTooLarge, Unsupported: http.StatusUnsupportedMediaType,
	RateLimited: http.StatusTooManyRequests, QueueFull: http.StatusTooManyRequests,
	TooManyQueues: http.StatusUnprocessableEntity, Lost: http.StatusConflict,
	AlreadyFinished: http.StatusConflict, OutputMismatch: http.StatusConflict,
	StoreFull:   http.StatusServiceUnavailable,
	StoreReset:  http.StatusServiceUnavailable,
	Unavailable: http.StatusServiceUnavailable, Internal: http.StatusInternalServerError,
}

// NewError returns an error with the code's usual status.
func NewError(code Code, detail string) *Error {
	status := statuses[code]
	return &Error{Code: code, Status: status, Title: http.StatusText(status), Detail: detail}
}

// WithStatus sets another status than the code's usual one: malformed JSON is
// 400 invalid, a wrong method 405 unsupported.
func (e *Error) WithStatus(status int) *Error {
	e.Status, e.Title = status, http.StatusText(status)
	return e
}

// WithRetryAfter says when to come back.
func (e *Error) WithRetryAfter(after time.Duration) *Error {
	e.RetryAfter = after
	return e
}

// Wrap notes the cause for the log.
func (e *Error) Wrap(cause error) *Error {
	e.cause = cause
	return e
}

// Error is fit for a terminal: what a server says of a request may quote it.
func (e *Error) Error() string {
	text := string(e.Code)
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	for _, p := range e.Errors {
		text += "; " + p.Pointer + " " + p.Detail
	}
	return printable.Text(text)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// AsError returns err as an Error; one that is none becomes code internal.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return NewError(Internal, "").Wrap(err)
}
