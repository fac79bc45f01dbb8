package dashboard

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"longshore/internal/tooltest"
)

// TestBundle builds the dashboard and the TypeScript client anew and compares: what is committed
// is what the sources say.
func TestBundle(t *testing.T) {
	t.Parallel()
	out := t.TempDir() + "/"
	build := exec.CommandContext(t.Context(), tooltest.Path(t, "make"), "ui", "OUT="+out)
	build.Dir = "../../.."
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make ui: %v\n%s", err, said)
	}
	n := 0
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		made, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(out, path)
		if err != nil {
			return err
		}
		kept, err := os.ReadFile(filepath.Join("../../..", name))
		if n++; err != nil || !bytes.Equal(made, kept) {
			t.Errorf("%s is not what make ui makes of its sources (%v)", name, err)
		}
		return nil
	})
	if err != nil || n < 5 {
		t.Errorf("%d files: %v", n, err)
	}
}

// TestWeight holds what a first look costs, and that of the client.
func TestWeight(t *testing.T) {
	t.Parallel()
	all, err := assemble()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, f := range all.files {
		sum += len(f.tiny)
	}
	if sum > 120<<10 {
		t.Errorf("the dashboard is %d bytes packed", sum)
	}
	client, err := os.ReadFile("../../../clients/typescript/dist/longshore.js")
	if n := len(pack(client)); err != nil || n > 12<<10 {
		t.Errorf("the client is %d bytes packed (%v)", n, err)
	}
	t.Logf("dashboard %d bytes, client %d bytes", sum, len(pack(client)))
}

// TestNothingForeign looks for what the page's policy forbids, before a browser does:
// addresses of other hosts, and scripts or styles in the markup.
func TestNothingForeign(t *testing.T) {
	t.Parallel()
	foreign := regexp.MustCompile(`(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}`)
	named := regexp.MustCompile(`http://www\.w3\.org/|https://jobs\.example`) // names, no addresses
	err := fs.WalkDir(dist, "dist", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := dist.ReadFile(path)
		for _, found := range foreign.FindAll(text, -1) {
			if !named.Match(append(found, '/')) {
				t.Errorf("%s names %s", path, found)
			}
		}
		inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script>`).Find(text)
		if filepath.Ext(path) == ".html" && inline != nil {
			t.Errorf("%s has %s", path, inline)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
