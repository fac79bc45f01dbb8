//go:build linux

package e2e

import (
	"bytes"
	"image/png"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/client"
	"longshore/job"
)

// TestOwnWorker builds the example of a worker with types of its own and drives
// them through the stock web, which knows them only from Redis.
func TestOwnWorker(t *testing.T) {
	t.Parallel()
	in := install(t)
	if err := ownWorker(); err != nil {
		t.Fatalf("build the example: %v", err)
	}
	in.start(t, "own-worker").await(t, `"msg":"worker takes jobs"`)
	_, url := in.web(t) // it loads the published types as it starts
	c := clientOf(t, url)

	var ids []job.ID
	for _, s := range []struct {
		client.Submission
		input string
	}{
		{client.Submission{Type: "words.count", Payload: map[string]int{"top": 1}}, "to be or not to be, to"},
		{client.Submission{Type: "fractal.render", Payload: map[string]int{"width": 90}}, ""},
	} {
		var snap job.Snapshot
		var err error
		for patience := time.After(90 * time.Second); ; {
			if s.input == "" {
				snap, err = c.Submit(t.Context(), s.Submission)
			} else {
				snap, err = c.SubmitFile(t.Context(), s.Submission, strings.NewReader(s.input),
					int64(len(s.input)))
			}
			if err == nil {
				break
			}
			select { // the worker may not have published them yet
			case <-patience:
				t.Fatalf("submit %s: %v", s.Type, err)
			case <-time.After(200 * time.Millisecond):
			}
		}
		ids = append(ids, snap.ID)
	}
	words := wait(t, c, ids[0])
	if words.State != job.Succeeded || !strings.Contains(string(words.Result), `"top":["to"]`) {
		t.Errorf("words.count ended as %s: %s %+v", words.State, words.Result, words.Error)
	}
	picture := wait(t, c, ids[1])
	if picture.State != job.Succeeded || len(picture.Outputs) != 1 || picture.Usage.PeakRSSBytes == 0 {
		t.Fatalf("fractal.render ended as %+v", picture)
	}
	answer, err := http.Get(url + "/v1/jobs/" + string(ids[1]) + "/result")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if im, err := png.Decode(bytes.NewReader(body)); err != nil || im.Bounds().Dx() != 90 {
		t.Errorf("result is no picture of that size: %v", err)
	}
}
