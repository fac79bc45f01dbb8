package webhook

import (
	"math/rand/v2"
	"time"

	"longshore/internal/jobstore"
)

// The schedule of attempts: the second comes 2 s after the first, each further
// pause is three times as long, up to 4 h, and each is up to a fifth shorter or
// longer. The eleventh and last comes about nine and a half hours after the first.
const (
	maxAttempts = 11
	firstPause  = 2 * time.Second
	pauseFactor = 3
	maxPause    = 4 * time.Hour
)

// pause is the time after an attempt, counted from 1, without jitter.
func pause(attempt int) time.Duration {
	d := firstPause
	for range attempt - 1 {
		if d *= pauseFactor; d >= maxPause {
			return maxPause
		}
	}
	return d
}

// jittered is d, up to a fifth shorter or longer.
func jittered(d time.Duration) time.Duration { return d*4/5 + rand.N(d*2/5+1) }

// Again says whether an attempt, counted from 1, that ended so is followed by another one, and when.
func Again(attempt int, r Result) (delay time.Duration, again bool) {
	switch {
	case r.Code == "", r.Code == CodeGone, r.Code == CodeURL, r.Code == CodeAddress, attempt >= maxAttempts:
		return 0, false
	}
	// A receiver may ask for more time, not for less, and not for ever.
	return max(jittered(pause(attempt)), min(r.RetryAfter, maxPause)), true
}

// settle says what follows from an attempt.
func settle(c jobstore.CallbackClaim, r Result) jobstore.CallbackSettlement {
	s := jobstore.CallbackSettlement{Claim: c, Status: r.Status, Code: string(r.Code),
		Answer: r.Answer}
	delay, again := Again(c.Attempts+1, r)
	switch {
	case r.Code == "":
		s.Outcome = jobstore.CallbackDelivered
	case again:
		s.Outcome, s.Delay = jobstore.CallbackRetry, delay
	default:
		s.Outcome = jobstore.CallbackFailed
	}
	return s
}
