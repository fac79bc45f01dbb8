package host

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"longshore/internal/sandbox"
)

// attacker is a function that goes for all around it, and tells the error of each try.
const attacker = `import ctypes, json, os, signal, socket
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long

def seize(pid):
    if libc.ptrace(0x4206, pid, None, None) != 0:  # PTRACE_SEIZE
        raise OSError(ctypes.get_errno(), "ptrace")

def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.connect(address)

def handler(event, context):
    pid = event["worker"]
    tries = {
        "environment": lambda: open(f"/proc/{pid}/environ").read(),
        "memory": lambda: os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR)),
        "unix socket": lambda: connect(socket.AF_UNIX, event["unix"]),
        "TCP port": lambda: connect(socket.AF_INET, ("127.0.0.1", event["port"])),
        "another job's file": lambda: open(event["other"]).read(),
        "another job's folder": lambda: os.listdir(os.path.dirname(event["other"])),
        "own folder": lambda: open(os.environ["LONGSHORE_FUNCTION"] + "/new", "w").close(),
        "own code": lambda: open(__file__, "a").close(),
        "ptrace": lambda: seize(pid),
        "kill": lambda: os.kill(pid, signal.SIGKILL),
    }
    said = {}
    for name, attempt in tries.items():
        try:
            attempt()
            said[name] = 0
        except OSError as e:
            said[name] = e.errno
    return said

if __name__ == "__main__":
    print(json.dumps(handler(json.load(open(os.environ["LONGSHORE_PAYLOAD"])), None)))
`

// The layers, and the errors by which their refusals are told apart.
var (
	byFiles     = layer{"Landlock's rules of files", syscall.EACCES}
	byPorts     = layer{"Landlock's rules of ports", syscall.EACCES}
	byDomain    = layer{"Landlock: no look into processes outside", syscall.EACCES}
	byScope     = layer{"Landlock: no signals to processes outside", syscall.EPERM}
	bySeccomp   = layer{"the seccomp filter", syscall.EPERM}
	needsSystem = []string{"memory", "ptrace"} // which a container may bar by rules of its own
)

type layer struct {
	name  string
	errno syscall.Errno
}

// TestAttacks lets functions in mode require go for what is around them, and says which
// layer stops each try. Without the sandbox the same tries succeed: they are in earnest.
func TestAttacks(t *testing.T) {
	t.Parallel()
	const python = "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		t.Skip("needs ", python)
	}
	if lacks := sandbox.Missing(); lacks != "" {
		t.Skip("this system has no " + lacks)
	}
	always := map[string]layer{"environment": byDomain, "memory": byDomain, "unix socket": bySeccomp,
		"another job's file": byFiles, "another job's folder": byFiles, "own folder": byFiles,
		"own code": byFiles, "ptrace": bySeccomp, "kill": byScope}
	exec := fmt.Sprintf(`"mode": "exec", "command": [%q, "attack.py"]`, python)
	lambda := fmt.Sprintf(`"mode": "lambda", "command": [%q, "longshore.py", "attack.handler"]`, python)
	for name, c := range map[string]struct {
		manifest string
		port     layer
		open     bool // there is no sandbox
	}{
		"exec": {manifest: `{"sandbox": "require", ` + exec + `}`, port: bySeccomp},
		"exec with a network": {manifest: `{"sandbox": "require", "network": [1], ` + exec + `}`,
			port: byPorts},
		"lambda": {manifest: `{"sandbox": "require", ` + lambda + `}`, port: byPorts},
		"lambda with a network": {manifest: `{"sandbox": "require", "network": [1], ` + lambda + `}`,
			port: byPorts},
		"exec without": {manifest: `{"sandbox": "off", ` + exec + `}`, open: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said, alive := attack(t, c.manifest)
			if alive == c.open {
				t.Errorf("the process that stands for the worker lives: %t", alive)
			}
			want := map[string]layer{"TCP port": c.port}
			for try, by := range always {
				want[try] = by
			}
			for try, by := range want {
				got, tried := said[try]
				switch {
				case !tried:
					t.Errorf("%s: not tried", try)
				case c.open && got != 0 && !slices.Contains(needsSystem, try):
					t.Errorf("%s: %v, without a sandbox", try, got)
				case !c.open && got != by.errno:
					t.Errorf("%s: got %d (%v), want %v by %s", try, int(got), got, by.errno, by.name)
				case !c.open:
					t.Logf("%s: stopped by %s (%v)", try, by.name, got)
				}
			}
		})
	}
}

// attack runs the attacker once, against a process of this user and servers that stand for
// the worker and Redis. It returns the error of each try, 0 for none, and whether that
// process lives.
func attack(t *testing.T, manifest string) (said map[string]syscall.Errno, alive bool) {
	t.Helper()
	worker := exec.Command("sleep", "300")
	worker.Env = []string{"REDIS_URL=redis://:hunter2@127.0.0.1"}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = worker.Wait() }()
	// A path of a socket has room for 107 bytes.
	dir, err := os.MkdirTemp("", "attack-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	unix, err := net.Listen("unix", filepath.Join(dir, "redis.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	other := filepath.Join(dir, "secret")
	if err := os.WriteFile(other, []byte("another client's"), 0o600); err != nil {
		t.Fatal(err)
	}
	helper, err := os.ReadFile("../../../functions/lib/longshore.py")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(map[string]any{"worker": worker.Process.Pid, "unix": unix.Addr().String(),
		"port": tcp.Addr().(*net.TCPAddr).Port, "other": other})
	if err != nil {
		t.Fatal(err)
	}
	r := tryIn(t, filepath.Join(t.TempDir(), "test.function"),
		map[string]string{"attack.py": attacker, "longshore.py": string(helper), "function.json": manifest},
		func(l *Local) { l.Payload = payload })
	if r.Err != nil || json.Unmarshal(r.Result, &said) != nil {
		t.Errorf("%s, result %s, log %q", r.verdict(), r.Result, r.log)
	}
	alive = syscall.Kill(worker.Process.Pid, 0) == nil
	if alive {
		_ = worker.Process.Kill()
	}
	<-ended
	return said, alive
}

// TestLowerPriority holds that programs have a lower priority than this process, which must get a
// core when it is time to end them.
func TestLowerPriority(t *testing.T) {
	t.Parallel()
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	// It is lowered once the program runs.
	r := try(t, `for i in $(seq 200); do n=$(nice); test "$n" -gt "$LOW" && break; sleep 0.05; done; echo "$n"`,
		`{"env": ["LOW"]}`, func(l *Local) {
			l.Host.Getenv = func(name string) string {
				if name == "LOW" {
					return strconv.Itoa(20 - raw)
				}
				return os.Getenv(name)
			}
		})
	if want := strconv.Itoa(min(20-raw+5, 19)); r.Err != nil || string(r.Result) != want {
		t.Errorf("%s: niceness %s, want %s; log %q", r.verdict(), r.Result, want, r.log)
	}
}
