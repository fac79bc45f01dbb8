package sandbox

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// targets make this program the hostile one, by its environment.
const targetsVariable = "SANDBOX_TEST_TARGETS"

func TestMain(m *testing.M) {
	if text := os.Getenv(targetsVariable); text != "" {
		hostile(text)
		return
	}
	goleak.VerifyTestMain(m)
}

// targets are what the hostile program goes for.
type targets struct {
	Secret, Outside, TCP, Unix string
	Datagrams                  string // a socket
	Parent                     int
	Inherited                  int // a descriptor that its parent's parent forgot to close
	Limited                    bool
}

// attempts are what it tries, by name.
func attempts(t targets) map[string]func() error {
	write := func(name string) error { return os.WriteFile(name, []byte("x"), 0o600) }
	dial := func(network, address string) error {
		c, err := net.DialTimeout(network, address, time.Second)
		if err == nil {
			_, err = c.Write([]byte("x"))
			c.Close()
		}
		return err
	}
	read := func(name string) error { _, err := os.ReadFile(name); return err }
	proc := "/proc/" + strconv.Itoa(t.Parent)
	return map[string]func() error{
		"read a secret":               func() error { return read(t.Secret) },
		"read /etc/passwd":            func() error { return read("/etc/passwd") },
		"read its parent's variables": func() error { return read(proc + "/environ") },
		"open its parent's memory": func() error {
			f, err := os.OpenFile(proc+"/mem", os.O_RDWR, 0)
			if err == nil {
				f.Close()
			}
			return err
		},
		"list a folder":      func() error { _, err := os.ReadDir(t.Outside); return err },
		"write outside":      func() error { return write(filepath.Join(t.Outside, "new")) },
		"cut a file outside": func() error { return os.Truncate(t.Secret, 0) },
		"remove outside":     func() error { return os.Remove(filepath.Join(t.Outside, "victim")) },
		"change a mode":      func() error { return unix.Chmod(t.Secret, 0o644) },
		"change an owner":    func() error { return unix.Lchown(t.Secret, os.Getuid(), os.Getgid()) },
		"change a time":      func() error { return os.Chtimes(t.Secret, time.Unix(0, 0), time.Unix(0, 0)) },
		"link out":           func() error { return os.Link("own", filepath.Join(t.Outside, "linked")) },
		"connect by TCP":     func() error { return dial("tcp", t.TCP) },
		"send by UDP":        func() error { return dial("udp", t.TCP) },
		"connect to a file":  func() error { return dial("unix", t.Unix) },
		"send to a file":     func() error { return sendFromPair(t.Datagrams) },
		"use its parent's files": func() error {
			var stat unix.Stat_t
			return unix.Fstat(t.Inherited, &stat)
		},
		"change a time, named at an odd address": func() error { return touchOddly(t.Secret) },
		"change an attribute, the new way":       func() error { return setAttribute(t.Secret) },
		"listen": func() error {
			_, err := net.Listen("tcp", "127.0.0.1:0")
			return err
		},
		"signal its parent": func() error { return unix.Kill(t.Parent, unix.SIGCONT) },
		"read memory": func() error {
			local, b := make([]byte, 8), []byte("12345678")
			_, err := unix.ProcessVMReadv(t.Parent, []unix.Iovec{{Base: &local[0], Len: 8}},
				[]unix.RemoteIovec{{Base: 1 << 20, Len: len(b)}}, 0)
			if errors.Is(err, unix.EFAULT) {
				return nil // it may, there is only nothing at that place
			}
			return err
		},
		"limit its parent": func() error {
			var old unix.Rlimit
			return unix.Prlimit(t.Parent, unix.RLIMIT_CORE, nil, &old)
		},
		"slow its parent down": func() error { return unix.Setpriority(unix.PRIO_PROCESS, t.Parent, 5) },
		"make a namespace":     func() error { return unix.Unshare(unix.CLONE_NEWUTS) },
		"make a ring": func() error {
			var params [120]byte
			fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
			if errno != 0 {
				return errno
			}
			return unix.Close(int(fd))
		},
		"add a key": func() error {
			_, err := unix.AddKey("user", "longshore-test", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
			return err
		},
	}
}

// sendFromPair turns one end of a pair of sockets to an address: a pair needs no
// call of socket(2).
func sendFromPair(to string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	return unix.Sendto(pair[0], []byte("READY=1"), 0, &unix.SockaddrUnix{Name: to})
}

// touchOddly changes a file's times by a name whose address ends with 32 zero bits.
func touchOddly(name string) error {
	const address = 7 << 32
	_, _, errno := unix.Syscall6(unix.SYS_MMAP, address, 4096, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED_NOREPLACE, ^uintptr(0), 0)
	if errno != 0 {
		return errno
	}
	text, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	// The kernel copies the name there, since Go knows nothing of that memory.
	pipe := make([]int, 2)
	if err := unix.Pipe(pipe); err != nil {
		return err
	}
	if _, err := unix.Write(pipe[1], unsafe.Slice(text, len(name)+1)); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_READ, uintptr(pipe[0]), address,
		uintptr(len(name)+1)); errno != 0 {
		return errno
	}
	dir := unix.AT_FDCWD
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(dir), address, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// setAttribute calls setxattrat(2), which came long after setxattr.
func setAttribute(name string) error {
	path, err1 := unix.BytePtrFromString(name)
	attribute, err2 := unix.BytePtrFromString("user.longshore-test")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	args := struct {
		value       uint64
		size, flags uint32
	}{}
	dir := unix.AT_FDCWD
	_, _, errno := unix.Syscall6(unix.SYS_SETXATTRAT, uintptr(dir), uintptr(unsafe.Pointer(path)), 0,
		uintptr(unsafe.Pointer(attribute)), uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
	if errno != 0 {
		return errno
	}
	return nil
}

// hostile says in a file which of its attempts came off.
func hostile(text string) {
	var t targets
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		panic(err)
	}
	done := map[string]string{}
	if err := os.WriteFile("own", nil, 0o600); err != nil {
		panic(err)
	}
	for name, attempt := range attempts(t) {
		done[name] = ""
		if err := attempt(); err != nil {
			done[name] = err.Error()
		}
	}
	for resource, name := range map[int]string{unix.RLIMIT_DATA: "data", unix.RLIMIT_FSIZE: "file",
		unix.RLIMIT_NOFILE: "files", unix.RLIMIT_CORE: "core"} {
		// The limits are set from outside, just after the start.
		for patience := time.Now().Add(60 * time.Second); t.Limited && time.Now().Before(patience); {
			var l unix.Rlimit
			if err := unix.Getrlimit(resource, &l); err != nil {
				panic(err)
			}
			done[name] = strconv.FormatUint(l.Max, 10)
			if l.Max < 10_000 || resource != unix.RLIMIT_NOFILE && l.Max < 1<<40 {
				break
			}
			runtime.Gosched()
		}
	}
	report, err := json.Marshal(done)
	if err == nil {
		err = os.WriteFile("report", report, 0o600)
	}
	if err != nil {
		panic(err)
	}
}

// setup makes what the hostile program goes for, and its folder.
func setup(t *testing.T) (targets, string) {
	t.Helper()
	outside := t.TempDir()
	secret, victim := filepath.Join(outside, "secret"), filepath.Join(outside, "victim")
	for _, name := range []string{secret, victim} {
		if err := os.WriteFile(name, []byte("hunter2"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(outside, "socket")
	local, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	datagrams := filepath.Join(outside, "datagrams")
	box, err := net.ListenPacket("unixgram", datagrams)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := unix.Open(secret, unix.O_RDONLY, 0) // as a shell leaves it open
	if err != nil {
		t.Fatal(err)
	}
	// Numbers this high nobody has, so that the program itself opens none of them.
	const high = 200
	if inherited, err = moved(inherited, high); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close(); local.Close(); box.Close(); _ = unix.Close(inherited) })
	return targets{secret, outside, tcp.Addr().String(), socket, datagrams, os.Getpid(), inherited,
		true}, t.TempDir()
}

// moved gives a descriptor a number of at least low, and leaves it to be inherited.
func moved(fd, low int) (int, error) {
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD, low)
	return high, errors.Join(err, unix.Close(fd))
}

func command(t *testing.T, to targets, folder string) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Dir, cmd.Env = folder, []string{targetsVariable + "=" + string(text)}
	cmd.Stderr = os.Stderr
	return cmd
}

func report(t *testing.T, folder string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "report"))
	if err != nil {
		t.Fatal(err)
	}
	var done map[string]string
	if err := json.Unmarshal(text, &done); err != nil {
		t.Fatal(err)
	}
	return done
}

// A program that goes for all that its user may reach comes by nothing; what is
// let through without the sandbox shows that it tries in earnest.
func TestHostile(t *testing.T) {
	t.Parallel()
	if lacks := Missing(); lacks != "" {
		t.Skip("this system has no " + lacks)
	}
	to, folder := setup(t)
	cmd := command(t, to, folder)
	if err := Run(cmd, Policy{Read: System(cmd.Path), Write: []string{folder}, Memory: 1 << 30,
		FileSize: 1 << 20, Files: 32}); err != nil {
		t.Fatal(err)
	}
	inside := report(t, folder)
	for name := range attempts(to) {
		if inside[name] == "" {
			t.Errorf("it could %s", name)
		}
	}
	for name, want := range map[string]string{"data": "1073741824", "file": "1048576", "files": "32",
		"core": "0"} {
		if inside[name] != want {
			t.Errorf("limit %s is %s, want %s", name, inside[name], want)
		}
	}
	if text, err := os.ReadFile(to.Secret); err != nil || string(text) != "hunter2" {
		t.Errorf("the secret is now %q, %v", text, err)
	}

	free := t.TempDir()
	open, err := os.Open(to.Secret)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	to.Limited, to.Inherited = false, 3
	cmd = command(t, to, free)
	cmd.ExtraFiles = []*os.File{open}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	var refused []string
	for name := range attempts(to) {
		if why := report(t, free)[name]; why != "" {
			refused = append(refused, name+": "+why)
		}
	}
	// A container's own rules may bar some of these.
	mayFail := []string{"make a namespace", "make a ring", "add a key", "open its parent's memory",
		"read memory", "send by UDP", "change an attribute, the new way"}
	if i := slices.IndexFunc(refused, func(r string) bool {
		name, _, _ := strings.Cut(r, ":")
		return !slices.Contains(mayFail, name)
	}); i >= 0 {
		t.Errorf("without the sandbox it could not %s", refused[i])
	}
}

// The thread that was limited is gone: this process still has all it had.
func TestCallerKeepsAll(t *testing.T) {
	t.Parallel()
	if lacks := Missing(); lacks != "" {
		t.Skip("this system has no " + lacks)
	}
	for i := range 20 {
		cmd := exec.CommandContext(t.Context(), "/bin/true")
		if err := Run(cmd, Policy{Read: System(cmd.Path)}); err != nil {
			t.Fatal(i, err)
		}
		done := make(chan error)
		for range 4 {
			go func() {
				_, err := os.ReadFile("/etc/passwd")
				l, dialErr := net.Listen("tcp", "127.0.0.1:0")
				if dialErr == nil {
					dialErr = l.Close()
				}
				done <- errors.Join(err, dialErr)
			}()
		}
		for range 4 {
			if err := <-done; err != nil {
				t.Fatal(i, err)
			}
		}
	}
	// The main thread stands for the process.
	text, err := os.ReadFile("/proc/self/status")
	if err != nil || !strings.Contains(string(text), "Seccomp:\t0") {
		t.Errorf("the main thread is limited: %v\n%s", err, text)
	}
}

// A program that can't start, one that fails, and one that is killed, are told as
// os/exec tells them.
func TestEnds(t *testing.T) {
	t.Parallel()
	sh := func(script string) error {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
		return Run(cmd, Policy{Read: System(cmd.Path)})
	}
	var exit *exec.ExitError
	if err := sh("exit 3"); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("exit 3: %v", err)
	}
	if err := sh("kill -9 $$"); !errors.As(err, &exit) || exit.String() != "signal: killed" {
		t.Errorf("killed: %v", err)
	}
	if err := sh("exit 0"); err != nil {
		t.Errorf("exit 0: %v", err)
	}
	missing := exec.CommandContext(t.Context(), filepath.Join(t.TempDir(), "none"))
	if err := Run(missing, Policy{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
}

// A program's files are bounded.
func TestFileSize(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	// It begins when its limits stand.
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c",
		"until [ $(ulimit -f) != unlimited ]; do :; done; head -c 3000000 /dev/zero >big")
	cmd.Dir = folder
	_ = Run(cmd, Policy{Read: System(cmd.Path), Write: []string{folder}, FileSize: 1 << 20})
	info, err := os.Stat(filepath.Join(folder, "big"))
	if err != nil || info.Size() > 1<<20 {
		t.Errorf("%v, %v", info, err)
	}
}
