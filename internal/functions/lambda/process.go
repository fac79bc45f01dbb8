package lambda

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"longshore/internal/functions"
	"longshore/internal/functions/program"
	"longshore/internal/isolate"
)

// Bounds of a process's life.
const (
	initPatience   = 30 * time.Second       // from the start to the first call of next
	returnPatience = 5 * time.Second        // from an answer to the next call of next
	idlePatience   = 10 * time.Minute       // a process that nobody needed for so long ends
	mostJobs       = 1000                   // a process is replaced after so many
	mostCrew       = 256                    // processes of its family that are counted
	leastBackoff   = time.Second            // between starts that failed, doubled up to
	mostBackoff    = time.Minute            // … this
	waitForWarm    = 100 * time.Millisecond // a job waits so long for a process that has just answered
)

// A process is one warm process of a function and its server.
type process struct {
	*server
	family *program.Process
	out    *output
	folder string   // TMPDIR, emptied between jobs
	root   *os.Root // … opened before the process was there
	user   int      // its user's number; 0 = ours
	owner  *Executor
	gone   chan struct{} // closed when nothing is left of it

	// Only the goroutine that has taken the process uses these.
	jobs     int
	places   int
	next     *place    // of the next job
	returned time.Time // when its last answer ended
	looked   time.Time // when its tree was looked at last
	unseen   bool      // … and jobs ended since
	crew     int       // processes of its family as it became ready

	// Guarded by Pool.mu.
	timer   *time.Timer // what happens to it when nobody needs it
	counted bool        // among Pool.living
	number  int         // no other living process has it
}

// launch starts a process; whoever wants to use it waits for ready, failed or gone.
func (x *Executor) launch(number int) (p *process, err error) {
	f := x.function
	p = &process{gone: make(chan struct{}), counted: true, owner: x, number: number}
	if p.user = x.host.UserOf(number); x.host.User <= 0 {
		p.user = 0
	}
	var write *os.File
	defer func() {
		if write != nil { // it is the family's alone now: else its end would not be noticed
			_ = write.Close()
		}
		if err != nil {
			p.clean()
		}
	}()
	about := About{Type: f.Type, Version: versionOf(f), Handler: f.Manifest.Handler}
	if p.server, err = newServer(about); err != nil {
		return nil, err
	}
	if p.folder, err = os.MkdirTemp(x.host.Base, "lambda-"); err != nil {
		return nil, fmt.Errorf("folder of a process: %w", err)
	}
	if p.user > 0 {
		if err := os.Lchown(p.folder, p.user, p.user); err != nil {
			return nil, err
		}
	}
	if p.root, err = os.OpenRoot(p.folder); err != nil {
		return nil, err
	}
	if p.next, err = p.newPlace(); err != nil {
		return nil, err
	}
	if p.out, write, err = newOutput(&functions.LogWriter{Log: x.log}); err != nil {
		return nil, err
	}
	if p.user > 0 { // so that it may open /dev/stderr
		if err := write.Chown(p.user, p.user); err != nil {
			return nil, err
		}
	}
	p.family, err = program.Run(program.Start{Function: f, Host: x.host, Slot: number, Dir: f.Folder,
		Write: []string{p.folder},
		Env:   program.Env(f, x.host, p.folder, p.environment(x.host.MemoryOf(f), f.Folder)...),
		Ports: []uint16{uint16(p.port())}, Stdout: write, Stderr: write})
	if err != nil {
		return nil, err
	}
	p.serve(p.ours)
	go p.watch()
	return p, nil
}

// environment is what the convention has a process find, beside what all programs get.
func (s *server) environment(memory int64, folder string) []string {
	a := s.about
	return []string{
		"LONGSHORE_TYPE=" + a.Type,
		"AWS_LAMBDA_RUNTIME_API=" + s.address(),
		"_HANDLER=" + a.Handler,
		"LAMBDA_TASK_ROOT=" + folder,
		"AWS_LAMBDA_FUNCTION_NAME=" + a.Type,
		"AWS_LAMBDA_FUNCTION_VERSION=" + a.Version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.FormatInt(memory>>20, 10),
		"AWS_LAMBDA_LOG_GROUP_NAME=/longshore/" + a.Type,
		"AWS_LAMBDA_LOG_STREAM_NAME=" + newID(),
	}
}

// versionOf is what a process is told: AWS's word for what has no number.
func versionOf(f *functions.Function) string {
	if f.Version == 0 {
		return "$LATEST"
	}
	return strconv.FormatInt(f.Version, 10)
}

// ours reports whether a connection comes from the process's family.
func (p *process) ours(c net.Conn) bool {
	if !canTellPeers {
		return true
	}
	inode := peerInode(c)
	return inode != 0 && p.family.HoldsSocket(inode)
}

// watch sees the process's end and cleans up.
func (p *process) watch() {
	_ = p.family.Wait(context.Background(), p.owner.host) // it is stopped by nobody but end
	death := p.family.Death()
	if death == nil {
		death = deathOf(p.family.State())
	}
	p.died(death)
	p.clean()
	p.owner.pool.forget(p)
	close(p.gone)
}

// clean lets go of all that a process has, as far as it came.
func (p *process) clean() {
	if p.server != nil {
		p.server.close()
	}
	if p.out != nil {
		p.out.close()
	}
	if p.root != nil {
		_ = p.root.Close()
	}
	if p.folder != "" {
		_ = os.RemoveAll(p.folder) // else the host removes it with its own folder
	}
}

// died ends what is under way with an error.
func (s *server) died(err error) {
	s.mu.Lock()
	current := s.current
	if s.phase == starting {
		select {
		case s.failed <- err:
		default:
		}
	}
	s.set(broken)
	s.mu.Unlock()
	if current != nil {
		current.end(err)
	}
}

func deathOf(state *os.ProcessState) *isolate.Death {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &isolate.Death{Signal: status.Signal()}
	}
	return &isolate.Death{Exit: state.ExitCode()}
}

// end ends the process: softly, if there is a grace, then by force.
func (p *process) end(grace time.Duration) {
	if grace > 0 {
		p.family.Signal(syscall.SIGTERM)
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.family.Ended():
		case <-timer.C:
		}
	}
	p.family.Kill()
	<-p.gone
	if p.next != nil {
		p.next.close()
	}
}

// awaitIdle waits until the process asks for its next event, and reports whether it did
// in time.
func (p *process) awaitIdle(patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		p.mu.Lock()
		phase, changed := p.phase, p.changed
		p.mu.Unlock()
		switch phase {
		case idle:
			return true
		case broken:
			return false
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		}
	}
}

// awaitReady waits for the first call of next. The error is the process's own word, or
// how it ended.
func (p *process) awaitReady(ctx context.Context) error {
	timer := time.NewTimer(initPatience)
	defer timer.Stop()
	select {
	case <-p.ready:
		return nil
	case err := <-p.failed:
		return err
	case <-timer.C:
		return &Crash{How: fmt.Sprintf("did not ask for an event within %v of its start", initPatience)}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
