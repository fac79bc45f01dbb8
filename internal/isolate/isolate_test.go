package isolate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"longshore/internal/family"
)

// parentMode makes the test process a parent that a test kills.
const parentMode = "ISOLATE_TEST_PARENT"

func TestMain(m *testing.M) {
	Main(obey)
	if os.Getenv(parentMode) != "" {
		beParent()
	}
	goleak.VerifyTestMain(m)
}

var (
	memoryHog [][]byte
	errAsked  = errors.New("asked to")
)

// obey is what the children of these tests do: the first word of the body says.
func obey(ctx context.Context, o *Order) (reply []byte, worn bool) {
	word, rest, _ := strings.Cut(string(o.Body), " ")
	switch word {
	case "echo":
		return []byte(rest), false
	case "pid":
		return fmt.Append(nil, os.Getpid()), false
	case "worn":
		return nil, true
	case "environment":
		text, _ := json.Marshal(os.Environ())
		return text, false
	case "read":
		text, err := io.ReadAll(io.NewSectionReader(o.Input, 0, 1<<20))
		if err != nil {
			return []byte(err.Error()), false
		}
		dir, _ := os.Getwd()
		return fmt.Appendf(text, " in %t %t", dir == o.Folder, os.TempDir() == o.Folder), false
	case "stop":
		o.Tell([]byte("waiting"))
		<-ctx.Done()
		return []byte(context.Cause(ctx).Error()), false
	case "hang":
		o.Tell(fmt.Append(nil, os.Getpid()))
		select {}
	case "start":
		cmd := exec.Command("sleep", rest)
		if err := cmd.Start(); err != nil {
			return []byte(err.Error()), false
		}
		o.Tell(fmt.Append(nil, os.Getpid(), cmd.Process.Pid))
		select {}
	case "exit":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(3)
	case "large":
		o.Tell(make([]byte, 2*MaxBody))
		select {}
	case "keep":
		memoryHog = append(memoryHog, bytes.Repeat([]byte("x"), 64<<20))
		return fmt.Append(nil, os.Getpid()), false
	case "pass":
		b := bytes.Repeat([]byte("x"), 64<<20)
		return fmt.Append(nil, os.Getpid(), len(b)), false
	case "leak":
		for range maxGoroutines {
			go func() { select {} }()
		}
		return fmt.Append(nil, os.Getpid()), false
	}
	return []byte("what is " + word + "?"), false
}

func open(t testing.TB, c Config) *Pool {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	p, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
			t.Errorf("left in the folder: %v, %v", left, err)
		}
	})
	return p
}

func (p *Pool) say(t testing.TB, words string) (Reply, error) {
	t.Helper()
	return p.Run(t.Context(), Work{Body: []byte(words)})
}

func mustSay(t testing.TB, p *Pool, words string) string {
	t.Helper()
	r, err := p.say(t, words)
	if err != nil {
		t.Fatalf("%s: %v", words, err)
	}
	return string(r.Body)
}

func TestChildIsWarm(t *testing.T) {
	t.Parallel()
	p := open(t, Config{})
	first := mustSay(t, p, "pid")
	for range 10 {
		if now := mustSay(t, p, "pid"); now != first {
			t.Fatalf("child %s after child %s", now, first)
		}
	}
	if got := mustSay(t, p, "echo a b"); got != "a b" {
		t.Errorf("echo is %q", got)
	}
}

func TestSlotsBoundChildren(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Slots: 2})
	pids := map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			pid := mustSay(t, p, "pid")
			mu.Lock()
			defer mu.Unlock()
			pids[pid] = true
		})
	}
	wg.Wait()
	if len(pids) > 2 {
		t.Errorf("children %v for two slots", pids)
	}
}

func TestReplacement(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, words string
		works       int
		replaced    bool
	}{
		{"after so many", "pid", 1, true},
		{"asked for", "worn", 0, true},
		{"memory kept", "keep", 0, true},
		{"memory given back", "pass", 0, raceDetector}, // which keeps some
		{"goroutines left", "leak", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := open(t, Config{Works: c.works})
			if c.works == 0 {
				mustSay(t, p, "echo")
			}
			before := first(p)
			mustSay(t, p, c.words)
			mustSay(t, p, "echo") // waits until the slot is free again
			if after := first(p); (after != before) != c.replaced {
				t.Errorf("replaced: %t", after != before)
			}
		})
	}
}

// first returns the only slot's child.
func first(p *Pool) *child {
	s := <-p.slots
	defer func() { p.slots <- s }()
	return s.child
}

func TestEnvironmentHasNoSecrets(t *testing.T) {
	t.Setenv("REDIS_URL", "redis://:secret@example.com")
	t.Setenv("LONGSHORE_TOKEN", "secret")
	t.Setenv("LC_ALL", "C")
	p := open(t, Config{})
	var got []string
	if err := json.Unmarshal([]byte(mustSay(t, p, "environment")), &got); err != nil {
		t.Fatal(err)
	}
	for _, v := range got {
		name, _, _ := strings.Cut(v, "=")
		if name != family.Variable && !strings.HasPrefix(name, "LC_") && !slices.Contains(allowed, name) {
			t.Errorf("child has %s", name)
		}
	}
	if !slices.Contains(got, "LC_ALL=C") {
		t.Errorf("child has only %v", got)
	}
}

func TestInputAndFolder(t *testing.T) {
	t.Parallel()
	p := open(t, Config{})
	name := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(name, []byte("ahoy"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for range 3 {
		folder, err := p.Folder()
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Run(t.Context(), Work{Body: []byte("read"), Folder: folder, Input: in})
		if err != nil || string(r.Body) != "ahoy in true true" {
			t.Errorf("%q, %v", r.Body, err)
		}
		if err := p.RemoveFolder(folder); err != nil {
			t.Error(err)
		}
	}
}

// TestFolderWrittenLate wants an empty folder, whoever wrote into one that was kept for the next work.
func TestFolderWrittenLate(t *testing.T) {
	t.Parallel()
	p := open(t, Config{})
	kept, err := p.Folder()
	if err == nil {
		err = p.RemoveFolder(kept)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(kept, "output-1"), nil, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	folder, err := p.Folder()
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestStopIsAskedForFirst(t *testing.T) {
	t.Parallel()
	p := open(t, Config{})
	before := mustSay(t, p, "pid")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, err := p.Run(ctx, Work{Body: []byte("stop"), News: func([]byte) { cancel(errAsked) },
		Stop: func(cause error) (string, time.Duration) { return cause.Error(), time.Minute }})
	if err != nil || string(r.Body) != "stopped: asked to" {
		t.Errorf("%q, %v", r.Body, err)
	}
	if now := mustSay(t, p, "pid"); now != before {
		t.Error("a child that stopped in time was replaced")
	}
}

func TestStopKills(t *testing.T) {
	t.Parallel()
	for _, grace := range []time.Duration{0, 50 * time.Millisecond} {
		p := open(t, Config{})
		ctx, cancel := context.WithCancelCause(t.Context())
		began := time.Now()
		_, err := p.Run(ctx, Work{Body: []byte("hang"), News: func([]byte) {
			began = time.Now()
			cancel(errAsked)
		},
			Stop: func(error) (string, time.Duration) { return "", grace }})
		if !errors.Is(err, errAsked) {
			t.Errorf("err is %v", err)
		}
		if took := time.Since(began); took < grace || took > grace+20*time.Second {
			t.Errorf("killed after %v with a grace of %v", took, grace)
		}
		mustSay(t, p, "pid")
	}
}

func TestDeaths(t *testing.T) {
	t.Parallel()
	p := open(t, Config{})
	r, err := p.say(t, "exit")
	var death *Death
	if !errors.As(err, &death) || death.Exit != 3 || string(r.Stderr) != "last words\n" ||
		r.Usage.PeakResident == 0 {
		t.Errorf("exit: %v, %+v", err, r)
	}
	if _, err = p.say(t, "large"); !errors.As(err, &death) || !strings.Contains(death.How, "nonsense") {
		t.Errorf("large frame: %v", err)
	}
	if _, err = p.Run(t.Context(), Work{Body: make([]byte, MaxBody+1)}); !errors.Is(err, errSize) {
		t.Errorf("large work: %v", err)
	}
	// One that dies while idle costs nobody anything.
	pid := first(p).family.Head()
	gone := first(p).family.Gone()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-gone
	mustSay(t, p, "echo")
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	p := open(t, Config{})
	// A renewal that comes late is none: on a busy machine there must be time for it between
	// the order and its first end.
	const first, second, late = 1500 * time.Millisecond, 2 * time.Second, 30 * time.Second
	began := time.Now()
	renewals := make(chan time.Time, 1)
	renewals <- began.Add(second)
	_, err := p.Run(t.Context(), Work{Body: []byte("hang"), Until: began.Add(first), Renewals: renewals})
	if death := (*Death)(nil); !errors.As(err, &death) || death.Signal != syscall.SIGKILL {
		t.Errorf("err is %v", err)
	}
	if took := time.Since(began); took < second || took > late {
		t.Errorf("ended after %v", took)
	}
	// The next work has no end, and the watchdog of the last one doesn't bark.
	mustSay(t, p, "echo")
}

// TestEndTwice holds that a child that has ended lets go of its connection once:
// the descriptor's number soon is another file's.
func TestEndTwice(t *testing.T) {
	p := open(t, Config{Slots: 1})
	s, err := p.take(t.Context(), p.config.Child)
	if err != nil {
		t.Fatal(err)
	}
	s.child.end()
	var others []*os.File
	for range 8 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, f)
	}
	s.child.end()
	for _, f := range others {
		if _, err := f.Stat(); err != nil {
			t.Errorf("somebody else's file was closed: %v", err)
		}
		f.Close()
	}
	s.child = nil
	p.slots <- s
}

func TestClosedPool(t *testing.T) {
	t.Parallel()
	p := open(t, Config{})
	p.close()
	if _, err := p.say(t, "echo"); err == nil {
		t.Skip("a free slot was faster")
	} else if !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestForgottenMain holds that a program that doesn't call Main gets an error.
func TestForgottenMain(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("true")
	if err != nil {
		t.Skip("needs the program true")
	}
	p := open(t, Config{})
	_, err = newChild(t.Context(), p.starter, Child{Program: program}, "test")
	if err == nil || !strings.Contains(err.Error(), "first call of main") {
		t.Errorf("err is %v", err)
	}
}

func TestChildHasNoPool(t *testing.T) {
	t.Setenv(modeVariable, "0")
	if _, err := Open(Config{}); err == nil {
		t.Error("a child opened a pool")
	}
}

// beParent is a parent with a child that hangs; it tells the child's number.
func beParent() {
	p, err := Open(Config{})
	if err != nil {
		panic(err)
	}
	_, err = p.Run(context.Background(), Work{Body: []byte("start 1000"), News: func(pids []byte) {
		fmt.Println(string(pids))
	}})
	panic(err)
}

// TestDeadParent holds that children die with their parent, and that the next
// pool removes its folder and ends what its children had started.
func TestDeadParent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), parentMode+"=1", "TMPDIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid, program int
	if _, err := fmt.Fscan(out, &pid, &program); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	awaitEnd(t, pid)
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Fatalf("the dead parent left %v", left)
	}
	open(t, Config{Dir: dir}) // its cleanup looks into the folder
	if runtime.GOOS == "linux" {
		awaitEnd(t, program)
	}
}

// awaitEnd waits until a process is no more.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	for patience := time.After(60 * time.Second); ; {
		if !family.Alive(pid) {
			return
		}
		select {
		case <-patience:
			t.Fatalf("process %d lives on", pid)
		case <-time.After(time.Millisecond):
		}
	}
}

// FuzzFrames holds that nothing a child can send hurts its parent, nor the
// other way round.
func FuzzFrames(f *testing.F) {
	f.Add(order{number: 7, until: 1, input: true, folder: "/tmp/x", body: []byte("work")}.encode(nil))
	f.Add(answer{number: 7, usage: Usage{1, 2}, total: 3, tidies: true, body: []byte("done")}.encode(nil))
	f.Add(appendFrame(nil, kindStop, []byte{0, 0, 0, 1}, []byte("canceled")))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 'A'})
	f.Add([]byte{0, 0, 0, 0, 'A'})
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := readFrame(bytes.NewReader(b))
		if err != nil {
			return
		}
		if o, err := decodeOrder(fr.body); err == nil && fr.kind == kindWork {
			again, err := readFrame(bytes.NewReader(o.encode(nil)))
			if err != nil || !bytes.Equal(again.body, canonical(fr.body, 12)) {
				t.Fatalf("%+v is %q, was %q", o, again.body, fr.body)
			}
		}
		if a, err := decodeAnswer(fr.body); err == nil && (a.usage.CPU < 0 || a.usage.PeakResident < 0) {
			t.Fatalf("%+v", a)
		}
		decodeNumbered(fr.body)
	})
}

// canonical writes the truth at an offset as 1, as we do.
func canonical(body []byte, at int) []byte {
	body = bytes.Clone(body)
	if body[at] != 0 {
		body[at] = 1
	}
	return body
}
