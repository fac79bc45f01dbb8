//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/internal/tooltest"
)

// A tongue is a client in another language, built and installed.
type tongue struct {
	command   []string // runs its script
	env       []string // of the script, and of the function
	functions string   // a folder with what runs the jobs of its community's adapter
}

// TestTongues builds the packages of the clients in Python and Ruby, installs what came, and has a script
// in each language drive them against the built server, whose connections break and which is killed.
func TestTongues(t *testing.T) {
	t.Parallel()
	for name, install := range map[string]func(*testing.T) tongue{"python": wheel, "ruby": gem} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			speak(t, install(t))
		})
	}
}

// TestTonguesTypes has the languages' own checkers read the types of the two clients.
func TestTonguesTypes(t *testing.T) {
	t.Parallel()
	mypy := tooltest.Path(t, "mypy")
	tool(t, clientFolder(t, "python"), nil, mypy, "--strict", "--enable-incomplete-feature=Unpack", "--exclude",
		"django.py", "longshore")
	rbs, err := exec.LookPath("rbs")
	if err != nil {
		rbs = tooltest.Path(t, "rbs3.1") // as Debian calls it
	}
	tool(t, clientFolder(t, "ruby"), nil, rbs, "-I", "sig", "validate", "--silent")
}

// tool runs a program to its end in a folder and returns what it says.
func tool(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// clientFolder is a copy of a client, which building leaves its traces in.
func clientFolder(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../clients/"+name)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// scripts is a copy of our scripts.
func scripts(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/tongues")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// function writes a function's folder, and returns the folder above it.
func function(t *testing.T, name string, manifest any, main string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(manifest)
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, name), 0o755)
	}
	for file, text := range map[string]string{"function.json": string(text), "main.rb": main} {
		if err == nil && text != "" {
			err = os.WriteFile(filepath.Join(dir, name, file), []byte(text), 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// wheel builds the Python client and installs it into a virtual environment.
func wheel(t *testing.T) tongue {
	t.Helper()
	python := ""
	for _, path := range []string{"python3", "/usr/bin/python3"} { // the first may be of a version manager's
		if exec.CommandContext(t.Context(), path, "-c", "import setuptools, pip, venv, wheel").Run() == nil {
			python = path
		}
	}
	if python == "" {
		tooltest.Missing(t, "a python3 with pip, setuptools, venv and wheel")
	}
	dir, venv, there := clientFolder(t, "python"), filepath.Join(t.TempDir(), "venv"), scripts(t)
	quiet := []string{"PIP_NO_INDEX=1", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_ROOT_USER_ACTION=ignore"}
	tool(t, dir, quiet, python, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "dist", ".")
	tool(t, dir, nil, python, "-m", "venv", "--without-pip", venv)
	venvPython := filepath.Join(venv, "bin/python3")
	tool(t, dir, quiet, python, "-m", "pip", "--python", venvPython, "install", "-q",
		filepath.Join("dist", "longshore-0.9.0-py3-none-any.whl"))
	standin := filepath.Join(there, "standin")
	return tongue{command: []string{venvPython, filepath.Join(there, "client.py")},
		env: []string{"PYTHONPATH=" + standin},
		functions: function(t, "django.task", map[string]any{"command": []string{venvPython, "-m", "longshore.django"},
			"read": []string{venv, there}, "env": []string{"PYTHONPATH"}}, "")}
}

// gem builds the Ruby client and installs it into a folder of gems.
func gem(t *testing.T) tongue {
	t.Helper()
	ruby := tooltest.Path(t, "ruby")
	if exec.CommandContext(t.Context(), ruby, "-e", `require "active_job"`).Run() != nil {
		tooltest.Missing(t, "ActiveJob for Ruby")
	}
	dir, home, there := clientFolder(t, "ruby"), t.TempDir(), scripts(t)
	tool(t, dir, nil, tooltest.Path(t, "gem"), "build", "-q", "longshore.gemspec")
	env := []string{"GEM_HOME=" + home}
	tool(t, dir, env, "gem", "install", "-q", "--local", "--no-document", "longshore-0.9.0.gem")
	main := "require \"longshore/active_job\"\nActiveJob::Base.logger = nil\nload \"" + there + "/greet.rb\"\n" +
		"ActiveJob::QueueAdapters::LongshoreAdapter.run\n"
	return tongue{command: []string{ruby, "-w", filepath.Join(there, "client.rb")}, env: env,
		functions: function(t, "rails.job", map[string]any{"command": []string{"ruby", "main.rb"},
			"read": []string{home, there}, "env": []string{"GEM_HOME"}}, main)}
}

// speak runs a script, and restarts the server behind connections that break when it asks for that.
func speak(t *testing.T, one tongue) {
	t.Helper()
	in := install(t, append(one.env, "LONGSHORE_TOKEN="+webToken, "FUNCTIONS_DIR="+one.functions)...)
	in.worker(t)
	web, url := in.web(t)
	proxy := newCutter(t, 0, 500_000, strings.TrimPrefix(url, "http://"))
	again := in.again(t, web, url)
	file, _ := someFile(t, 9_000_000)
	fake := villain(t)
	docs := t.TempDir()
	if err := os.CopyFS(docs, os.DirFS("../docs")); err != nil {
		t.Fatal(err)
	}
	env := append(append(os.Environ(), one.env...), "DOCS_DIR="+docs, "LONGSHORE_TOKEN="+webToken,
		"LONGSHORE_URL=http://"+proxy.Addr().String())
	restart := map[string]func(){"restart": func() {
		proxy.cuts.Store(4)
		again()
	}}
	var end struct{ Jobs, Ended, Size int }
	trouble := scriptOf(t, "", env, restart, &end,
		append(one.command, "http://"+proxy.Addr().String(), fake, file)...)
	if end.Jobs != 700 || end.Ended != 30 || end.Size < 9_000_000 || proxy.cuts.Load() > 0 {
		t.Errorf("%+v with %d cuts left", end, proxy.cuts.Load())
	}
	if trouble != "" { // ruby -w warns there
		t.Errorf("it grumbles: %s", trouble)
	}
}

// villain is a server that does to a client what servers, proxies and networks do.
func villain(t *testing.T) (url string) {
	t.Helper()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "token: ", strings.TrimSpace("none "+r.Header.Get("Authorization")))
	}))
	t.Cleanup(elsewhere.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/jobs", refusesTwice())
	mux.HandleFunc("GET /v1/jobs/hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("GET /v1/jobs/page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html>") })
	mux.Handle("GET /v1/jobs/away", http.RedirectHandler(elsewhere.URL, http.StatusFound))
	mux.Handle("GET /v1/jobs/away/result", http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	mux.HandleFunc("GET /v1/jobs/teapot", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, `{"code":"brewing","status":418}`)
	})
	mux.HandleFunc("GET /v1/jobs/short/result", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "01234")
	})
	mux.HandleFunc("GET /v1/jobs/chunked/result", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "01234")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("GET /v1/jobs/flipped/result", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Repr-Digest", "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:") // of abc
		fmt.Fprint(w, "abd")
	})
	mux.HandleFunc("GET /v1/jobs/resumed/result", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("Range") == "" {
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, "01234")
			return
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123456789"))
	})
	mux.HandleFunc("GET /v1/jobs/held", func(w http.ResponseWriter, r *http.Request) {
		rev := 1
		if r.URL.Query().Get("wait") != "" {
			rev = 2
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"held","state":"running","done":%t,"rev":%d}`, rev == 2, rev)
	})
	mux.HandleFunc("GET /v1/jobs/held/events", func(w http.ResponseWriter, _ *http.Request) { // as a proxy that keeps streams back
		w.Header().Set("Content-Type", "text/html")
	})
	fake := httptest.NewServer(mux)
	t.Cleanup(fake.Close)
	return fake.URL
}

// refusesTwice is a server that is full, then breaks off, then takes a job and tells how many keys came.
func refusesTwice() http.HandlerFunc {
	var mu sync.Mutex
	keys, tries := map[string]bool{}, 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		io.Copy(io.Discard, r.Body)
		keys[r.Header.Get("Idempotency-Key")] = true
		tries++
		switch tries {
		case 1:
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"code":"store_full","status":503}`)
		case 2:
			panic(http.ErrAbortHandler)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprintf(w, `{"id":"x","state":"queued","keys":%d}`, len(keys))
		}
	}
}
