package job

import "time"

// A CallbackState says how far the delivery of a callback is.
type CallbackState string

// The states of a delivery. It moves after the job's end, so it is not part of
// the job's snapshot.
const (
	CallbackWaiting   CallbackState = "waiting"   // the job has not ended
	CallbackPending   CallbackState = "pending"   // due, under way, or to be tried again
	CallbackDelivered CallbackState = "delivered" // the receiver took it
	CallbackFailed    CallbackState = "failed"    // given up
)

// A Callback is a job's webhook and how its delivery goes.
type Callback struct {
	URL      string        `json:"url"`
	State    CallbackState `json:"state"`
	Attempts int           `json:"attempts"` // whose outcome is known
	// NextAttemptAt is set between two attempts.
	NextAttemptAt *time.Time `json:"next_attempt_at,omitempty"`
	LastAttemptAt *time.Time `json:"last_attempt_at,omitempty"`
	// LastStatus is the HTTP status of the last attempt; 0 if there was no answer.
	LastStatus int `json:"last_status,omitempty"`
	// LastError is the code of what was wrong with the last attempt: one of
	// package webhook's, "" after a good one.
	LastError   string     `json:"last_error,omitempty"`
	DeliveredAt *time.Time `json:"delivered_at,omitempty"`
	GaveUpAt    *time.Time `json:"gave_up_at,omitempty"`
	// Tries are the newest attempts, oldest first.
	Tries []CallbackTry `json:"tries,omitempty"`
}

// A CallbackTry is one attempt to deliver a callback.
type CallbackTry struct {
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt"`
	Status  int       `json:"status,omitempty" doc:"HTTP's; absent: there was no answer"`
	Error   string    `json:"error,omitempty" doc:"as last_error; absent: the receiver took it"`
	Answer  string    `json:"answer,omitempty" doc:"the first 256 bytes of what the receiver said, control characters as escapes"`
}
