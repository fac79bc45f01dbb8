package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"longshore/installation"
	"longshore/internal/procfile"
	"longshore/internal/sdnotify"
)

// Config of a cluster.
type Config struct {
	Procfile string // its path; processes work in its folder
	EnvFile  string // path of the variables that are added to Environ, without overriding any; may be missing
	Environ  []string
	State    string // folder for the lock, the sockets and the dumps of silent processes
	// Formation says how many of each type; empty = one of each, but for release.
	Formation []Count
	// Socket is the port that all processes of type web get; nil = each opens its own.
	Socket *os.File
	Port   int           // of Socket, or the first of the own ones
	Grace  time.Duration // from SIGTERM to a process's end; it is killed 5 s later
	// Wanted says how many processes of a type with a range are wanted; nil: there may be no ranges.
	Wanted func(context.Context) (int, error)
	Self   string    // path of this program, for its other modes
	Out    io.Writer // of all processes
	Above  *sdnotify.Notifier
	Level  slog.Leveler // of the cluster's own lines
	JSON   bool         // which are JSON
}

// A Count is how many processes of a type are wanted.
type Count struct {
	Type string
	N    int
	Max  int // 0: N it is, always; else as many as are wanted from N to Max
}

// maxCount bounds the processes of a type.
const maxCount = 99

var countForm = regexp.MustCompile(`^([A-Za-z0-9_-]+)=([0-9]+)(?:\.\.([0-9]+))?$`)

// ParseCount reads name=number and name=least..most.
func ParseCount(text string) (Count, error) {
	m := countForm.FindStringSubmatch(text)
	if m == nil {
		return Count{}, fmt.Errorf("%q: expected name=number, as worker=4, or name=least..most", text)
	}
	n, err := strconv.Atoi(m[2])
	if err != nil || n > maxCount {
		return Count{}, fmt.Errorf("%q: expected a number from 0 to %d", text, maxCount)
	}
	if m[3] == "" {
		return Count{Type: m[1], N: n}, nil
	}
	most, err := strconv.Atoi(m[3])
	if err != nil || most > maxCount || most <= n {
		return Count{}, fmt.Errorf("%q: expected a second number from %d to %d", text, n+1, maxCount)
	}
	return Count{Type: m[1], N: n, Max: most}, nil
}

const (
	webType     = "web"     // has the port, on platforms too
	releaseType = "release" // is run by platforms, once a deploy
	ownPorts    = 100       // of each type
)

// definitions are what the two files say.
type definitions struct {
	types []procfile.Type
	env   map[string]string
}

// load reads the files. An error that other files would mend wraps installation.ErrSettings.
func (c *Config) load() (*definitions, error) {
	text, err := os.ReadFile(c.Procfile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", installation.ErrSettings, err)
	}
	env, err := LoadEnv(c.EnvFile)
	if err != nil {
		return nil, err
	}
	return c.parsed(string(text), env)
}

// parsed is load of a text that was read.
func (c *Config) parsed(text string, env map[string]string) (*definitions, error) {
	types, err := procfile.Parse(c.Procfile, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", installation.ErrSettings, err)
	}
	d := &definitions{types: types, env: env}
	for _, want := range c.Formation {
		if want.Max > 0 && c.Wanted == nil {
			return nil, fmt.Errorf("%w: %s=%d..%d: it takes a process of type %s here to say how many are wanted",
				installation.ErrSettings, want.Type, want.N, want.Max, webType)
		}
		if d.find(want.Type) < 0 {
			var names []string
			for _, t := range d.types {
				names = append(names, t.Name)
			}
			return nil, fmt.Errorf("%w: %s has no %s, but %s", installation.ErrSettings, c.Procfile,
				want.Type, strings.Join(names, ", "))
		}
	}
	return d, nil
}

// LoadEnv reads a .env file; one that isn't there has no variables.
func LoadEnv(name string) (map[string]string, error) {
	text, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", installation.ErrSettings, err)
	}
	env, err := procfile.ParseEnv(name, text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", installation.ErrSettings, err)
	}
	return env, nil
}

func (d *definitions) find(name string) int {
	return slices.IndexFunc(d.types, func(t procfile.Type) bool { return t.Name == name })
}

// formation is Config.Formation with what its being empty means.
func (c *Config) formation(d *definitions) []Count {
	if len(c.Formation) > 0 {
		return c.Formation
	}
	var counts []Count
	for _, t := range d.types {
		if t.Name != releaseType {
			counts = append(counts, Count{Type: t.Name, N: 1})
		}
	}
	return counts
}

// notTheirs are variables that are for this process only: a child that told systemd it
// stops would take all others with it.
var notTheirs = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID",
	"LISTEN_FDNAMES"}

// A recipe is how one process is started.
type recipe struct {
	env    []string
	args   []string
	socket bool // it gets the port, opened
}

// recipe makes that of a process; own are variables of its own, and win.
func (c *Config) recipe(d *definitions, typ string, number int, own ...string) (recipe, error) {
	index := d.find(typ)
	if index < 0 {
		return recipe{}, fmt.Errorf("there is no %s in %s any more", typ, c.Procfile)
	}
	socket := typ == webType && c.Socket != nil
	port := c.Port + ownPorts*index + number - 1
	if socket {
		port = c.Port
	}
	own = append(own, "PORT="+strconv.Itoa(port), "WATCHDOG_USEC="+
		strconv.FormatInt(silentAfter.Microseconds(), 10))
	if socket {
		own = append(own, "LISTEN_FDS=1")
	}
	env := map[string]string{}
	for name, value := range d.env {
		env[name] = value
	}
	for _, v := range c.Environ {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	for _, name := range notTheirs {
		delete(env, name)
	}
	for _, v := range own {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	if address, ok := env["METRICS_ADDR"]; ok {
		env["METRICS_ADDR"] = shift(address, ownPorts*index+number-1)
	}
	set, args := d.types[index].Command(func(name string) string { return env[name] })
	for _, v := range set {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	if len(args) == 0 {
		return recipe{}, fmt.Errorf("%s:%d: the command is empty", c.Procfile, d.types[index].Line)
	}
	r := recipe{args: args, socket: socket}
	for name, value := range env {
		r.env = append(r.env, name+"="+value)
	}
	slices.Sort(r.env)
	program, err := find(args[0], c.folder(), env["PATH"])
	if err != nil {
		return recipe{}, fmt.Errorf("%s:%d: %w", c.Procfile, d.types[index].Line, err)
	}
	r.args[0] = program
	return r, nil
}

// shift adds to the port of an address, unless that is one that is left to the system or
// can't be read: its process will say so.
func shift(address string, by int) string {
	i := strings.LastIndexByte(address, ':') + 1
	port, err := strconv.Atoi(address[i:])
	if err != nil || port == 0 {
		return address
	}
	return address[:i] + strconv.Itoa(port+by)
}

// folder is where processes work.
func (c *Config) folder() string { return filepath.Dir(c.Procfile) }

// find looks a program up as a shell in that folder does. The path is absolute.
func find(name, folder, path string) (string, error) {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		for _, dir := range filepath.SplitList(path) {
			candidates = append(candidates, filepath.Join(dir, name))
		}
	}
	for _, p := range candidates {
		if !filepath.IsAbs(p) {
			p = filepath.Join(folder, p)
		}
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return filepath.Abs(p)
		}
	}
	return "", fmt.Errorf("there is no program %s that could be run", name)
}
