//go:build linux

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// TestCallbackResend sends a callback once more that its receiver gave up, one that it took, and many; each
// try is told with what the receiver said.
func TestCallbackResend(t *testing.T) {
	t.Parallel()
	in := install(t, signing, allowing)
	_, site := in.web(t)
	in.worker(t)
	c := clientOf(t, site)
	env := append(in.env[:len(in.env):len(in.env)], "LONGSHORE_URL="+site)
	s := newSink(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 0 {
			w.WriteHeader(http.StatusGone)
			_, _ = w.Write([]byte("\x1b[2Jnobody lives here\n" + strings.Repeat("x", 10_000)))
			return
		}
		_, _ = w.Write([]byte("thanks"))
	})
	id := primes(t, c, s.URL)
	first := s.next(t, 90*time.Second)
	awaitCallback(t, c, id, func(cb job.Callback) bool { return cb.State == job.CallbackFailed })
	if cb, err := c.ResendCallback(t.Context(), id); err != nil || cb.URL != s.URL {
		t.Errorf("%+v, %v", cb, err)
	}
	if again := s.next(t, 90*time.Second); again.header.Get("Webhook-Id") != first.header.Get("Webhook-Id") ||
		string(again.body) != string(first.body) {
		t.Errorf("another message: %v %s", again.header, again.body)
	}
	awaitCallback(t, c, id, delivered)
	code, out, stderr := call(t, "", env, "enqueue", "callback", "resend", string(id))
	if code != 0 {
		t.Errorf("%d %s %s", code, out, stderr)
	}
	s.next(t, 90*time.Second)
	without := submit(t, c, primesOf(3, nil))
	wait(t, c, without.ID)
	awaitCallback(t, c, id, delivered)
	code, out, stderr = call(t, "", env, "enqueue", "callback", "resend", "--state", "succeeded", "--yes",
		"--format", "json")
	if code != 0 || !strings.Contains(out, `"moved": 1`) || !strings.Contains(out, `"no_callback": 1`) {
		t.Errorf("many: %d %s %s", code, out, stderr)
	}
	s.next(t, 90*time.Second)
	awaitCallback(t, c, id, func(cb job.Callback) bool { return delivered(cb) && cb.Attempts == 4 })
	cb, err := c.Callback(t.Context(), id)
	if err != nil || len(cb.Tries) != 4 || cb.Tries[0].Status != 410 || cb.Tries[0].Error != "gone" ||
		!strings.Contains(cb.Tries[0].Answer, "nobody lives here") || len(cb.Tries[0].Answer) > 256 ||
		strings.Contains(cb.Tries[0].Answer, "\x1b") || cb.Tries[3].Answer != "thanks" || cb.Tries[3].Error != "" {
		t.Errorf("%+v, %v", cb, err)
	}
	if code, out, _ = call(t, "", env, "enqueue", "callback", "show", string(id)); code != 0 ||
		!strings.Contains(out, "thanks") {
		t.Errorf("%d %s", code, out)
	}
	r := request(t, "GET", site+httpapi.JobPath(id)+"/timeline", nil)
	for _, want := range []string{"HTTP 410 ", "HTTP 200 thanks", `"callback_resend"`, `"by":"open"`} {
		if !strings.Contains(string(r.body), want) {
			t.Errorf("no %s in its story: %s", want, r.body)
		}
	}
	if r := request(t, "POST", site+httpapi.ResendPath(without.ID), nil); r.StatusCode != 404 {
		t.Errorf("without a callback: %d %s", r.StatusCode, r.body)
	}
}
