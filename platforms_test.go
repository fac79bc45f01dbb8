package longshore

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"longshore/config"
	"longshore/internal/tooltest"
)

// settings are the names that programs read, and those that platforms' own files set.
func settings(more ...string) []string {
	for _, s := range config.Table() {
		more = append(more, s.Name)
	}
	return more
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestUnits has systemd judge the units, with programs that are there, and holds that each
// has a sandbox.
func TestUnits(t *testing.T) {
	t.Parallel()
	analyze := tooltest.Path(t, "systemd-analyze")
	units, err := filepath.Glob("docs/systemd/*")
	if err != nil || len(units) != 4 {
		t.Fatalf("%v, %v", units, err)
	}
	folder := t.TempDir()
	var files []string
	for _, unit := range units {
		text := read(t, unit)
		if strings.HasSuffix(unit, ".service") {
			for _, line := range []string{"\nType=notify\n", "\nNoNewPrivileges=yes\n",
				"\nProtectSystem=strict\n", "\nKillMode=mixed\n", "\nRestartPreventExitStatus=78\n",
				"\nCapabilityBoundingSet=\n"} {
				if !strings.Contains(text, line) {
					t.Errorf("%s lacks%s", unit, line)
				}
			}
		}
		for _, m := range regexp.MustCompile(`(?m)^Environment=([A-Z_]+)=`).FindAllStringSubmatch(text, -1) {
			if !slices.Contains(settings(), m[1]) {
				t.Errorf("%s sets %s, which is no setting", unit, m[1])
			}
		}
		text = regexp.MustCompile(`/usr/local/bin/\w+`).ReplaceAllString(text, "/bin/true")
		text = strings.NewReplacer("User=longshore", "User=root", "file:///srv/longshore/docs/cluster.md",
			"man:true(1)").Replace(text)
		name := filepath.Join(folder, filepath.Base(unit))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	out, err := exec.Command(analyze, append([]string{"verify", "--man=no", "--recursive-errors=one"},
		files...)...).CombinedOutput()
	if err != nil || strings.Contains(string(out), folder) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// One that is wrong must be found: else this test says nothing.
	bad := filepath.Join(folder, "bad.service")
	if err := os.WriteFile(bad, []byte("[Service]\nExecStart=/bin/true\nRestart=perhaps\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := exec.Command(analyze, "verify", "--man=no", bad).
		CombinedOutput(); !strings.Contains(string(out), "perhaps") {
		t.Errorf("a wrong unit passes: %s", out)
	}
}

// TestAppJSON holds Heroku's file to its documented members, and to our settings and the
// Procfile (devcenter.heroku.com/articles/app-json-schema).
func TestAppJSON(t *testing.T) {
	t.Parallel()
	type variable struct {
		Description, Generator, Value string
		Required                      *bool
	}
	var app struct {
		Name, Description, Stack string
		Keywords, Addons         []string
		Buildpacks               []struct{ URL string }
		Formation                map[string]struct {
			Quantity int
			Size     string
		}
		Env map[string]variable
	}
	d := json.NewDecoder(strings.NewReader(read(t, "app.json")))
	d.DisallowUnknownFields()
	if err := d.Decode(&app); err != nil {
		t.Fatal(err)
	}
	for name, v := range app.Env {
		if !slices.Contains(settings(), name) || v.Description == "" || v.Generator != "" &&
			v.Generator != "secret" {
			t.Errorf("env %s: %+v", name, v)
		}
	}
	procfile := read(t, "Procfile")
	for typ := range app.Formation {
		if !strings.Contains("\n"+procfile, "\n"+typ+": ") {
			t.Errorf("the Procfile has no %s", typ)
		}
	}
	if len(app.Formation) != 2 || len(app.Env) < 5 {
		t.Errorf("%+v", app)
	}
}

// TestDockerfile holds the image to what can be seen without docker: what is copied is
// there, the programs are those that are built, nobody is root, and variables are settings.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(read(t, "Dockerfile"), "\\\n", " ")
	stages := strings.Split(text, "\nFROM ")
	last := stages[len(stages)-1]
	if len(stages) != 3 || !strings.HasPrefix(last, "scratch\n") ||
		!strings.Contains(last, "\nUSER 65532:65532\n") {
		t.Errorf("%d stages, the last is %s", len(stages)-1, last)
	}
	for _, m := range regexp.MustCompile(`"?/bin/(\w+)"`).FindAllStringSubmatch(last+read(t, "compose.yaml"), -1) {
		if _, err := os.Stat(filepath.Join("cmd", m[1])); err != nil {
			t.Errorf("there is no program %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^COPY ([a-z.]+) ([a-z.]+) \./$`).FindAllStringSubmatch(text, -1) {
		for _, name := range m[1:] {
			if _, err := os.Stat(name); err != nil {
				t.Error(err)
			}
		}
	}
	known := settings("PATH", "TMPDIR")
	for _, line := range regexp.MustCompile(`(?m)^ENV (.*)$`).FindAllStringSubmatch(text, -1) {
		for _, v := range strings.Fields(line[1]) {
			if name, _, _ := strings.Cut(v, "="); !slices.Contains(known, name) {
				t.Errorf("ENV %s is no setting", name)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^      ([A-Z_]+): `).
		FindAllStringSubmatch(read(t, "compose.yaml"), -1) {
		if !slices.Contains(known, m[1]) {
			t.Errorf("compose.yaml sets %s, which is no setting", m[1])
		}
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))[1]
	if !strings.Contains(text, "FROM golang:"+version+" ") {
		t.Errorf("go.mod has Go %s, the Dockerfile another", version)
	}
}
