package web_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/access"
	"longshore/job"
)

// Callback answers for jobs by the callback URL of their submission.
func (s *store) Resend(ctx context.Context, by access.View, id job.ID, _ string) (job.Callback, error) {
	return s.Callback(ctx, by, id)
}

func (s *store) Callback(_ context.Context, by access.View, id job.ID) (job.Callback, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.seen(by, id); err != nil {
		return job.Callback{}, err
	}
	for _, r := range s.reqs {
		if r.ID == id && r.CallbackURL != "" {
			return job.Callback{URL: r.CallbackURL, State: job.CallbackPending, Attempts: 2, LastStatus: 503,
				LastError: "http_status"}, nil
		}
	}
	return job.Callback{}, job.ErrNoCallback
}

// TestCallbackURL submits in each form and looks the delivery up.
func TestCallbackURL(t *testing.T) {
	t.Parallel()
	const url = "https://a.example/hook?x=1"
	for name, submit := range map[string]func(b *bench, id job.ID) reply{
		"JSON": func(b *bench, id job.ID) reply {
			return b.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":1},"callback_url":"`+url+`"}`,
				"Content-Type", "application/json", "Longshore-Job", string(id))
		},
		"query": func(b *bench, id job.ID) reply {
			return b.do("POST", "/v1/jobs/file.checksum?callback_url=https%3A%2F%2Fa.example%2Fhook%3Fx%3D1",
				"x", "Longshore-Job", string(id))
		},
		"form": func(b *bench, id job.ID) reply {
			return b.do("POST", "/v1/jobs/file.checksum",
				strings.ReplaceAll("--b\nContent-Disposition: form-data; name=\"callback_url\"\n\n"+url+
					"\n--b\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\n\nx\n--b--\n", "\n",
					"\r\n"),
				"Content-Type", "multipart/form-data; boundary=b", "Longshore-Job", string(id))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := job.NewID(time.Now())
			if r := submit(b, id); r.status != 202 {
				t.Fatalf("submit: %d %s", r.status, r.body)
			}
			if got := b.lastRequest().CallbackURL; got != url {
				t.Errorf("the submitter got %q", got)
			}
			r := b.do("GET", "/v1/jobs/"+string(id)+"/callback", "")
			want := `{"url":"` + url +
				`","state":"pending","attempts":2,"last_status":503,"last_error":"http_status"}` + "\n"
			if diff := cmp.Diff(want, string(r.body)); r.status != 200 || diff != "" {
				t.Errorf("%d (-want +got):\n%s", r.status, diff)
			}
		})
	}
}

func TestNoCallback(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := job.NewID(time.Now())
	b.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":1}}`, "Content-Type", "application/json",
		"Longshore-Job", string(id))
	for _, path := range []string{string(id), string(job.NewID(time.Now()))} {
		if r := b.do("GET", "/v1/jobs/"+path+"/callback", ""); r.status != 404 ||
			!strings.Contains(string(r.body), `"not_found"`) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}
