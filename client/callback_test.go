package client

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/httpapi"
	"longshore/job"
)

func TestCallback(t *testing.T) {
	t.Parallel()
	want := job.Callback{URL: "https://a.example/", State: job.CallbackPending, Attempts: 2, LastStatus: 503,
		LastError: "http_status"}
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/jobs/"+string(testID)+"/callback" {
			refuse(w, httpapi.NewError(httpapi.NotFound, "the job was submitted without a callback_url"))
			return
		}
		reply(w, http.StatusOK, want)
	})
	got, err := c.Callback(t.Context(), testID)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	var e *Error
	if _, err := c.Callback(t.Context(), "other"); !errors.As(err, &e) || e.Code != NotFound {
		t.Errorf("error %v", err)
	}
}

// TestSubmitNamesTheCallback holds that both forms of a submission carry it.
func TestSubmitNamesTheCallback(t *testing.T) {
	t.Parallel()
	const hook = "https://a.example/hook?x=1&y=2"
	seen := make(chan string, 2)
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			CallbackURL string `json:"callback_url"`
		}
		if text, _ := io.ReadAll(r.Body); json.Unmarshal(text, &body) != nil {
			body.CallbackURL = r.URL.Query().Get("callback_url")
		}
		seen <- body.CallbackURL
		reply(w, http.StatusAccepted, job.Snapshot{ID: testID})
	})
	s := Submission{Type: "x.y", CallbackURL: hook}
	if _, err := c.Submit(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SubmitFile(t.Context(), s, strings.NewReader("input"), 5); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := <-seen; got != hook {
			t.Errorf("the server got %q", got)
		}
	}
}
