package wasm

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"longshore/internal/isolate"
)

// mark begins an order's body that is a module's work.
const mark = "wasm\n"

// A work is one job of a module, as the child gets it.
type work struct {
	Module string   `json:"module"`          // path of the file
	Key    string   `json:"key"`             // tells its content from others
	Cache  string   `json:"cache"`           // folder of what is compiled; "" = none
	Check  bool     `json:"check,omitempty"` // only compile it
	Read   bool     `json:"read,omitempty"`  // not even that
	Memory int64    `json:"memory"`          // most of the module's, in bytes
	Args   []string `json:"args"`
	Env    []string `json:"env"` // NAME=value

	Work     string `json:"work"`     // folder that becomes /work
	Function string `json:"function"` // … and /function
	Stdin    string `json:"stdin"`    // pipes, by path; "" = nothing
	Stdout   string `json:"stdout"`
	Stderr   string `json:"stderr"`
}

// A reply says how it ended.
type reply struct {
	Exit        int    `json:"exit"`
	OutOfMemory bool   `json:"out_of_memory,omitempty"`
	Trap        string `json:"trap,omitempty"`  // what broke it, where it didn't exit
	Fault       string `json:"fault,omitempty"` // nothing ran: what is wrong with the module
	Host        string `json:"host,omitempty"`  // nothing ran: what is wrong here
}

// Serves reports whether an order is for Serve.
func Serves(o *isolate.Order) bool { return bytes.HasPrefix(o.Body, []byte(mark)) }

// Serve does one job, in the child. Only one runs at a time.
func Serve(_ context.Context, o *isolate.Order) (text []byte, worn bool) {
	var w work
	var r reply
	if err := json.Unmarshal(o.Body[len(mark):], &w); err != nil {
		r.Host = "job can't be read: " + err.Error()
	} else {
		r = w.do()
	}
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // only words and numbers
	}
	return text, r.Host != ""
}

func (w *work) do() (r reply) {
	defer func() {
		// A module whose first memory is refused makes wazero panic; anything else it
		// should not.
		if p := recover(); p != nil {
			r = reply{Trap: fmt.Sprint("wazero: ", p)}
		}
	}()
	if w.Read {
		return w.read()
	}
	m, err := modules.get(w)
	if err != nil {
		var here *hostError
		if errors.As(err, &here) {
			return reply{Host: err.Error()}
		}
		return reply{Fault: err.Error()}
	}
	if w.Check {
		return reply{}
	}
	files, err := w.open()
	defer files.close()
	if err != nil {
		return reply{Host: err.Error()}
	}
	return w.run(m, files)
}

// read reads a module without compiling it.
func (w *work) read() reply {
	text, err := os.ReadFile(w.Module)
	if err != nil {
		return reply{Host: err.Error()}
	}
	if err := Validate(text); err != nil {
		return reply{Fault: err.Error()}
	}
	return reply{}
}

// run makes an instance of a module and sees it to its end.
func (w *work) run(m *module, f *files) reply {
	c := wazero.NewModuleConfig().WithName("").WithStdin(f.stdin).WithStdout(f.stdout).WithStderr(f.stderr).
		WithArgs(w.Args...).
		WithRandSource(rand.Reader).WithSysWalltime().WithSysNanotime().WithSysNanosleep()
	for _, v := range w.Env {
		name, value, _ := strings.Cut(v, "=")
		c = c.WithEnv(name, value)
	}
	fs := wazero.NewFSConfig().(sysfs.FSConfig).WithSysFSMount(unlinked{sysfs.DirFS(w.Work)}, "/work")
	fs = fs.(sysfs.FSConfig).WithSysFSMount(&sysfs.ReadFS{FS: sysfs.DirFS(w.Function)}, "/function")
	memory := &memories{most: uint64(w.Memory)}
	defer memory.free()
	ctx := experimental.WithMemoryAllocator(context.Background(), memory)
	instance, err := m.runtime.InstantiateModule(ctx, m.compiled, c.WithFSConfig(fs))
	if instance != nil {
		_ = instance.Close(ctx) // it has ended
	}
	var exit *sys.ExitError
	switch {
	case err == nil:
		return reply{}
	case errors.As(err, &exit):
		return reply{Exit: int(exit.ExitCode()), OutOfMemory: exit.ExitCode() != 0 && memory.refused}
	}
	return reply{Trap: err.Error(), OutOfMemory: memory.refused}
}

// hostError is a fault of the child's or its surroundings', not of the module.
type hostError struct{ err error }

func (h *hostError) Error() string { return h.err.Error() }
func (h *hostError) Unwrap() error { return h.err }

// mostModules is how many compiled modules a child keeps.
const mostModules = 4

// A module is compiled, with a runtime of its own, so that closing it frees all it had.
type module struct {
	key      string
	cache    wazero.CompilationCache // nil = none
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
}

// A shelf has the modules that were used last, the newest at its end. Only one job at a
// time uses it.
type shelf []*module

var modules shelf

func (s *shelf) get(w *work) (*module, error) {
	if i := slices.IndexFunc(*s, func(m *module) bool { return m.key == w.Key }); i >= 0 {
		m := (*s)[i]
		*s = append(slices.Delete(*s, i, i+1), m)
		return m, nil
	}
	text, err := os.ReadFile(w.Module)
	if err != nil {
		return nil, &hostError{err}
	}
	if len(*s) >= mostModules {
		(*s)[0].close()
		*s = slices.Delete(*s, 0, 1)
	}
	m, err := compile(text, w.Cache)
	if err != nil {
		return nil, err
	}
	m.key = w.Key
	*s = append(*s, m)
	return m, nil
}

// compile compiles a module, or fetches what was compiled before from the folder.
func compile(text []byte, folder string) (*module, error) {
	ctx := context.Background()
	config := wazero.NewRuntimeConfig().WithCloseOnContextDone(false)
	m := &module{}
	var err error
	if folder != "" {
		// A cache of its own on the shared folder: what a cache holds in memory lives as
		// long as it does.
		if m.cache, err = wazero.NewCompilationCacheWithDir(folder); err != nil {
			return nil, &hostError{err}
		}
		config = config.WithCompilationCache(m.cache)
	}
	m.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if err := m.load(text); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// Validate says what is wrong with a module, without compiling it.
func Validate(text []byte) error {
	m := &module{runtime: wazero.NewRuntimeWithConfig(context.Background(),
		wazero.NewRuntimeConfigInterpreter())}
	defer m.close()
	return m.load(text)
}

// load reads a module and says why it can't run here.
func (m *module) load(text []byte) (err error) {
	ctx := context.Background()
	if _, err = wasi_snapshot_preview1.Instantiate(ctx, m.runtime); err != nil {
		return &hostError{err}
	}
	if m.compiled, err = m.runtime.CompileModule(ctx, text); err != nil {
		return err
	}
	return m.fits()
}

// fits says why a module can't run here: it has no start, or wants what there isn't.
func (m *module) fits() error {
	if _, ok := m.compiled.ExportedFunctions()["_start"]; !ok {
		return errors.New("is no command: it exports no _start")
	}
	there := m.runtime.Module(wasi_snapshot_preview1.ModuleName).ExportedFunctionDefinitions()
	for _, f := range m.compiled.ImportedFunctions() {
		from, name, _ := f.Import()
		if from != wasi_snapshot_preview1.ModuleName || there[name] == nil {
			return fmt.Errorf("imports %s.%s, which is not there: only %s is", from, name,
				wasi_snapshot_preview1.ModuleName)
		}
	}
	if len(m.compiled.ImportedMemories()) > 0 {
		return errors.New("imports a memory, which is not there")
	}
	return nil
}

func (m *module) close() {
	ctx := context.Background()
	_ = m.runtime.Close(ctx) // nothing of it runs
	if m.cache != nil {
		_ = m.cache.Close(ctx)
	}
}

// files are a job's pipes.
type files struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	opened         []*os.File
}

// open opens the pipes. The worker has their other ends open.
func (w *work) open() (*files, error) {
	f := &files{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	for _, one := range []struct {
		path string
		flag int
		use  func(*os.File)
	}{
		// Not blocking: all may be written already, and nobody there who writes.
		{w.Stdin, os.O_RDONLY | syscall.O_NONBLOCK, func(file *os.File) { f.stdin = file }},
		{w.Stdout, os.O_WRONLY, func(file *os.File) { f.stdout = file }},
		{w.Stderr, os.O_WRONLY, func(file *os.File) { f.stderr = file }},
	} {
		if one.path == "" {
			continue
		}
		file, err := os.OpenFile(one.path, one.flag, 0)
		if err != nil {
			return f, err
		}
		f.opened = append(f.opened, file)
		one.use(file)
	}
	return f, nil
}

func (f *files) close() {
	for _, file := range f.opened {
		_ = file.Close()
	}
}
