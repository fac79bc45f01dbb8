package functions

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folder makes a folder of files; a name that ends in a slash is a folder, a text that
// begins with "-> " a link's target. Files that begin with #! are executable.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		var err error
		if target, link := strings.CutPrefix(text, "-> "); link {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"a.run/run":               "#!/bin/sh\n",
		"b.shell/main.sh":         "echo",
		"c.named/function.json":   `{"command": ["sh", "x.sh", "-v"]}`,
		"c.named/x.sh":            "echo",
		"d.module/function.wasm":  "\x00asm",
		"e.link/main.sh":          "-> other.sh",
		"e.link/other.sh":         "echo",
		"lib/longshore.py":        "",
		".git/config":             "",
		"_old.one/run":            "no",
		"README.md":               "about them",
		"f.venv/main.sh":          "echo",
		"f.venv/.venv/bin/python": "-> /usr/bin/env",
	})
	l := &Loader{Path: "/usr/bin:/bin"}
	found, faults := l.Load(dir)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	want := map[string][]string{
		"a.run": {"a.run/run"}, "b.shell": {"/bash", "b.shell/main.sh"},
		"c.named": {"/sh", "c.named/x.sh", "-v"}, "d.module": {"d.module/function.wasm"},
		"e.link": {"/bash", "e.link/main.sh"}, "f.venv": {"/bash", "f.venv/main.sh"},
	}
	for _, f := range found {
		words, ok := want[f.Type]
		if !ok || len(words) != len(f.Command) {
			t.Errorf("%s is started by %q", f.Type, f.Command)
			continue
		}
		for i, word := range words {
			if !strings.HasSuffix(f.Command[i], word) || word[0] != '-' && !filepath.IsAbs(f.Command[i]) {
				t.Errorf("%s is started by %q", f.Type, f.Command)
			}
		}
		if _, err := f.Info(); err != nil {
			t.Error(err)
		}
		delete(want, f.Type)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}

// TestLoadFaults holds that each faulty folder is left out, with a reason that names
// the file and the field, and no other with it.
func TestLoadFaults(t *testing.T) {
	t.Parallel()
	for want, files := range map[string]map[string]string{
		`name "Thumb" is no type`:                  {"Thumb/run": "#!/bin/sh\n"},
		`name "plain" is no type`:                  {"plain/run": "#!/bin/sh\n"},
		`function.json: command: there is no x in`: {"t.t/function.json": `{"command": ["x"]}`},
		`command: there is no ./x.sh in the folder`: {
			"t.t/function.json": `{"command": ["./x.sh"]}`},
		`command: there is no ../run in the folder`: {"t.t/function.json": `{"command": ["../run"]}`,
			"run": "#!/bin/sh\n"},
		`command: is not executable: chmod +x x.sh`: {"t.t/function.json": `{"command": ["x.sh"]}`,
			"t.t/x.sh": "echo"},
		`command: its interpreter "/no/such" does not exist`: {"t.t/function.json": `{"command": ["x"]}`,
			"t.t/x": "#!/no/such\n"},
		`its interpreter: there is no nosuch`: {"t.t/run": "#!/usr/bin/env nosuch\n"},
		`its first line ends in CR LF`:        {"t.t/run": "#!/bin/sh\r\necho"},
		`nothing to start`:                    {"t.t/readme": "x"},
		`is not executable: chmod +x run`:     {"t.t/run": "echo"},
		`function.json: malformed JSON`: {"t.t/function.json": `{`,
			"t.t/run": "#!/bin/sh\n"},
		`function.json: timout: unknown field`: {"t.t/function.json": `{"timout": 1}`,
			"t.t/run": "#!/bin/sh\n"},
		`payload field "timeout" collides with a parameter`: {
			"t.t/function.json": `{"payload": {"type": "object", "properties": {"timeout": {}}}}`,
			"t.t/run":           "#!/bin/sh\n"},
		`payload: schema: payload must be an object`: {"t.t/function.json": `{"payload": {"type": "string"}}`,
			"t.t/run": "#!/bin/sh\n"},
		`payload: schema's pattern`: {
			"t.t/function.json": `{"payload": {"type": "object", "properties": {"a": {"pattern": "("}}}}`,
			"t.t/run":           "#!/bin/sh\n"},
		`function.json: read: no such file`: {"t.t/function.json": `{"read": ["../nothing"]}`,
			"t.t/run": "#!/bin/sh\n"},
		`a link out of the folder, to`: {"t.t/run": "#!/bin/sh\n", "t.t/x": "-> ../secret",
			"secret": ""},
		`a link that leads nowhere`:                {"t.t/run": "#!/bin/sh\n", "t.t/x": "-> nothing"},
		`function.wasm: there is no function.wasm`: {"t.t/function.json": `{"mode": "wasm"}`},
		`command: a module is a file of the folder`: {
			"t.t/function.json": `{"mode": "wasm", "command": ["/x.wasm"]}`},
	} {
		want = strings.TrimPrefix(want, "function.wasm: ")
		files["good.one/run"] = "#!/bin/sh\n"
		delete(files, "secret/")
		found, faults := (&Loader{Path: "/usr/bin:/bin"}).Load(folder(t, files))
		if len(faults) != 1 || !strings.Contains(faults[0].Error(), want) {
			t.Errorf("%v, want %s", faults, want)
		}
		if len(found) != 1 || found[0].Type != "good.one" {
			t.Errorf("%s: found %v", want, found)
		}
	}
}

// TestInterpreter holds that one that doesn't start is passed over.
func TestInterpreter(t *testing.T) {
	t.Parallel()
	bins := folder(t, map[string]string{"shims/python3": "#!/bin/sh\n", "real/python": "#!/bin/sh\n"})
	shim := filepath.Join(bins, "shims/python3")
	l := &Loader{Path: bins + "/shims:" + bins + "/real", Starts: func(program string) bool {
		return program != shim
	}}
	dir := folder(t, map[string]string{"a.b/main.py": "x"})
	found, faults := l.Load(dir)
	if len(faults) > 0 ||
		!slices.Equal(found[0].Command, []string{bins + "/real/python", dir + "/a.b/main.py"}) {
		t.Errorf("%v, %v", found, faults)
	}
	l.Path = bins + "/shims"
	if _, faults = l.Load(dir); len(faults) != 1 ||
		!strings.Contains(faults[0].Error(), "main.py: "+shim+" does not start in the sandbox") {
		t.Error(faults)
	}
}

// TestDigest holds that the digest follows what a program is, and no more.
func TestDigest(t *testing.T) {
	t.Parallel()
	digest := func(files map[string]string) string {
		t.Helper()
		found, faults := (&Loader{Path: "/usr/bin:/bin"}).Load(folder(t, files))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		return found[0].Digest
	}
	one := digest(map[string]string{"a.b/main.sh": "echo 1"})
	if two := digest(map[string]string{"a.b/main.sh": "echo 1", "a.b/node_modules/x": "y"}); two != one {
		t.Error("node_modules count")
	}
	if two := digest(map[string]string{"a.b/main.sh": "echo 2"}); two == one {
		t.Error("content does not count")
	}
	if two := digest(map[string]string{"a.b/main.sh": "echo 1", "a.b/more.sh": ""}); two == one {
		t.Error("names do not count")
	}
}
