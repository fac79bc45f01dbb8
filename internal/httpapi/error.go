package httpapi

import (
	"math/rand/v2"
	"strings"
	"time"

	"longshore/answer"
)

// How a request is refused.
type (
	Code    = answer.Code
	Pointer = answer.Pointer
	Error   = answer.Error
)

// The error codes of a request.
const (
	Invalid             = answer.Invalid
	NotFound            = answer.NotFound
	Conflict            = answer.Conflict
	AlreadyRetried      = answer.AlreadyRetried
	AlreadyStarted      = answer.AlreadyStarted
	InputGone           = answer.InputGone
	PreconditionFailed  = answer.PreconditionFailed
	Duplicate           = answer.Duplicate
	IdempotencyMismatch = answer.IdempotencyMismatch
	Unauthorized        = answer.Unauthorized
	TokenExpired        = answer.TokenExpired
	Forbidden           = answer.Forbidden
	StepUp              = answer.StepUp
	TooLarge            = answer.TooLarge
	Unsupported         = answer.Unsupported
	RateLimited         = answer.RateLimited
	QueueFull           = answer.QueueFull
	TooManyQueues       = answer.TooManyQueues
	Lost                = answer.Lost
	AlreadyFinished     = answer.AlreadyFinished
	OutputMismatch      = answer.OutputMismatch
	BatchClosed         = answer.BatchClosed
	StoreFull           = answer.StoreFull
	StoreReset          = answer.StoreReset
	Unavailable         = answer.Unavailable
	Internal            = answer.Internal
)

// MaxPointers is how many wrong places of a request are told.
const MaxPointers = answer.MaxPointers

// NewError returns an error with the code's usual status.
func NewError(code Code, detail string) *Error { return answer.NewError(code, detail) }

// NotValid says which places of a request are wrong: the first ones, see MaxPointers.
func NotValid(places ...Pointer) *Error {
	e := NewError(Invalid, "the request is not valid")
	e.Errors = places[:min(len(places), MaxPointers)]
	return e
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// EscapePointer writes a name as a part of a JSON Pointer (RFC 6901).
func EscapePointer(name string) string { return pointerEscapes.Replace(name) }

// Spread is how long to wait where a refusal says Retry-After: up to a quarter longer, as others were told
// the same.
func Spread(retryAfter time.Duration) time.Duration { return retryAfter + rand.N(retryAfter/4+1) }

// InvalidAt says that one place of a request is wrong.
func InvalidAt(pointer, detail string) *Error {
	return NotValid(Pointer{Pointer: pointer, Detail: detail})
}

// NoSuchJob is what is said of a job that isn't there, and of one that is not for who asks.
func NoSuchJob() *Error {
	return NewError(NotFound, "there is no such job, or its retention is over")
}

// StoreWasReset is what is said of a job that isn't there while it may be one that Redis has lost.
func StoreWasReset() *Error {
	return NewError(StoreReset, "the job store came back without some of its jobs, and this may be one of them").
		WithRetryAfter(time.Minute)
}

// AsError returns err as an Error; one that is none becomes code internal.
func AsError(err error) *Error { return answer.AsError(err) }
