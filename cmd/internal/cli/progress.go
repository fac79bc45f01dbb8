package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"longshore/internal/printable"
	"longshore/job"
)

// linesEvery is the least time between two lines of progress where there is no
// terminal to draw a bar on. A change of state is always printed.
const linesEvery = 2 * time.Second

// A progress shows how something comes along, on stderr: as a bar on a
// terminal, else as lines now and then.
type progress struct {
	out  io.Writer
	bars *mpb.Progress          // nil without a terminal
	note atomic.Pointer[string] // beside the bar

	state   job.State // last printed
	printed time.Time

	mu     sync.Mutex // an upload's reader may outlive its call
	bar    *mpb.Bar
	closed bool
}

func (p *CLI) newProgress() *progress {
	show := &progress{out: p.err}
	if isTerminal(p.screen) {
		show.bars = mpb.New(mpb.WithOutput(p.screen), mpb.WithWidth(40),
			mpb.WithRefreshRate(100*time.Millisecond))
	}
	return show
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// job shows a snapshot.
func (s *progress) job(snap job.Snapshot) {
	text := stateOf(snap)
	if snap.Progress != nil && !snap.Done {
		if more := progressText(snap.Progress); more != "" {
			text += "  " + more
		}
	}
	if s.bars == nil {
		if now := time.Now(); snap.State != s.state || now.Sub(s.printed) >= linesEvery {
			s.state, s.printed = snap.State, now
			printable.Fprintf(s.out, "%s\n", text)
		}
		return
	}
	fraction := 0.0
	if snap.Overall != nil {
		fraction = *snap.Overall
	}
	s.draw(int64(fraction*1000), 1000, text)
}

// draw moves the bar, which appears with the first call.
func (s *progress) draw(current, total int64, note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	note = printable.Text(note) // bars write to the terminal by themselves
	s.note.Store(&note)
	if s.bar == nil {
		// The total is one more than can be reached: only close ends the bar.
		s.bar = s.bars.AddBar(total+1, mpb.AppendDecorators(
			decor.Any(func(decor.Statistics) string { return " " + *s.note.Load() })))
	}
	s.bar.SetCurrent(min(current, total))
}

// println writes a message, above the bar if there is one.
func (s *progress) println(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars != nil && !s.closed && s.bar != nil {
		_, _ = s.bars.Write([]byte(printable.Text(text) + "\n"))
		return
	}
	printable.Fprintf(s.out, "%s\n", text)
}

// close takes the bar away. It may be called again.
func (s *progress) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.bars == nil {
		return
	}
	s.closed = true
	if s.bar != nil {
		s.bar.Abort(true)
	}
	s.bars.Wait()
}

// input counts what is read of an upload. It can be rewound if in can.
func (s *progress) input(in io.Reader, size int64) io.Reader { return s.counted("sending", in, size) }

// output counts what arrives of a download.
func (s *progress) output(in io.Reader, size int64) io.Reader {
	return s.counted("receiving", in, size)
}

func (s *progress) counted(verb string, in io.Reader, size int64) io.Reader {
	if s.bars == nil {
		return in
	}
	c := &counted{in: in, moved: s.mover(verb, size)}
	if seeker, ok := in.(io.Seeker); ok {
		return &countedSeeker{c, seeker}
	}
	return c
}

// mover returns what draws how many bytes of a size have moved; size < 1 = unknown.
func (s *progress) mover(verb string, size int64) func(done int64) {
	return func(done int64) {
		if size > 0 {
			s.draw(done, size, verb+" "+BytesText(done)+" of "+BytesText(size))
		} else {
			s.draw(0, 1, verb+" "+BytesText(done))
		}
	}
}

type counted struct {
	in    io.Reader
	done  int64
	moved func(done int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.done += int64(n)
	c.moved(c.done)
	return n, err
}

type countedSeeker struct {
	*counted
	seeker io.Seeker
}

func (c *countedSeeker) Seek(offset int64, whence int) (int64, error) {
	at, err := c.seeker.Seek(offset, whence)
	if err == nil {
		c.done = at
	}
	return at, err
}

// progressText is "uploading 42 %, 1.2 GB of 3.0 GB, 120.0 MB/s, 15s left".
func progressText(p *job.Progress) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if p.Phase == job.PhaseUpload {
		add("upload")
	}
	if p.Fraction != nil {
		add("%.0f %%", *p.Fraction*100)
	}
	switch {
	case p.BytesTotal > 0:
		add("%s of %s", BytesText(p.BytesDone), BytesText(p.BytesTotal))
	case p.BytesDone > 0:
		add("%s", BytesText(p.BytesDone))
	}
	if p.Records > 0 {
		add("%d records", p.Records)
	}
	if p.Rate > 0 {
		add("%s/s", BytesText(int64(p.Rate)))
	}
	if p.ETA != nil {
		add("%v left", time.Duration(*p.ETA*float64(time.Second)).Round(time.Second))
	}
	if p.Note != "" {
		add("%s", p.Note)
	}
	return strings.Join(parts, ", ")
}

// BytesText writes a size in decimal units, as disks are sold.
func BytesText(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for value >= 999.95 && unit < len(units)-1 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", value, units[unit])
}
