package family

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// guardMode, the first argument, makes a program a guard: see BeGuard.
const guardMode = "--be-guard"

// A Guard is a process of this program that outlives the one that started it: when that
// is no more, it kills what is left of its families. The kernel kills the heads; what
// these have started is nobody's then.
type Guard struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	ended chan struct{}
}

// StartGuard starts a guard of the families with some marks. A mark that is an absolute
// path stands for its last element; it is a folder, which the guard hands to BeGuard's
// remove when its processes are gone, and who works in it is killed too. program's main
// must call BeGuard first.
func StartGuard(program string, marks ...string) (*Guard, error) {
	cmd := exec.Command(program, append([]string{guardMode}, marks...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = []string{"GOMAXPROCS=1"} // no secrets, and no mark
	cmd.Dir = "/"
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a guard: %w", errors.Join(err, in.Close()))
	}
	g := &Guard{cmd: cmd, in: in, ended: make(chan struct{})}
	heads.Store(cmd.Process.Pid, true) // else each family's end would look for whose child it is
	go func() {
		defer close(g.ended)
		_ = cmd.Wait()
		heads.Delete(cmd.Process.Pid)
	}()
	return g, nil
}

// Note tells of a head that lives, or, negative, has ended: what descends from it, or is
// in its group, is killed too.
func (g *Guard) Note(pid int) {
	_, _ = fmt.Fprintf(g.in, "%+d\n", pid) // a guard that was killed guards no more
}

// Ended is closed when the guard has ended, as one that was killed.
func (g *Guard) Ended() <-chan struct{} { return g.ended }

// Close ends the guard, and what is left of the families. It may be called once.
func (g *Guard) Close() error {
	err := g.in.Close()
	if errors.Is(err, os.ErrClosed) { // the guard was killed
		err = nil
	}
	<-g.ended
	return err
}

// BeGuard makes this process a guard if it was started as one by StartGuard, with main's
// arguments but the first: it reads until in ends, and does its work; done is true then.
// remove, nil where no guard has folders, must remove one unless its owner lives.
func BeGuard(args []string, in io.Reader, remove func(folder string)) (done bool) {
	if len(args) < 2 || args[0] != guardMode {
		return false
	}
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGTSTP)
	guard(args[1:], in, remove)
	return true
}

// A guard looks so often at most for what is left: a look kills, and may miss what was
// started meanwhile.
const (
	guardLooks = 100
	guardPause = 20 * time.Millisecond
)

// guard reads "+pid" and "-pid" of heads that live, and kills at the end of that.
func guard(marks []string, in io.Reader, remove func(string)) {
	living := map[int]bool{}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		text := lines.Text()
		pid, err := strconv.Atoi(strings.TrimPrefix(text, "+"))
		switch {
		case err != nil || pid == 0:
		case pid < 0:
			delete(living, -pid)
		default:
			living[pid] = true
		}
	}
	for pid := range living {
		KillBelow(pid)
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	for range guardLooks {
		if killLeft(marks) == 0 {
			break
		}
		time.Sleep(guardPause)
	}
	for _, mark := range marks {
		if filepath.IsAbs(mark) && remove != nil {
			remove(mark)
		}
	}
}

// killLeft kills who is of the families with some marks, or works in their folders, and
// returns how many these were.
func killLeft(marks []string) (killed int) {
	all, us := processes(), os.Getpid()
	for _, mark := range marks {
		token := tokenOf(filepath.Base(mark))
		for _, p := range all {
			if p.zombie || p.pid == us || !carries(p.pid, token) &&
				!(filepath.IsAbs(mark) && worksIn(p.pid, mark)) {
				continue
			}
			if syscall.Kill(p.pid, syscall.SIGKILL) == nil {
				killed++
			}
		}
	}
	return killed
}
