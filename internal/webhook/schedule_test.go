package webhook

import (
	"io"
	"log"
	"testing"
	"time"

	"longshore/internal/jobstore"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func TestSchedule(t *testing.T) {
	t.Parallel()
	var sum time.Duration
	for attempt := 1; attempt < maxAttempts; attempt++ {
		d := pause(attempt)
		if before := pause(max(1, attempt-1)); attempt > 1 && d != min(pauseFactor*before, maxPause) {
			t.Errorf("pause %d is %v after %v", attempt, d, before)
		}
		for range 100 {
			if j := jittered(d); j < d*4/5 || j > d*6/5 {
				t.Fatalf("jitter makes %v of %v", j, d)
			}
		}
		sum += d
	}
	if pause(1) != 2*time.Second || sum < 9*time.Hour || sum > 10*time.Hour {
		t.Errorf("first pause %v, all %v", pause(1), sum)
	}
	if pause(1000) != maxPause {
		t.Errorf("pause 1000 is %v", pause(1000))
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		before      int
		r           Result
		want        jobstore.CallbackOutcome
		least, most time.Duration
	}{
		{0, Result{Status: 200}, jobstore.CallbackDelivered, 0, 0},
		{10, Result{Status: 204}, jobstore.CallbackDelivered, 0, 0},
		{0, Result{Status: 410, Code: CodeGone}, jobstore.CallbackFailed, 0, 0},
		{0, Result{Status: 500, Code: CodeStatus}, jobstore.CallbackRetry, 1600 * time.Millisecond,
			2400 * time.Millisecond},
		{0, Result{Status: 302, Code: CodeRedirect}, jobstore.CallbackRetry, 0, 3 * time.Second},
		{0, Result{Code: CodeTimeout}, jobstore.CallbackRetry, 0, 3 * time.Second},
		{0, Result{Code: CodeAddress}, jobstore.CallbackFailed, 0, 0},
		{0, Result{Code: CodeDNS}, jobstore.CallbackRetry, 0, 3 * time.Second},
		{9, Result{Code: CodeTimeout}, jobstore.CallbackRetry, 3 * time.Hour, 5 * time.Hour},
		{10, Result{Code: CodeTimeout}, jobstore.CallbackFailed, 0, 0},
		{0, Result{Status: 429, Code: CodeStatus, RetryAfter: time.Minute}, jobstore.CallbackRetry,
			time.Minute, time.Minute},
		{9, Result{Status: 503, Code: CodeStatus, RetryAfter: time.Minute}, jobstore.CallbackRetry,
			3 * time.Hour, 5 * time.Hour},
		{0, Result{Status: 503, Code: CodeStatus, RetryAfter: 1000 * time.Hour}, jobstore.CallbackRetry,
			maxPause, maxPause},
	} {
		got := settle(jobstore.CallbackClaim{Attempts: tt.before}, tt.r)
		if got.Outcome != tt.want || got.Delay < tt.least || got.Delay > tt.most ||
			got.Status != tt.r.Status || got.Code != string(tt.r.Code) {
			t.Errorf("%+v after %d: %+v", tt.r, tt.before, got)
		}
	}
}
