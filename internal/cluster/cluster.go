package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"longshore/installation"
	"longshore/internal/family"
	"longshore/internal/sdnotify"
)

const (
	tickEvery = 250 * time.Millisecond
	maxTick   = time.Second // by which the clock goes on at once, however late it is

	firstPause  = time.Second // before one that has ended is started anew, doubled each time …
	longPause   = time.Minute
	soundAfter  = time.Minute // … until one has lived so long
	exitAgain   = 75          // EX_TEMPFAIL: start it again
	exitSetting = 78          // EX_CONFIG: starting it again doesn't help
)

// A cluster is what Run knows. Only its loop touches the fields below the first blank line.
type cluster struct {
	Config
	log        *slog.Logger
	printer    *printer
	starter    *family.Starter
	guard      *family.Guard
	dumps      dumps
	mark       string
	events     chan event
	ended      chan struct{} // nobody takes events any more
	background sync.WaitGroup

	now     time.Duration // its own clock
	defs    *definitions
	slots   []*slot
	procs   map[*process]bool // that have not gone
	speaks  map[string]bool   // types of which one has said a word
	good    map[string]bool   // types of which one was ready
	drains  map[string]bool   // types of which one has said how many jobs it runs, and so knows draining
	spawned int
	roll    *roll
	again   bool // SIGHUP came during a roll
	said    bool // that all are ready
	closing bool
	failed  error
	ranged  atomic.Bool // a type has a range; read elsewhere too
}

// A slot is a place for one process.
type slot struct {
	typ    string
	number int
	defs   *definitions
	now    *process      // nil: none lives
	retry  time.Duration // when one is started, where none lives
	pause  time.Duration // before the next start

	drained bool          // it is to take no jobs, and to end when it is idle
	since   time.Duration // it was told so
}

// An event is something that happened outside of the loop.
type event struct {
	process *process
	word    string
	gone    bool
	command *command
	wanted  *int // processes, as somebody who knows has said
}

// tell brings an event to the loop.
func (c *cluster) tell(e event) {
	select {
	case c.events <- e:
	case <-c.ended:
	}
}

// Run runs the cluster until ctx ends: then all processes are told to end, and those that
// don't are killed. hangup is SIGHUP. An error that other settings would mend wraps
// installation.ErrSettings.
func Run(ctx context.Context, config Config, hangup <-chan os.Signal) (err error) {
	defs, err := config.load()
	if err != nil {
		return err
	}
	lock, err := lockState(config.State)
	if err != nil {
		return err
	}
	defer lock.Close()
	sum := sha256.Sum256([]byte(config.State))
	c := &cluster{Config: config, mark: "cluster-" + hex.EncodeToString(sum[:6]), events: make(chan event),
		ended: make(chan struct{}), dumps: dumps{config.State}, defs: defs, procs: map[*process]bool{},
		speaks: map[string]bool{}, good: map[string]bool{},
		drains: map[string]bool{}}
	family.KillMarked(c.mark) // whom a killed cluster and its guard have left
	c.printer = newPrinter(config.Out)
	defer c.printer.close()
	own := c.printer.source("cluster")
	options := &slog.HandlerOptions{Level: config.Level}
	if c.log = slog.New(slog.NewTextHandler(own, options)); config.JSON {
		c.log = slog.New(slog.NewJSONHandler(own, options))
	}
	if c.guard, err = family.StartGuard(config.Self, c.mark); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.guard.Close()) }()
	control, err := openControl(config.State)
	if err != nil {
		return err
	}
	if err := family.AdoptOrphans(); err != nil && os.Getpid() != 1 {
		c.log.WarnContext(ctx, "what processes leave behind goes to init", "error", err)
	}
	c.starter = family.NewStarter()
	c.starter.Patience = config.Grace
	defer c.starter.Close()

	orphans, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.background.Go(func() { family.ReapOrphans(orphans) })
	c.background.Go(func() { c.Above.Beat(orphans, nil) })
	c.background.Go(func() { control.serve(c.tell, c.ended) })
	if c.Wanted != nil {
		c.background.Go(func() { c.askWanted(orphans) })
	}
	c.loop(ctx, hangup)
	close(c.ended)
	control.close()
	stop()
	c.background.Wait()
	return c.failed
}

// loop is Run's one owner of what is known.
func (c *cluster) loop(ctx context.Context, hangup <-chan os.Signal) {
	for _, want := range c.formation(c.defs) {
		for n := range want.N {
			c.slots = append(c.slots, &slot{typ: want.Type, number: n + 1, defs: c.defs})
		}
	}
	c.ranged.Store(slices.ContainsFunc(c.Formation, func(f Count) bool { return f.Max > 0 }))
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	last := time.Now()
	pass := func() { // also between ticks: what begins at an old now would get less than its time
		now := time.Now()
		c.now += min(max(0, now.Sub(last)), maxTick)
		last = now
	}
	end := ctx.Done()
	for {
		c.advance()
		if c.closing && len(c.procs) == 0 {
			return
		}
		select {
		case <-end:
			end = nil
			pass()
			c.close()
		case <-hangup:
			pass()
			c.hangup()
		case e := <-c.events:
			pass()
			c.handle(e)
		case <-tick.C:
			pass()
		}
	}
}

// close tells all to end.
func (c *cluster) close() {
	if c.closing {
		return
	}
	c.closing = true
	c.Above.Say(sdnotify.Stopping)
	c.log.Info("all are told to end", "processes", len(c.procs), "grace", c.Grace)
	c.endRoll(errors.New("the cluster ends"))
	for p := range c.procs {
		c.stop(p)
	}
}

// advance does what is due now.
func (c *cluster) advance() {
	for p := range c.procs {
		c.look(p)
	}
	if c.closing {
		return
	}
	for _, s := range slices.Clone(c.slots) {
		c.drainOn(s)
		if s.now == nil && !s.drained && c.now >= s.retry && !c.closing {
			c.start(s)
		}
	}
	c.rollOn()
	if !c.said && !slices.ContainsFunc(c.slots, func(s *slot) bool {
		return s.now == nil || s.now.state != ready
	}) {
		c.said = true
		c.log.Info("all processes are ready", "processes", len(c.slots))
		c.Above.Say(sdnotify.Ready)
	}
}

// start fills a slot.
func (c *cluster) start(s *slot) {
	p, err := c.spawn(s.defs, s.typ, s.number)
	if err == nil {
		s.now = p
		return
	}
	name := fmt.Sprintf("%s.%d", s.typ, s.number)
	if !c.good[s.typ] {
		c.fail(fmt.Errorf("%w: %s: %w", installation.ErrSettings, name, err))
		return
	}
	s.rest(c.now)
	c.log.Error("could not be started", "process", name, "error", err, "again_in", s.pause)
}

// rest lets some time pass before the next start, more each time.
func (s *slot) rest(now time.Duration) {
	s.pause = min(max(firstPause, 2*s.pause), longPause)
	s.retry = now + s.pause
}

// fail ends the cluster with an error.
func (c *cluster) fail(err error) {
	if c.failed == nil {
		c.failed = err
	}
	c.close()
}

func (c *cluster) handle(e event) {
	switch {
	case e.command != nil:
		c.obey(e.command)
	case e.wanted != nil:
		c.fit(*e.wanted)
	case e.gone:
		c.gone(e.process)
	default:
		c.heard(e.process, e.word)
	}
}

// heard takes a word of a process.
func (c *cluster) heard(p *process, word string) {
	p.spoke, c.speaks[p.typ] = true, true
	switch word {
	case sdnotify.Ready:
		p.heard = c.now
		c.ready(p)
	case sdnotify.Watchdog:
		p.watched, p.heard = true, c.now
	case sdnotify.Stopping:
	default:
		if n, ok := sdnotify.ReadBusy(word); ok {
			p.busy, p.tells, c.drains[p.typ] = n, true, true
		}
	}
}

func (c *cluster) ready(p *process) {
	if p.state == starting {
		c.enter(p, ready)
		c.good[p.typ] = true
		c.log.Info("ready", "process", p.name(), "after", (c.now - p.begun).Round(time.Millisecond))
	}
}

// gone takes notice of a process's end, and of all that it had started.
func (c *cluster) gone(p *process) {
	delete(c.procs, p)
	c.guard.Note(-p.family.Head())
	p.lines.end()
	if p.dump != nil {
		p.dump.Close()
	}
	how, code := p.how()
	asked := p.state == stopping || p.state == killed && c.slotOf(p) == nil
	c.log.Info("ended", "process", p.name(), "pid", p.family.Head(), "how", how, "asked", asked)
	s := c.slotOf(p)
	if s == nil { // scaled away, replaced, or a successor that came to nothing
		return
	}
	s.now = nil
	if c.closing {
		return
	}
	switch {
	case code == exitSetting && !c.good[p.typ]:
		c.fail(fmt.Errorf("%w: %s ended with exit code %d before any %s was ready: what it said is above",
			installation.ErrSettings, p.name(), code, p.typ))
		return
	case code == exitAgain && p.state == ready:
		s.pause, s.retry = 0, c.now // it has worked, and asks for it
		return
	case c.now-p.begun >= soundAfter:
		s.pause = 0
	}
	s.rest(c.now)
	c.log.Warn("ended by itself, and is started anew", "process", p.name(), "how", how, "again_in", s.pause)
}

func (c *cluster) slotOf(p *process) *slot {
	for _, s := range c.slots {
		if s.now == p {
			return s
		}
	}
	return nil
}

// scale sets how many processes of a type there are. The idlest go first, of these those
// with the highest numbers.
func (c *cluster) scale(want Count) error {
	if c.defs.find(want.Type) < 0 {
		return fmt.Errorf("%s has no %s", c.Procfile, want.Type)
	}
	if c.roll != nil {
		return errRolling
	}
	if want.Max > 0 {
		return c.scaleRange(want)
	}
	var have []*slot
	for _, s := range c.slots {
		if s.typ == want.Type {
			have = append(have, s)
		}
	}
	idlest(have)
	for _, s := range have[:min(want.N, len(have))] {
		if s.drained && s.now != nil {
			s.now.family.Signal(syscall.SIGCONT)
		}
		s.drained = false
	}
	for _, s := range have[min(want.N, len(have)):] {
		c.dropSlot(s)
		if s.now != nil {
			c.stop(s.now)
		}
	}
	c.fill(want.Type, want.N-len(have))
	c.note(want)
	c.log.Info("scaled", "type", want.Type, "processes", want.N)
	return nil
}

func (c *cluster) sortSlots() {
	slices.SortStableFunc(c.slots, func(a, b *slot) int { return strings.Compare(a.typ, b.typ) })
	slices.SortStableFunc(c.slots, func(a, b *slot) int { return c.defs.find(a.typ) - c.defs.find(b.typ) })
}

// busy is how many jobs the slot's process runs; one that doesn't live is the idlest.
func (s *slot) busy() int {
	if s.now == nil {
		return -1
	}
	return s.now.busy
}

// A Status is a process as status shows it.
type Status struct {
	Process string `json:"process"`
	PID     int    `json:"pid,omitempty"` // absent: it is to be started
	State   string `json:"state"`
	Seconds int    `json:"seconds"` // since it was started, or until it is
	Busy    *int   `json:"busy,omitempty"`
}

func (c *cluster) status() []Status {
	var list []Status
	for _, s := range c.slots {
		if s.now == nil {
			list = append(list, Status{Process: fmt.Sprintf("%s.%d", s.typ, s.number), State: "waiting",
				Seconds: int(max(0, s.retry-c.now).Seconds())})
		}
	}
	for p := range maps.Keys(c.procs) {
		st := Status{Process: p.name(), PID: p.family.Head(), State: string(p.state),
			Seconds: int((c.now - p.begun).Seconds())}
		if s := c.slotOf(p); s != nil && s.drained && p.state == ready {
			st.State, st.Seconds = "draining", int((c.now - s.since).Seconds())
		}
		if p.tells {
			st.Busy = &p.busy
		}
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b Status) int {
		if a.Process != b.Process {
			return strings.Compare(a.Process, b.Process)
		}
		return a.PID - b.PID
	})
	return list
}

// lockState makes the folder and takes its lock, which ends with the process.
func lockState(folder string) (*os.File, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("%w: CLUSTER_DIR: %w", installation.ErrSettings, err)
	}
	info, err := os.Lstat(folder)
	if err != nil {
		return nil, fmt.Errorf("%w: CLUSTER_DIR: %w", installation.ErrSettings, err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || info.Mode().Perm()&0o077 != 0 ||
		ok && int(owner.Uid) != os.Getuid() {
		return nil, fmt.Errorf(
			"%w: CLUSTER_DIR: %s is to be a folder of this user that nobody else may enter (chmod 700)",
			installation.ErrSettings, folder)
	}
	if len(folder) > maxFolder {
		return nil, fmt.Errorf(
			"%w: CLUSTER_DIR: its path is longer than %d bytes, too long for sockets: choose another",
			installation.ErrSettings, maxFolder)
	}
	lock, err := os.OpenFile(folder+"/lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: CLUSTER_DIR: %w", installation.ErrSettings, err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%w: another cluster runs with %s: see cluster status",
			installation.ErrSettings, folder)
	}
	old, err := os.ReadDir(folder)
	for _, entry := range old {
		if strings.HasPrefix(entry.Name(), "word-") || entry.Name() == controlName {
			os.Remove(folder + "/" + entry.Name()) // sockets of one that was killed
		}
	}
	return lock, err
}

// maxFolder leaves room for a socket's name in the path that systems allow (unix(7), 108;
// 104 on macOS).
const maxFolder = 85
