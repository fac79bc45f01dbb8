package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// A flaky answers with one snapshot and is gone from then on.
type flaky struct{ answers int }

func (f *flaky) RoundTrip(*http.Request) (*http.Response, error) {
	if f.answers == 0 {
		return nil, errors.New("connection refused")
	}
	f.answers--
	text, err := json.Marshal(job.Snapshot{ID: testID, Rev: 1, State: job.Running})
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {httpapi.TypeJSON}},
		Body: io.NopCloser(bytes.NewReader(text))}, nil
}

// TestPatience measures, in virtual time, how long a server may be away.
func TestPatience(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answers int
		do      func(*testing.T, *Client) error
		want    time.Duration
	}{
		"one look": {0, func(t *testing.T, c *Client) error {
			_, err := c.Get(t.Context(), testID)
			return err
		}, DefaultRetryFor},
		"following what was never seen": {0, func(t *testing.T, c *Client) error {
			_, err := c.Wait(t.Context(), testID)
			return err
		}, DefaultRetryFor},
		"following": {1, func(t *testing.T, c *Client) error {
			_, err := c.Wait(t.Context(), testID)
			return err
		}, knownPatience * DefaultRetryFor},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, err := New(Config{URL: "http://server",
					HTTP: &http.Client{Transport: &flaky{answers: test.answers}}})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				err = test.do(t, c)
				var e *Error
				if !errors.As(err, &e) || e.Code != Unavailable {
					t.Errorf("err = %v", err)
				}
				if took := time.Since(start); took > test.want+hasty || took < test.want-maxPause {
					t.Errorf("gave up after %v, want about %v", took, test.want)
				}
			})
		})
	}
}
