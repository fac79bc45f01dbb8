package isolate

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"longshore/internal/family"
)

// A Work is one piece of work for a child.
type Work struct {
	Body   []byte // at most MaxBody bytes
	Folder string // a work folder: the child's working directory and TMPDIR meanwhile
	// Input is an open file that the child gets too, as a descriptor; nil =
	// none. It shares the file's offset, so the child must read by position.
	Input syscall.Conn

	// Until is when the child ends itself unless Renewals has brought a later
	// time; zero = never.
	Until    time.Time
	Renewals <-chan time.Time

	// Child is what process does it; nil = the pool's. A slot's child of another kind
	// is replaced for it.
	Child *Child

	// Stop says how the work is stopped when the context ends by a cause: what
	// the child is told, and how long it may take. nil = killed at once.
	Stop func(cause error) (reason string, grace time.Duration)
	// News is called with each report of the child, Log with each line for the
	// operator. nil = not wanted.
	News func([]byte)
	Log  func([]byte)
}

// A Reply is what a piece of work came to. Usage and Stderr are there whether
// or not it ended well.
type Reply struct {
	Body   []byte
	Usage  Usage
	Stderr []byte // the last 64 KiB of stdout and stderr
}

// Usage is what a piece of work has used.
type Usage struct {
	CPU          time.Duration // of the child and of processes that it waited for
	PeakResident int64         // bytes
}

// A Death says how a child ended that should not have. It took its work along.
type Death struct {
	OutOfMemory bool
	Exit        int            // exit code, if Signal is 0
	Signal      syscall.Signal // that killed it
	How         string         // where neither says enough
}

func (d *Death) Error() string {
	switch {
	case d.How != "":
		return "process " + d.How
	case d.OutOfMemory:
		return "process was out of memory"
	case d.Signal != 0:
		return "process was killed by signal " + signalName(d.Signal)
	default:
		return fmt.Sprintf("process ended with exit code %d", d.Exit)
	}
}

func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return s.String()
}

// Run has a child do a piece of work. Errors: a *Death; ErrStart and ErrClosed,
// where nothing has begun; the context's cause, when the child had to be killed
// or nothing has begun. It returns when nothing of the work runs any more.
func (p *Pool) Run(ctx context.Context, w Work) (Reply, error) {
	if len(w.Body) > MaxBody {
		return Reply{}, fmt.Errorf("work is %w", errSize)
	}
	kind := p.config.Child
	if w.Child != nil {
		kind = *w.Child
		kind.Program = cmp.Or(kind.Program, p.config.Child.Program)
	}
	s, err := p.take(ctx, kind)
	if err != nil {
		return Reply{}, err
	}
	c := s.child
	c.works++
	r := &run{Work: w, child: c, memory: kind.Memory, number: uint32(c.works)}
	reply, err := r.do(ctx)
	if r.replace || c.works >= p.config.Works {
		s.drop()
	}
	if s.child != nil && !r.tidies {
		p.slots <- s
		return reply, err
	}
	p.wg.Go(func() {
		if s.child != nil && !p.tidied(s.child) {
			s.drop()
		}
		p.putBack(s)
	})
	return reply, err
}

// A child that has tidied up may have so much more resident than it had at
// first; beyond that it is replaced.
const maxKept = 32 << 20

// tidyPatience bounds the tidying up.
const tidyPatience = 5 * time.Second

// tidied waits until a child is ready again and reports whether it is worth
// keeping.
func (p *Pool) tidied(c *child) bool {
	ctx, cancel := context.WithTimeout(p.ctx, tidyPatience)
	defer cancel()
	if err := c.awaitReady(ctx); err != nil {
		return false
	}
	now, _, ok := c.family.Resident()
	return ok && now < c.asleep+maxKept
}

// A run is one piece of work under way.
type run struct {
	Work
	child  *child
	memory int64
	number uint32

	peak    int64
	tree    time.Time // when descendants were looked at last
	replace bool      // the child is not to be used again
	tidies  bool      // … is tidying up
}

// do hands the work over and sees it through.
func (r *run) do(ctx context.Context) (Reply, error) {
	c := r.child
	c.stderr.Take() // of the work before
	o := order{number: r.number, until: onUptime(r.Until), input: r.Input != nil, folder: r.Folder,
		body: r.Body}
	if err := c.send(o.encode(nil), r.Input); err != nil {
		return r.died(ctx, &Death{How: "does not read: " + err.Error()})
	}
	look := time.NewTicker(pollEvery)
	defer look.Stop()
	r.tree = time.Now()
	done := ctx.Done()
	var grace <-chan time.Time
	for {
		select {
		case f, ok := <-c.frames:
			if !ok {
				return r.fell(ctx)
			}
			reply, ended, err := r.heard(f)
			if err != nil {
				return r.died(ctx, nonsense(err))
			}
			if ended {
				return reply, nil
			}
		case until := <-r.Renewals:
			if err := c.sendRenewal(r.number, until); err != nil {
				return r.died(ctx, &Death{How: "does not read: " + err.Error()})
			}
		case <-look.C:
			if death := r.look(); death != nil {
				return r.died(ctx, death)
			}
		case <-done:
			done = nil
			var wait time.Duration
			if wait = r.stop(ctx); wait <= 0 {
				return r.died(ctx, nil)
			}
			timer := time.NewTimer(wait)
			defer timer.Stop()
			grace = timer.C
		case <-grace:
			return r.died(ctx, nil)
		}
	}
}

// stop asks the child to stop, and returns how long it may take.
func (r *run) stop(ctx context.Context) time.Duration {
	if r.Stop == nil {
		return 0
	}
	reason, grace := r.Stop(context.Cause(ctx))
	if grace > 0 && r.child.sendStop(r.number, reason) != nil {
		return 0
	}
	return grace
}

// heard takes one frame.
func (r *run) heard(f frame) (reply Reply, ended bool, err error) {
	switch f.kind {
	case kindNews:
		if r.News != nil {
			r.News(f.body)
		}
	case kindLog:
		if r.Log != nil {
			r.Log(f.body)
		}
	case kindReply:
		a, err := decodeAnswer(f.body)
		if err != nil {
			return Reply{}, false, err
		}
		if a.number != r.number {
			return Reply{}, false, fmt.Errorf("%w: answer to work %d", errFrame, a.number)
		}
		r.child.total = a.total
		r.replace, r.tidies = a.worn, a.tidies
		a.usage.PeakResident = max(a.usage.PeakResident, r.peak)
		return Reply{Body: a.body, Usage: a.usage, Stderr: r.child.stderr.Take()}, true, nil
	default:
		return Reply{}, false, fmt.Errorf("%w: kind %q", errFrame, f.kind)
	}
	return Reply{}, false, nil
}

func nonsense(err error) *Death {
	return &Death{How: "wrote nonsense to its parent: " + err.Error()}
}

// look looks at the memory of the child and its descendants.
func (r *run) look() *Death {
	now, peak, ok := r.child.family.Resident()
	if !ok {
		return nil // it has ended
	}
	if r.peak == 0 {
		// Counted late, since it costs more than handing over small work.
		r.child.kills = family.KernelKills()
	}
	r.peak = max(r.peak, peak)
	if time.Since(r.tree) >= treeEvery {
		r.tree = time.Now()
		now += r.child.family.Below()
		r.peak = max(r.peak, now)
	}
	if r.memory > 0 && now > r.child.asleep+r.memory {
		return &Death{OutOfMemory: true, How: fmt.Sprintf("had more than %d MiB resident", r.memory>>20)}
	}
	return nil
}

// fallPatience is how long after its socket a child may end by itself.
const fallPatience = 500 * time.Millisecond

// fell is the end of a child that has closed its socket: by its own end, or not.
func (r *run) fell(ctx context.Context) (Reply, error) {
	if r.child.broken != nil {
		return r.died(ctx, nonsense(r.child.broken))
	}
	timer := time.NewTimer(fallPatience)
	defer timer.Stop()
	select {
	case <-r.child.family.Ended():
		return r.died(ctx, &Death{})
	case <-timer.C:
		return r.died(ctx, &Death{How: "closed the connection to its parent"})
	}
}

// died kills what may be left of the child and says how it ended. A death of
// nil is our doing because the context has ended.
func (r *run) died(ctx context.Context, death *Death) (Reply, error) {
	r.replace = true
	c := r.child
	if _, peak, ok := c.family.Resident(); ok {
		r.peak = max(r.peak, peak)
	}
	c.end()
	reply := Reply{Usage: Usage{PeakResident: max(r.peak, c.asleep)}, Stderr: c.stderr.Take()}
	if state := c.family.State(); state != nil {
		reply.Usage.CPU = max(0, state.UserTime()+state.SystemTime()-c.total)
	}
	if death == nil {
		return reply, context.Cause(ctx)
	}
	if death.How == "" {
		r.explain(death, reply.Stderr)
	}
	return reply, death
}

// outOfMemory is what Go's runtime says before it ends, by exit code, when the
// kernel refuses it memory (RLIMIT_DATA); 66 is that of the race detector's. Not
// everywhere does it look at what it got: the collector's queues are used
// unchecked, and a fault at address 0 on a thread's own stack (goroutine 0)
// is the trace of that. A handler's mistakes happen on other stacks.
var outOfMemory = []struct {
	exit  int
	words *regexp.Regexp
}{
	{2, regexp.MustCompile(`fatal error: [^\n]*(out of memory|cannot allocate memory)`)},
	{2, regexp.MustCompile(`SIGSEGV: [^\n]*\nPC=\w+ m=\d+ sigcode=1 addr=0x0\n+goroutine 0 `)},
	{66, regexp.MustCompile(`ThreadSanitizer failed to allocate`)},
}

// explain tells from how a process ended why.
func (r *run) explain(d *Death, stderr []byte) {
	state := r.child.family.State()
	status, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case !ok:
		d.How = "ended: " + state.String()
	case status.Signaled():
		d.Signal = status.Signal()
		d.OutOfMemory = d.Signal == syscall.SIGKILL && family.KernelKills() > r.child.kills
	default:
		d.Exit = status.ExitStatus()
		for _, o := range outOfMemory {
			if d.Exit == o.exit && o.words.Match(stderr) {
				d.OutOfMemory = true
			}
		}
	}
}
