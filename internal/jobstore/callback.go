package jobstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"longshore/internal/access"
	"longshore/internal/batch"
	"longshore/job"
)

// Fields of the hash of a callback:
//
//	u   url                         a   attempts whose outcome is known
//	c   number of the last claim    nx  next attempt
//	la  last attempt                ls  its HTTP status, 0 = none
//	le  its error code              s   delivered or failed, once it is over
//	e   when that was               d   how long it waits at most, for its next attempt or its claim (ms)
//	b   attempts before it was sent once more; pauses are reckoned from there
//	y<n> the n-th attempt, of the newest: "<ms> <status> <code, - of none> <what the receiver said>"
//
// The script that ends a job enters it in the zset of callbacks that are due;
// a claim moves it ahead in there by its lease; a settlement moves it to its
// next attempt or takes it out. So an ended job is in that zset or its
// callback is over, whoever dies in between.

// A CallbackClaim is a callback that this process may deliver, as long as its
// lease lasts.
type CallbackClaim struct {
	ID       job.ID
	URL      string
	Attempts int    // before this one
	Number   string // of the claim: its fence
}

// ClaimCallbacks takes callbacks that are due, at most limit. Those that are
// not settled when the lease ends are due again: a short one, for nobody knows of a
// claim whose answer is lost. HoldCallbacks makes it longer.
func (s *Store) ClaimCallbacks(ctx context.Context, limit int, lease time.Duration) ([]CallbackClaim, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	// From another partition each time: none is always the last to be looked at.
	parts := len(s.bases)
	first := rand.IntN(parts)
	var claims []CallbackClaim
	for k := range parts {
		left := limit - len(claims)
		if left <= 0 {
			break
		}
		reply, err := s.scripts.claim.Run(ctx, s.rdb, []string{s.bases[(first+k)%parts]}, ms(lease), left).
			Slice()
		if err != nil {
			return claims, fmt.Errorf("claim callbacks: %w", err)
		}
		for _, one := range reply {
			f, _ := one.([]any)
			if len(f) != 4 {
				continue
			}
			claims = append(claims, CallbackClaim{ID: job.FromRaw(text(f[0])), Number: fmt.Sprint(f[1]),
				URL:      text(f[2]),
				Attempts: int(integer(f[3]))})
		}
	}
	return claims, nil
}

// HoldCallbacks keeps claims for a lease from now on. What another one has claimed or
// settled meanwhile, and jobs that are gone, stay as they are without an error.
func (s *Store) HoldCallbacks(ctx context.Context, claims []CallbackClaim, lease time.Duration) error {
	calls := make([]*batch.Call, len(claims))
	for i, c := range claims {
		calls[i] = s.call(c.ID, c.Number, ms(lease))
	}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.hold, bulkSize, calls); err != nil {
		return fmt.Errorf("hold callbacks: %w", err)
	}
	return nil
}

// A CallbackOutcome is what became of a claimed callback.
type CallbackOutcome string

// The outcomes.
const (
	CallbackDelivered CallbackOutcome = "delivered"
	CallbackFailed    CallbackOutcome = "failed"  // for good
	CallbackRetry     CallbackOutcome = "retry"   // again after Delay
	CallbackRelease   CallbackOutcome = "release" // not tried; again after Delay
)

// A CallbackSettlement ends a claim.
type CallbackSettlement struct {
	Claim   CallbackClaim
	Outcome CallbackOutcome
	Delay   time.Duration // of retry and release
	Status  int           // HTTP's; 0 = none
	Code    string        // of the error; "" = none
	Answer  string        // what the receiver said, fit for people; of some bytes
}

// SettleCallbacks ends claims. It may be repeated; what another one has claimed
// or settled meanwhile, and jobs that are gone, stay as they are without an error.
func (s *Store) SettleCallbacks(ctx context.Context, settlements []CallbackSettlement) error {
	calls := make([]*batch.Call, len(settlements))
	for i, t := range settlements {
		calls[i] = s.call(t.Claim.ID, t.Claim.Number, string(t.Outcome), ms(t.Delay), t.Status, t.Code,
			t.Answer)
	}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.settle, bulkSize, calls); err != nil {
		return fmt.Errorf("settle callbacks: %w", err)
	}
	return nil
}

// Callback returns how far the delivery of a job's callback is. Errors:
// job.ErrNotFound, job.ErrNoCallback, job.ErrDamaged, or Redis's.
func (s *Store) Callback(ctx context.Context, id job.ID) (job.Callback, error) {
	return s.callback(ctx, access.Everything, id)
}

func (s *Store) callback(ctx context.Context, by access.View, id job.ID) (job.Callback, error) {
	c := s.callFor(by, id)
	if err := batch.RunAll(ctx, s.rdb, s.scripts.callback, 1, []*batch.Call{c}); err != nil {
		return job.Callback{}, err
	}
	if err := s.answered(ctx, id, c.Reply); err != nil {
		return job.Callback{}, err
	}
	flat, _ := c.Reply[2].([]any)
	f := newFields(flat)
	cb := job.Callback{URL: f.m["u"], State: job.CallbackWaiting, Attempts: int(f.num("a")),
		LastStatus: int(f.num("ls")), LastError: f.m["le"], NextAttemptAt: f.time("nx"),
		LastAttemptAt: f.time("la")}
	cb.Tries = triesOf(f.m, cb.Attempts)
	switch CallbackOutcome(f.m["s"]) {
	case CallbackDelivered:
		cb.State, cb.DeliveredAt = job.CallbackDelivered, f.time("e")
	case CallbackFailed:
		cb.State, cb.GaveUpAt = job.CallbackFailed, f.time("e")
	default:
		if job.State(text(c.Reply[1])).Terminal() {
			cb.State = job.CallbackPending
		}
	}
	if f.bad != "" || cb.URL == "" {
		return job.Callback{}, fmt.Errorf("callback of %s: field %s: %w", id, f.bad, job.ErrDamaged)
	}
	return cb, nil
}

// triesOf are the attempts of which something is kept, oldest first.
func triesOf(fields map[string]string, attempts int) []job.CallbackTry {
	var tries []job.CallbackTry
	for n := max(attempts-maxTries, 0) + 1; n <= attempts; n++ {
		parts := strings.SplitN(fields["y"+strconv.Itoa(n)], " ", 4)
		if len(parts) != 4 {
			continue // of a process of an older release
		}
		try := job.CallbackTry{At: time.UnixMilli(integer(parts[0])).UTC(), Attempt: n,
			Status: int(integer(parts[1])), Answer: parts[3]}
		if parts[2] != "-" {
			try.Error = parts[2]
		}
		tries = append(tries, try)
	}
	return tries
}

// Resend has the callback of a job that has ended sent once more; who is who asks. One that is still to be
// delivered is due now. Errors: job.ErrNotFound, job.ErrNoCallback, job.ErrNotEnded, job.ErrDamaged.
func (v Views) Resend(ctx context.Context, by access.View, id job.ID, who string) (job.Callback, error) {
	errs, err := v.s.resend(ctx, by, []job.ID{id}, who, "")
	if err == nil {
		err = v.s.missing(ctx, id, errs[0])
	}
	if err != nil {
		return job.Callback{}, err
	}
	return v.Callback(ctx, by, id)
}

// ResendMany has the callbacks of jobs sent once more that are in a state that the filter means. Each has an
// error of its own: nil, ErrMoved, or as Resend has them; err is Redis's. It may be repeated.
func (s *Store) ResendMany(ctx context.Context, ids []job.ID, by string, f job.Filter) ([]error, error) {
	return s.resend(ctx, ViewOf(f), ids, by, letters(f))
}

func (s *Store) resend(ctx context.Context, view access.View, ids []job.ID, by, letters string) ([]error,
	error) {
	calls, errs := make([]*batch.Call, len(ids)), make([]error, len(ids))
	for i, id := range ids {
		calls[i] = s.callFor(view, id, by, letters)
	}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.resend, bulkSize, calls); err != nil {
		return nil, err
	}
	for i, c := range calls {
		errs[i] = status(ids[i], c.Reply)
	}
	return errs, nil
}
