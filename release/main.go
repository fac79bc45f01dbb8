// Command release builds what a release consists of: for each system an archive of the
// static programs (for Windows of the client alone), a list of what went into them (an
// SBOM in CycloneDX's JSON, read from the programs themselves), and SHA256SUMS over all.
// The same source and version give the same bytes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// maxClient is the most bytes of the client, on any system.
const maxClient = 14_000_000

const allTargets = "linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64"

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("release", flag.ContinueOnError)
	fs.SetOutput(stderr)
	version := fs.String("version", "", "the version, as v1.2.3")
	out := fs.String("out", "dist", "the folder to write to; what it holds of an earlier release goes")
	targets := fs.String("targets", allTargets, "systems to build for, as os/arch")
	if err := fs.Parse(args); err != nil {
		return err
	}
	r := &release{source: ".", version: *version, out: *out, patterns: []string{"./cmd/..."}, client: "./cmd/enqueue",
		clientMax: maxClient, extra: []string{"LICENSE", "README.md", "CHANGELOG.md"}, stderr: stderr}
	if err := r.make(ctx, strings.Fields(*targets)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "%s holds release %s\n", *out, *version)
	return err
}

// A release is one run.
type release struct {
	source   string // folder of the module
	version  string
	out      string
	patterns []string // packages of the programs
	client   string   // package of the one for systems without workers
	// clientMax is the most bytes that one may have: people fetch it to every machine; 0 = any.
	clientMax int64
	extra     []string // files that go into each archive
	stderr    io.Writer
}

// versionName is what may become a part of file names and of a linker's flag.
var versionName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$`)

func (r *release) make(ctx context.Context, targets []string) error {
	if !versionName.MatchString(r.version) {
		return fmt.Errorf("version %q: expected one like v1.2.3", r.version)
	}
	if len(targets) == 0 {
		return errors.New("no system to build for")
	}
	if err := r.clean(); err != nil {
		return err
	}
	var files []string
	for _, target := range targets {
		made, err := r.build(ctx, target)
		if err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		files = append(files, made...)
	}
	return writeSums(r.out, files)
}

// clean removes an earlier release; other files of the folder stay.
func (r *release) clean() error {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(r.out, "longshore_*"))
	if err != nil {
		return err
	}
	for _, name := range append(old, filepath.Join(r.out, sumsName)) {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}

// build makes the archive and the SBOM of one system and returns their names.
func (r *release) build(ctx context.Context, target string) ([]string, error) {
	system, arch, ok := strings.Cut(target, "/")
	if !ok || !versionName.MatchString(system) || !versionName.MatchString(arch) {
		return nil, errors.New("expected os/arch")
	}
	folder, err := os.MkdirTemp("", "longshore-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	patterns, pack, ending := r.patterns, archive, ".tar.gz"
	if system == "windows" {
		patterns, pack, ending = []string{r.client}, archiveZip, ".zip"
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -buildid= -X longshore/internal/version.version=" + r.version, "-o",
		folder + string(filepath.Separator)}, patterns...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.source, r.stderr, r.stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go build: %w", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var programs []string
	for _, e := range entries {
		programs = append(programs, filepath.Join(folder, e.Name()))
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if name := strings.TrimSuffix(e.Name(), ".exe"); name == path.Base(r.client) && r.clientMax > 0 &&
			info.Size() > r.clientMax {
			return nil, fmt.Errorf("%s has %d bytes, over %d: see TestClient for what it may stand on", name,
				info.Size(), r.clientMax)
		}
	}
	name := fmt.Sprintf("longshore_%s_%s_%s", r.version, system, arch)
	bom, err := sbom(r.version, programs)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(r.out, name+".cdx.json"), bom, 0o644); err != nil {
		return nil, err
	}
	for _, extra := range r.extra {
		programs = append(programs, filepath.Join(r.source, extra))
	}
	if err := pack(filepath.Join(r.out, name+ending), name, programs); err != nil {
		return nil, err
	}
	return []string{name + ending, name + ".cdx.json"}, nil
}
