package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// tiny is a module that is built like ours, but in a moment.
var tiny = map[string]string{
	"go.mod":                      "module longshore\n\ngo 1.25\n",
	"LICENSE":                     "do as you like\n",
	"internal/version/version.go": "package version\n\nvar version string\n\nfunc Build() string { return version }\n",
	"cmd/tiny/main.go":            "package main\n\nimport \"longshore/internal/version\"\n\nfunc main() { print(version.Build()) }\n",
}

// tinyModule writes it, and returns its folder.
func tinyModule(t *testing.T) (source string) {
	t.Helper()
	source = t.TempDir()
	for name, text := range tiny {
		name = filepath.Join(source, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755),
			os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return source
}

// TestRelease makes a release for this system twice: it runs, knows its version, its
// sums hold, and it is the same bytes again.
func TestRelease(t *testing.T) {
	t.Parallel()
	source := tinyModule(t)
	target := runtime.GOOS + "/" + runtime.GOARCH
	var sums [2]string
	for i := range sums {
		r := &release{source: source, version: "v1.2.3", out: t.TempDir(), patterns: []string{"./cmd/..."},
			extra: []string{"LICENSE"}, stderr: os.Stderr}
		stale := filepath.Join(r.out, "longshore_v0_old.tar.gz")
		if err := os.WriteFile(stale, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.make(t.Context(), []string{target}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(stale); err == nil {
			t.Error("an earlier release is left beside this one")
		}
		text, err := os.ReadFile(filepath.Join(r.out, sumsName))
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = string(text)
		if strings.Count(sums[i], "\n") != 2 {
			t.Errorf("sums: %s", text)
		}
		for line := range strings.Lines(sums[i]) {
			want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
			file, err := os.ReadFile(filepath.Join(r.out, name))
			if sum := sha256.Sum256(file); err != nil || hex.EncodeToString(sum[:]) != want {
				t.Errorf("%s: %v", line, err)
			}
		}
		if i == 0 {
			tryProgram(t, filepath.Join(r.out, "longshore_v1.2.3_"+runtime.GOOS+"_"+runtime.GOARCH))
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("the second release is another:\n%s%s", sums[0], sums[1])
	}
}

// tryProgram unpacks an archive, runs its program and reads its SBOM.
func tryProgram(t *testing.T, name string) {
	t.Helper()
	file, err := os.ReadFile(name + ".tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	var names []string
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(h.Name)), text,
			os.FileMode(h.Mode)); err != nil {
			t.Fatal(err)
		}
	}
	if base := filepath.Base(name); strings.Join(names, " ") != base+"/tiny "+base+"/LICENSE" {
		t.Errorf("the archive has %v", names)
	}
	if said, err := exec.CommandContext(t.Context(), filepath.Join(folder, "tiny")).
		CombinedOutput(); err != nil || string(said) != "v1.2.3" {
		t.Errorf("the program says %q, %v", said, err)
	}
	text, err := os.ReadFile(name + ".cdx.json")
	var list bom
	if err != nil || json.Unmarshal(text, &list) != nil || list.Format != "CycloneDX" ||
		list.Metadata.Component.Version != "v1.2.3" || len(list.Components) != 1 {
		t.Errorf("the SBOM: %s, %v", text, err)
	}
}

// TestReleaseForWindows has the client alone, as a zip.
func TestReleaseForWindows(t *testing.T) {
	t.Parallel()
	source := tinyModule(t)
	r := &release{source: source, version: "v1.2.3", out: t.TempDir(), patterns: []string{"./none"},
		client: "./cmd/tiny", extra: []string{"LICENSE"}, stderr: os.Stderr}
	if err := r.make(t.Context(), []string{"windows/arm64"}); err != nil {
		t.Fatal(err)
	}
	const name = "longshore_v1.2.3_windows_arm64"
	z, err := zip.OpenReader(filepath.Join(r.out, name+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if len(z.File) != 2 || z.File[0].Name != name+"/tiny.exe" || z.File[1].Name != name+"/LICENSE" {
		t.Errorf("the archive has %v", z.File)
	}
	if !strings.Contains(allTargets, "windows/amd64 windows/arm64") {
		t.Errorf("a release is for %s", allTargets)
	}
}

// TestClientIsSmall builds the client as a release does; make release holds the same on each system.
func TestClientIsSmall(t *testing.T) {
	t.Parallel()
	r := &release{source: "..", version: "v1.2.3", out: t.TempDir(), patterns: []string{"./cmd/enqueue"},
		client: "./cmd/enqueue", clientMax: maxClient, stderr: os.Stderr}
	target := runtime.GOOS + "/" + runtime.GOARCH
	if err := r.make(t.Context(), []string{target}); err != nil {
		t.Error(err)
	}
	r.clientMax = 1_000_000
	if err := r.make(t.Context(), []string{target}); err == nil || !strings.Contains(err.Error(), "over 1000000") {
		t.Errorf("a client that is too large: %v", err)
	}
}

// TestSBOM reads what this test is made of, which has modules of others.
func TestSBOM(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := sbom("v1", []string{self})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"purl": "pkg:golang/std@`) {
		t.Errorf("%s", text)
	}
	if _, err := sbom("v1", []string{"main_test.go"}); err == nil {
		t.Error("a text has an SBOM")
	}
}

func TestBadReleases(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"-version", "v1 -X main.x=y"}, {"-version", "../v1"},
		{"-version", "v1", "-targets", " "}, {"-version", "v1", "-targets", "linux"}, {"-nope"}} {
		if err := run(t.Context(), append([]string{"-out", t.TempDir()}, args...), io.Discard,
			io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
