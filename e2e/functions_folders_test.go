//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"longshore/client"
	"longshore/job"
)

// TestFolderGivesWay has a folder and a deployed function serve one type in turn, while dev
// follows the folders: a folder goes before, one that is gone hides no deployed one, neither
// its program nor its schema, and a job tells what ran it.
func TestFolderGivesWay(t *testing.T) {
	t.Parallel()
	functions := filepath.Join(t.TempDir(), "functions")
	folder, other := filepath.Join(functions, "say.it"), filepath.Join(t.TempDir(), "say.it")
	const schema = `{"input": "none", "payload":
		{"type": "object", "required": ["%"], "properties": {"%": {"type": "integer"}}}}`
	files := func(word string) map[string]string {
		return map[string]string{"function.json": strings.ReplaceAll(schema, "%", word),
			"main.sh": "echo '\"" + word + "\"'\n"}
	}
	write(t, folder, files("folder"))
	write(t, other, files("deployed"))
	url := devAt(t, functions, "FUNCTIONS_DEPLOY=all", "TMPDIR="+t.TempDir())
	served(t, url, "say.it")
	c := clientOf(t, url)
	deploy := func() (int, string) {
		t.Helper()
		env := append(os.Environ(), "LONGSHORE_URL="+url)
		code, _, stderr := call(t, "", env, "enqueue", "functions", "deploy", other)
		return code, stderr
	}
	// says waits until the schema with a word holds, and has a job of it.
	says := func(word string, version int64) {
		t.Helper()
		var snap job.Snapshot
		eventually(t, word+" is served", func() bool {
			var err error
			snap, err = c.Submit(t.Context(),
				client.Submission{Type: "say.it", Payload: map[string]any{word: 1}})
			return err == nil
		})
		snap = wait(t, c, snap.ID)
		got := int64(0)
		if snap.Function != nil {
			got = snap.Function.Version
		}
		if string(snap.Result) != `"`+word+`"` || got != version || snap.Attempt != 1 {
			t.Errorf("%s by version %d after attempt %d: %s, %+v; want %s by %d", snap.State, got, snap.Attempt,
				snap.Result, snap.Errors, word, version)
		}
	}
	says("folder", 0)
	if code, stderr := deploy(); code == 0 || !strings.Contains(stderr, "is served by a folder") {
		t.Errorf("deployed onto a living folder: %d %s", code, stderr)
	}
	if err := os.Rename(folder, filepath.Join(functions, "_say.it")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the folder is gone", func() bool {
		code, _ := deploy()
		return code == 0
	})
	says("deployed", 1)
	for range 2 {
		if err := os.Rename(filepath.Join(functions, "_say.it"), folder); err != nil {
			t.Fatal(err)
		}
		says("folder", 0)
		if err := os.Rename(folder, filepath.Join(functions, "_say.it")); err != nil {
			t.Fatal(err)
		}
		says("deployed", 1)
	}
}
