//go:build linux

package e2e

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"longshore/client"
	"longshore/job"
)

// seeker looks for a word in all that /proc shows, and in its own environment.
const seeker = `import glob, json, os
def handler(event, context):
    word, hits, looked = event["word"].encode(), [], 0
    for pattern in ("environ", "cmdline", "fd/*", "maps", "task/*/environ", "task/*/cmdline"):
        for path in glob.glob("/proc/[0-9]*/" + pattern) + glob.glob("/proc/self/" + pattern):
            looked += 1
            try:
                if "/fd/" in path:
                    text = os.readlink(path).encode()
                else:
                    with open(path, "rb") as f: text = f.read()
            except OSError:
                continue
            if word in text: hits.append(path)
    if any(event["word"] in v for v in os.environ.values()): hits.append("own environment")
    return {"hits": hits, "looked": looked}
if __name__ == "__main__":
    with open(os.environ["LONGSHORE_PAYLOAD"]) as f: print(json.dumps(handler(json.load(f), None)))
`

// TestSecretsStayHidden plants a secret in a worker's environment and has functions look for it
// in all that /proc shows them: they find nothing.
func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3")
	}
	functions := filepath.Join(t.TempDir(), "functions")
	write(t, filepath.Join(functions, "seek.exec"), map[string]string{"main.py": seeker,
		"function.json": `{"input": "none", "output": "json"}`})
	write(t, filepath.Join(functions, "seek.lambda"), map[string]string{"app.py": seeker,
		"longshore.py": libText("longshore.py"),
		"function.json": `{"input": "none", "mode": "lambda",
			"command": ["python3", "longshore.py", "app.handler"]}`})
	in := install(t)
	// Two halves: the payload's file and this test's programs must not be what is found.
	const one, two = "planted", "-secret-7161"
	in.worker(t, "FUNCTIONS_DIR="+functions, "ANY="+one+two,
		"WEBHOOK_SECRET="+strings.Repeat("x", 32)+one+two)
	_, url := in.web(t)
	c := clientOf(t, url)
	for _, typ := range []string{"seek.exec", "seek.lambda"} {
		served(t, url, typ)
		snap, err := c.Submit(t.Context(),
			client.Submission{Type: typ, Payload: map[string]any{"word": one + two}})
		if err != nil {
			t.Fatal(err)
		}
		var said struct {
			Hits   []string
			Looked int
		}
		if snap = wait(t, c, snap.ID); json.Unmarshal(snap.Result, &said) != nil || len(said.Hits) > 0 ||
			said.Looked < 10 {
			t.Errorf("%s: %s, %s %+v", typ, snap.State, snap.Result, snap.Errors)
		}
	}
}

// TestVersionThatCantBeFetched takes the content of a deployed version away: its jobs wait for a
// worker and no attempt is consumed. Once it is there again they run.
func TestVersionThatCantBeFetched(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	c := clientOf(t, url)
	r, err := tryRequest(t, "PUT", url+"/v1/functions/do.nothing", strings.NewReader(tinyModule))
	if err != nil || r.StatusCode != 201 {
		t.Fatal(r, err)
	}
	kept := ""
	err = filepath.WalkDir(in.blobs, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), "fn-") {
			kept = path
		}
		return err
	})
	if err != nil || kept == "" {
		t.Fatalf("no blob of the function: %v", err)
	}
	away := filepath.Join(t.TempDir(), "away")
	if err := os.Rename(kept, away); err != nil {
		t.Fatal(err)
	}
	worker := in.worker(t, "FUNCTIONS_DIR=", "TMPDIR="+t.TempDir())
	worker.await(t, `"msg":"deployed function can't be served here"`)
	snap, err := c.Submit(t.Context(), client.Submission{Type: "do.nothing"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job waits for a worker", func() bool {
		got, err := c.Get(t.Context(), snap.ID)
		return err == nil && got.State == job.Queued && got.WaitingFor == job.WaitingWorker &&
			got.Attempt == 0
	})
	if err := os.Rename(away, kept); err != nil {
		t.Fatal(err)
	}
	if got := wait(t, c, snap.ID); got.State != job.Succeeded || got.Attempt != 1 || len(got.Errors) > 0 {
		t.Errorf("%s after %d attempts: %+v", got.State, got.Attempt, got.Errors)
	}
}
