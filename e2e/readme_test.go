//go:build linux

package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
)

// readme returns the README and its blocks of commands, in order.
func readme(t *testing.T) (text string, blocks []string) {
	t.Helper()
	file, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(file), -1) {
		blocks = append(blocks, m[1])
	}
	return string(file), blocks
}

var (
	makeCommand = regexp.MustCompile(`(?m)^make (\S+)`)
	exports     = regexp.MustCompile(`(?m)^export .*\n`)
	anyID       = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
)

// TestReadme runs the README's commands as a reader would, from top to bottom:
// only the port, the id of the job and the place of the programs are another.
func TestReadme(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	_, blocks := readme(t)
	functions := "FUNCTIONS_DIR=" + filepath.Join(t.TempDir(), "functions")
	dev := startProgram(t, "", append(os.Environ(), "PORT=0", "DATA_DIR="+t.TempDir(), functions), "dev")
	line := dev.await(t, "Longshore is at http://")
	address := strings.Fields(strings.TrimPrefix(line, "Longshore is at http://"))[0]
	temp, lastID, ran := t.TempDir(), "", 0
	exported := "" // by the blocks before, in a reader's one shell
	for _, block := range blocks {
		for _, m := range makeCommand.FindAllStringSubmatch(block, -1) {
			// TestDemo is the demo; the tests run already.
			if out, err := exec.CommandContext(t.Context(), "make", "-C", "..", "--dry-run", m[1]).
				CombinedOutput(); err != nil {
				t.Errorf("make %s: %v: %s", m[1], err, out)
			}
		}
		if strings.Contains(block, "make ") || strings.Contains(block, "./cmd/dev") {
			continue // the server that has been started, and TestReadmeInstallation
		}
		script := strings.NewReplacer("localhost:8080", address, "go run ./cmd", dir, "/tmp/", temp+"/").
			Replace(block)
		script = exported + anyID.ReplaceAllString(script, lastID)
		exported += strings.Join(exports.FindAllString(script[len(exported):], -1), "")
		cmd := exec.CommandContext(t.Context(), "bash", "-euxo", "pipefail", "-c", script)
		cmd.Dir, cmd.Env = "..", append(os.Environ(), functions)
		out, err := cmd.CombinedOutput()
		if strings.Contains(block, "functions init") { // a reader is slower than dev
			served(t, "http://"+address, "hello.world")
		}
		if err != nil || strings.Contains(string(out), `"code":"`) ||
			strings.Contains(string(out), "problem+json") {
			t.Errorf("%v\n%s", err, out)
		}
		if id := anyID.FindString(string(out)); id != "" {
			lastID = id
		}
		ran++
	}
	if ran < 4 || lastID == "" {
		t.Errorf("only %d blocks of commands", ran)
	}
	entries, err := os.ReadDir(temp)
	if err != nil || len(entries) == 0 {
		t.Errorf("no file was fetched: %v", err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Size() == 0 {
			t.Errorf("%s is empty (%v)", e.Name(), err)
		}
	}

	// The greeting has commands to try, too.
	dev.await(t, "Ctrl-C ends it.")
	greeting := regexp.MustCompile(`(?m)^  (.*https?://.*)$`).FindAllStringSubmatch(dev.tail(1000), -1)
	if len(greeting) != 5 {
		t.Errorf("dev prints %d commands to try:\n%s", len(greeting), dev.tail(1000))
	}
	for _, m := range greeting {
		cmd := exec.CommandContext(t.Context(), "bash", "-euxo", "pipefail", "-c",
			strings.ReplaceAll(m[1], "go run ./cmd", dir))
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), `"code":"`) {
			t.Errorf("%v\n%s", err, out)
		}
	}
	dev.signal(syscall.SIGINT)
	if code := dev.end(t, 30*time.Second); code != 0 {
		t.Errorf("dev exits with %d", code)
	}
}

// TestReadmeInstallation runs the README's web and workers, by the Procfile.
func TestReadmeInstallation(t *testing.T) {
	t.Parallel()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	redis := redistest.NewWith(t, localredis.Options{TCP: true})
	_, blocks := readme(t)
	for _, block := range blocks {
		if !strings.Contains(block, "bin/cluster") {
			continue
		}
		folder := t.TempDir() // as a checkout after make build
		procfile, err := os.ReadFile("../Procfile")
		if err = errors.Join(err, os.WriteFile(filepath.Join(folder, "Procfile"), procfile, 0o600),
			os.Symlink(dir, filepath.Join(folder, "bin"))); err != nil {
			t.Fatal(err)
		}
		script := strings.NewReplacer("make build", "cd "+folder, "redis://127.0.0.1:6379", redis.URL(),
			"/var/lib/longshore", t.TempDir()).Replace(block)
		name := filepath.Join(t.TempDir(), "install.sh")
		if err := os.WriteFile(name, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		p := startCommand(t, exec.Command("bash", "-eux", name), append(os.Environ(), "PORT=0"))
		url := addressIn(t, p.await(t, `msg="web listens"`), "address=")
		p.await(t, `msg="worker takes jobs"`)
		c := clientOf(t, url)
		snap := submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 10}})
		if snap = wait(t, c, snap.ID); !snap.Done {
			t.Errorf("job: %+v", snap)
		}
		return
	}
	t.Error("no block of commands starts a cluster")
}

// TestReadmeIsComplete looks for the types, and in docs/http.md for the paths, that there are.
func TestReadmeIsComplete(t *testing.T) {
	t.Parallel()
	text, _ := readme(t)
	pages, err := os.ReadFile("../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	types, err := clientOf(t, url).Types(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range types {
		if !regexp.MustCompile("(?m)^\\|.*`" + regexp.QuoteMeta(typ.Type) + "`.*\\| " + string(typ.Lane) +
			"(, or cpu)? \\|").MatchString(text) {
			t.Errorf("README has no row for the type %s of lane %s", typ.Type, typ.Lane)
		}
	}
	var api struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(request(t, "GET", url+httpapi.PathOpenAPI, nil).body, &api); err != nil ||
		len(api.Paths) < 10 {
		t.Fatalf("%d paths, %v", len(api.Paths), err)
	}
	for path := range api.Paths {
		if _, isType := strings.CutPrefix(path, httpapi.PathJobs+"/"); isType &&
			!strings.Contains(path, "{id}") {
			continue // a type's own path
		}
		last := path[strings.LastIndex(path, "/"):]
		switch last {
		case "/{id}":
			last = httpapi.PathJobs + "/{id}`"
		case "/{name}":
			last = "…/outputs/{name}"
		}
		if !strings.Contains(string(pages), last) {
			t.Errorf("docs/http.md does not tell of %s", path)
		}
	}
}
