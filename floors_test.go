package longshore

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path of this module: go.mod is the one place that says it, and
// make module-path changes it everywhere.
var module = func() string {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		panic(err)
	}
	return regexp.MustCompile(`(?m)^module (\S+)$`).FindStringSubmatch(string(text))[1]
}()

// floors is the house's plan: a package imports only packages on lower floors.
// Every package stands here, so that a new one is placed on purpose.
var floors = map[string]int{
	// 0: words and tools that know nobody
	"job":                 0,
	"config":              0,
	"installation":        0,
	"internal/version":    0, // which build this is
	"internal/access":     0,
	"internal/redisdb":    0,
	"internal/localredis": 0,
	"internal/loggen":     0,
	"internal/accesslog":  0,
	"internal/collector":  0,
	"internal/stream":     0,
	"internal/jq":         0,
	"internal/imaging":    0,
	"internal/blob":       0,
	"internal/family":     0,
	"internal/cgroup":     0,
	"internal/isolate":    0,
	"internal/loop":       0,
	"internal/memory":     0, // what this process holds
	"internal/batch":      0,
	"internal/lock":       0,
	"internal/sandbox":    0,
	"internal/printable":  0,
	"internal/strictjson": 0,
	"internal/sealing":    0,
	"internal/tracing":    0,
	"internal/procfile":   0,
	"internal/sdnotify":   0,
	"internal/cron":       0, // when ticks of schedules are
	"functions/lib":       0, // helpers in other languages, as text
	"internal/bytesize":   0,
	"internal/receiver":   0, // where callbacks go, and by what they are verified
	// 1: nouns of this system, adapters of a single technology
	"tasks":                    1,
	"answer":                   1,
	"internal/httpapi":         1,
	"internal/asynqtask":       2, // jobs of asynq's tasks
	"internal/hub":             1,
	"internal/access/store":    2,
	"internal/access/token":    3,
	"internal/access/gate":     3,
	"internal/access/password": 0,
	"internal/access/people":   3,
	"internal/jobstore":        1,
	"internal/metrics":         1,
	"internal/cluster":         1, // the processes of a Procfile
	"internal/blob/disk":       1,
	"internal/blob/memory":     1,
	"internal/blob/bucket":     1,
	// 2: verbs
	"handlers":                    2,
	"client":                      2,
	"asynqjobs":                   3, // producers and handlers of asynq's
	"internal/queue":              2,
	"internal/functions/registry": 2, // which functions are deployed
	"internal/scaling":            2, // how many workers are wanted
	"internal/webhook":            2,
	"internal/refusal":            2, // the one table of errors
	// 3: the one way in
	"internal/submit":             3,
	"internal/functions":          3, // folders of foreign programs, and the seam to what runs them
	"internal/functions/starter":  4, // the first function in a language
	"internal/functions/program":  4, // starts the programs of functions, for the modes
	"internal/functions/exec":     4, // modes
	"internal/functions/lambda":   4,
	"internal/functions/wasm":     4,
	"internal/functions/host":     4, // knows all modes
	"internal/functions/deployed": 4, // functions that come over the API, packed and unpacked
	"internal/operate":            3, // what an operator does
	"internal/schedules":          3, // makes jobs at their ticks
	"internal/limits":             3, // how much may come in
	"internal/gather":             2, // what became of a batch's jobs, as a file
	"internal/claimer":            3, // … and how a program of ours does
	"internal/claims":             3, // work that programs claim over HTTP
	"internal/overview":           3, // what waits, and who is there to take it
	// and the edge of HTTP, which knows no jobs
	"internal/web/edge": 3,
	// 4: assemblies
	"internal/asynqmove":     4, // makes jobs of the tasks in asynq's queues
	"internal/janitor":       4,
	"internal/alerts":        4, // what is wrong, and who is told
	"internal/connect":       4,
	"internal/tus":           4,
	"internal/web/api":       4,
	"internal/web/push":      4,
	"internal/web/upload":    4,
	"internal/web/work":      4,
	"internal/web/login":     4,
	"internal/web/release":   4,
	"internal/web/dashboard": 4,
	// 5: takes a ticket, runs it, records it
	"worker":          5,
	"direct":          5, // the way in without a web process
	"internal/backup": 5, // open jobs and all else that is needed, into files and back
	"internal/web":    5, // joins the wings
	// 6: what programs share; the comparison with stock asynq
	"cmd/internal/cli":     5, // the command line
	"cmd/internal/program": 6,
	"cmd/internal/within":  6, // the command line, on Redis itself
	"cmd/internal/trial":   6, // functions, tried where they are written
	"cmd/internal/work":    6, // a program that runs claimed jobs
	"bench":                6,
	"bench/streams":        7,
	"e2e":                  7,
	"e2e/swarm":            6,
	"e2e/leaker":           6, // a worker that leaks
	"e2e/asynqapp":         6, // a worker of somebody who comes from asynq
	// 7: programs
	"cmd/web":            7,
	"cmd/worker":         7,
	"cmd/enqueue":        7,
	"cmd/dev":            7,
	"cmd/cluster":        7,
	"release":            7,
	"release/modulepath": 7,

	// Chaos runs: what they leave behind, who judges it, what is struck, the clients.
	"internal/chaos/history": 0,
	"internal/chaos/check":   1,
	"internal/chaos/machine": 2,
	"internal/chaos/load":    2,
	"internal/chaos":         7,

	// Support of tests: on the floor above what they test. Only tests import them.
	"internal/localredis/redistest":   1,
	"internal/blob/blobtest":          1,
	"internal/blob/bucket/buckettest": 2,
	"internal/tooltest":               0,
	"handlers/handlerstest":           3,
}

const programs = 7

// sideways lists imports within one floor that are meant.
var sideways = map[string][]string{
	"internal/connect": {"internal/janitor", "internal/alerts"}, // each connected process has one
	"internal/httpapi": {"answer"},                              // how both sides of HTTP answer
	"internal/stream":  {"internal/jq"},                         // stages that filter and map
	"internal/memory":  {"internal/family"},                     // what the system says of a process
	"internal/isolate": {"internal/family", "internal/sandbox"}, // children are families, some in a sandbox
	"tasks":            {"internal/httpapi"},                    // the names of controls

	"internal/schedules": {"internal/submit"}, // their jobs come in by its rules

	"internal/functions/exec":     {"internal/functions/program"},
	"internal/functions/lambda":   {"internal/functions/program"},
	"internal/functions/deployed": {"internal/functions/wasm"}, // reads modules in its children
	"internal/functions/host": {"internal/functions/program", "internal/functions/exec",
		"internal/functions/lambda", "internal/functions/wasm"},
	"config":           {"internal/bytesize"},
	"internal/imaging": {"internal/sandbox"}, // programs that read strangers' images
}

// forbidden lists imports that the floors would allow and the design does not.
var forbidden = map[string][]string{
	"client": {"tasks", "handlers", "internal/blob", "internal/stream"},
}

// The rooms of web: an edge that knows no jobs, and wings over it that don't know each
// other. All speak to what lies behind through small interfaces that cmd/web wires.
const (
	webRoom  = "internal/web"
	edgeRoom = "internal/web/edge"
)

var (
	// edgeKnows is all of ours that the edge may import.
	edgeKnows = []string{"internal/access", "internal/blob", "internal/httpapi", "internal/strictjson", "internal/tracing"}
	// webKnowsNot is what no room of web may import.
	webKnowsNot = []string{"internal/queue", "internal/jobstore", "internal/connect", "internal/redisdb",
		"internal/batch", "internal/lock", "internal/tus", "internal/access/gate", "internal/access/token"}
)

// keepers says which packages may import a third-party module. Where there are
// two, each speaks to another side of it.
var keepers = map[string][]string{
	"go.opentelemetry.io/otel":       {"internal/tracing"},
	"go.opentelemetry.io/proto/otlp": {"e2e"},                                         // what a collector is sent
	"github.com/hibiken/asynq":       {"internal/queue", "asynqjobs", "e2e/asynqapp"}, // its tools; its client and its server
	"google.golang.org/protobuf":     {"internal/asynqtask"},                          // the form of asynq's messages
	"github.com/redis/go-redis/v9": {"internal/redisdb", "internal/access/store", "internal/batch",
		"internal/lock", "internal/functions/registry", "internal/operate", "internal/jobstore",
		"internal/queue", "internal/limits", "internal/scaling", "internal/connect", "internal/janitor",
		"internal/alerts", "internal/claims", "internal/chaos", "internal/asynqmove", "asynqjobs"},
	"github.com/robfig/cron/v3":          {"internal/cron"}, // in a test: what others mean by an expression
	"github.com/alicebob/miniredis/v2":   {"internal/localredis"},
	"github.com/sethvargo/go-envconfig":  {"config"},
	"github.com/go-json-experiment/json": {"internal/strictjson"},
	"github.com/danielgtaylor/huma/v2": {"tasks", // schemas
		"internal/web", "internal/web/edge", "internal/web/api", "internal/web/push",
		"internal/web/upload", "internal/web/login", "internal/web/work"}, // routes
	"github.com/MicahParks/keyfunc/v3":    {"internal/access/token"},
	"golang.org/x/time":                   {"internal/access/token", "internal/tracing"},
	"github.com/golang-jwt/jwt/v5":        {"internal/access/token"},
	"github.com/alexedwards/scs/v2":       {"internal/access/people"},
	"github.com/coreos/go-oidc/v3":        {"internal/access/people"},
	"golang.org/x/oauth2":                 {"internal/access/people"},
	"github.com/go-webauthn/webauthn":     {"internal/access/people"},
	"github.com/pquerna/otp":              {"internal/access/people"},
	"golang.org/x/crypto":                 {"internal/access/password"},
	"github.com/coder/websocket":          {"internal/web/push", "internal/chaos/load"},
	"github.com/prometheus/client_golang": {"internal/metrics"},
	"github.com/klauspost/compress":       {"internal/stream"},
	"github.com/axiomhq/hyperloglog":      {"internal/stream", "handlers"},
	"github.com/itchyny/gojq":             {"internal/jq"},
	"github.com/cespare/xxhash/v2":        {"internal/stream", "handlers"},
	"github.com/spf13/cobra":              {"cmd/internal/cli", "cmd/internal/trial"},
	"github.com/spf13/pflag":              {"cmd/internal/cli"}, // cobra's flags
	"github.com/vbauerster/mpb/v8":        {"cmd/internal/cli"},
	"github.com/tus/tusd/v2":              {"internal/tus"},
	"golang.org/x/exp":                    {"internal/tus"},                          // tusd's slog
	"golang.org/x/net":                    {"internal/webhook", "internal/receiver"}, // suffixes; names in other alphabets
	"golang.org/x/image":                  {"internal/imaging"},
	"github.com/aws/aws-sdk-go-v2":        {"internal/blob/bucket"},
	"github.com/aws/smithy-go":            {"internal/blob/bucket"},
	"golang.org/x/text":                   {"internal/stream"}, // encodings
	"golang.org/x/sys": {"internal/localredis", "internal/family", "internal/isolate", "internal/sandbox",
		"internal/blob/disk", "internal/functions/program", "internal/chaos/history",
		"internal/functions/lambda", "internal/functions/wasm",
		"internal/functions/deployed", "cmd/internal/cli"},
	"github.com/tetratelabs/wazero": {"internal/functions/wasm"},
}

// testOnly lists modules that only tests (and their support packages) import.
var testOnly = []string{
	"github.com/google/go-cmp",
	"github.com/rogpeppe/go-internal",
	"go.uber.org/goleak",
	"pgregory.net/rapid",
}

// Limits on one file, in lines. Ours aim at far less.
const maxLines = 600

// A source is one Go file as the tests below need it.
type source struct {
	name    string // slash-separated, from the root
	pkg     string // folder
	test    bool
	imports []string
	text    []byte
}

// sources reads every Go file of this module from disk. It does not run the
// go command: go test would answer from its cache after a violation.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	root := os.DirFS(".")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == "." {
				return nil
			}
			if base := path.Base(name); base[0] == '.' || base[0] == '_' || base == "testdata" ||
				base == "vendor" {
				return fs.SkipDir
			}
			if _, err := fs.Stat(root, path.Join(name, "go.mod")); err == nil {
				return fs.SkipDir // a module of its own
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		src := source{name: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go")}
		if src.text, err = fs.ReadFile(root, name); err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src.text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			src.imports = append(src.imports, imported)
		}
		all = append(all, src)
		return nil
	})
	if err != nil {
		t.Fatalf("read the sources: %v", err)
	}
	return all
}

// supportsTests reports whether a package is there for tests of others.
func supportsTests(pkg string) bool { return strings.HasSuffix(pkg, "test") }

func TestFloors(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, src := range sources(t) {
		if src.pkg == "." {
			continue
		}
		seen[src.pkg] = true
		floor, ok := floors[src.pkg]
		if !ok {
			t.Errorf("%s: package %s has no floor; place it in floors_test.go", src.name, src.pkg)
			continue
		}
		for _, imported := range src.imports {
			other, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if why := mayImport(src, floor, other); why != "" {
				t.Errorf("%s (floor %d) imports %s: %s", src.name, floor, other, why)
			}
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(floors)) {
		if !seen[pkg] {
			t.Errorf("package %s has a floor but no files", pkg)
		}
	}
}

// mayImport returns what is wrong with an import of another of our packages,
// or "". A test may look down from any floor and at its own package.
func mayImport(src source, floor int, other string) string {
	otherFloor, ok := floors[other]
	switch {
	case !ok:
		return "it has no floor"
	case src.test && (other == src.pkg || supportsTests(other)):
		return ""
	case supportsTests(other) && !supportsTests(src.pkg):
		return "it is for tests only"
	case other == "config" && !strings.HasPrefix(src.pkg, "cmd/"):
		return "only programs read the configuration"
	case otherFloor == programs:
		return "nobody imports a program"
	case slices.Contains(forbidden[src.pkg], other) && !src.test:
		return "the design forbids it"
	case otherFloor >= floor && !slices.Contains(sideways[src.pkg], other) && !src.test:
		return "it is not on a lower floor"
	}
	return ""
}

func TestWings(t *testing.T) {
	t.Parallel()
	for _, src := range sources(t) {
		for _, imported := range src.imports {
			other, ours := strings.CutPrefix(imported, module+"/")
			if !ours || src.test {
				continue
			}
			if why := wrongInWeb(src.pkg, other); why != "" {
				t.Errorf("%s imports %s: %s", src.name, other, why)
			}
		}
	}
}

// wrongInWeb returns what is wrong with an import of one room by another, or "".
func wrongInWeb(pkg, other string) string {
	inside := func(pkg string) bool { return within(pkg, webRoom) }
	switch {
	case inside(other) && !inside(pkg) && other != webRoom:
		return "who serves HTTP imports " + webRoom + " alone"
	case !inside(pkg):
		return ""
	case slices.Contains(webKnowsNot, other):
		return "web speaks through interfaces"
	case pkg == edgeRoom && !slices.Contains(edgeKnows, other):
		return "the edge knows no jobs"
	case pkg != webRoom && inside(other) && other != edgeRoom:
		return "a wing imports the edge, and no other room of web"
	}
	return ""
}

// clientStandsOn is all of ours that the client carries, on each system: words and HTTP. What works on Redis
// itself is for cmd/internal/within, which the worker has.
var clientStandsOn = []string{"answer", "client", "cmd/internal/cli", "config", "internal/access",
	"internal/bytesize", "internal/claimer", "internal/functions/starter", "internal/httpapi", "internal/loop",
	"internal/printable", "internal/receiver", "internal/strictjson", "internal/version", "job"}

// clientUses are the modules of others that it carries.
var clientUses = []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/vbauerster/mpb/v8",
	"github.com/sethvargo/go-envconfig", "github.com/go-json-experiment/json", "golang.org/x/net", "golang.org/x/sys"}

// TestClient holds that the client, with all it stands on, runs no jobs and knows no Redis. It reads
// the files of all systems.
func TestClient(t *testing.T) {
	t.Parallel()
	imports := map[string][]string{}
	for _, src := range sources(t) {
		if !src.test {
			imports[src.pkg] = append(imports[src.pkg], src.imports...)
		}
	}
	const client = "cmd/enqueue"
	seen := map[string]bool{}
	for next := []string{client}; len(next) > 0; next = next[1:] {
		for _, imported := range imports[next[0]] {
			first, _, _ := strings.Cut(imported, "/")
			other, ours := strings.CutPrefix(imported, module+"/")
			switch {
			case seen[imported] || !ours && !strings.Contains(first, "."):
				continue
			case ours && slices.Contains(clientStandsOn, other):
				next = append(next, other)
			case ours || !slices.Contains(clientUses, keptModule(imported)):
				t.Errorf("%s comes into the client by %s", imported, next[0])
			}
			seen[imported] = true
		}
	}
	for _, pkg := range clientStandsOn {
		if !seen[module+"/"+pkg] {
			t.Errorf("the client doesn't stand on %s any more: take it off its list", pkg)
		}
	}
}

// TestWingsHold tries imports that must be wrong, and such that must not.
func TestWingsHold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pkg, other string
		wrong      bool
	}{
		{"internal/web/api", "internal/web/push", true},
		{"internal/web/push", "internal/web/api", true},
		{"internal/web/upload", "internal/web", true},
		{"internal/web/edge", "internal/web/api", true},
		{"internal/web/edge", "internal/hub", true},
		{"internal/web/edge", "internal/submit", true},
		{"internal/web/edge", "job", true},
		{"internal/web/api", "internal/jobstore", true},
		{"internal/web", "internal/connect", true},
		{"internal/web/dashboard", "internal/web/api", true},
		{"internal/tus", "internal/web/edge", true},
		{"internal/webhook", "internal/jobstore", false},
		{"internal/web/api", "internal/web/edge", false},
		{"internal/web/api", "internal/submit", false},
		{"internal/web", "internal/web/push", false},
		{"cmd/internal/program", "internal/web", false},
	} {
		if why := wrongInWeb(c.pkg, c.other); (why != "") != c.wrong {
			t.Errorf("%s imports %s: %q", c.pkg, c.other, why)
		}
	}
}

func TestThirdParty(t *testing.T) {
	t.Parallel()
	for _, src := range sources(t) {
		for _, imported := range src.imports {
			first, _, _ := strings.Cut(imported, "/")
			if within(imported, module) || !strings.Contains(first, ".") {
				continue // ours, or the standard library
			}
			if slices.ContainsFunc(testOnly, func(mod string) bool { return within(imported, mod) }) {
				if !src.test && !supportsTests(src.pkg) {
					t.Errorf("%s imports %s, which is for tests only", src.name, imported)
				}
				continue
			}
			mod := keptModule(imported)
			if mod == "" {
				t.Errorf("%s imports %s, which has no keeper; see keepers in floors_test.go", src.name,
					imported)
			} else if !src.test && !supportsTests(src.pkg) && !slices.Contains(keepers[mod], src.pkg) {
				t.Errorf("%s imports %s, which %s keeps", src.name, imported,
					strings.Join(keepers[mod], ", "))
			}
		}
	}
}

// scriptFiles are all files that may have scripts.
func scriptFiles(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (path.Ext(name) == ".lua" || path.Ext(name) == ".go") {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Fatal(err)
	}
	return names
}

func keptModule(imported string) string {
	for mod := range keepers {
		if within(imported, mod) {
			return mod
		}
	}
	return ""
}

// within reports whether an import path belongs to a module.
func within(imported, mod string) bool {
	return imported == mod || strings.HasPrefix(imported, mod+"/")
}

func TestHabits(t *testing.T) {
	t.Parallel()
	for _, src := range sources(t) {
		if lines := bytes.Count(src.text, []byte("\n")); lines > maxLines {
			t.Errorf("%s has %d lines; split it below %d", src.name, lines, maxLines)
		}
		// In a synctest bubble a sleep costs no time. The word is written in two
		// parts, so that this file does not find itself.
		if src.test && bytes.Contains(src.text, []byte("time."+"Sleep(")) &&
			!slices.Contains(src.imports, "testing/synctest") {
			t.Errorf("%s sleeps; wait for an event, or use testing/synctest", src.name)
		}
		switch base := path.Base(src.pkg); base {
		case "util", "utils", "common", "helpers", "pkg", "models":
			t.Errorf("%s: a package named %s says nothing about what is in it", src.name, base)
		}
	}
	// A script on a Cluster gets one key more than its caller names (redisdb.guard): how many it was to get
	// is for its caller to say.
	for _, name := range scriptFiles(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"pairs(KEY" + "S)", "#KEY" + "S", "unpack(KEY" + "S)"} {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s has %s: let the caller say how many keys there are", name, word)
			}
		}
	}
	if _, err := os.Stat(filepath.Join("tools", "go.mod")); err != nil {
		t.Errorf("the pinned tools: %v", err)
	}
}
