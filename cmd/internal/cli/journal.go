package cli

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"longshore/job"
)

// A journal is the file by which a second run of batch knows what the first one
// got acknowledged. It is lines of JSON, only ever added to: first the run's
// name, then of which time the ids of lines are, before these are sent, and what was taken,
// some hundred lines of input at a time:
//
//	{"longshore_batch":2,"run":"5GX…"}
//	{"from":1,"to":5000,"at":1795772675893}
//	{"upto":500,"crc":2774512354,"jobs":[{"line":1,"ids":["01a2…",…]},{"line":301,"ids":[…]}]}
//	{"file":"a.log","stamp":"…","id":"01a2…"}
//
// crc is that of the input up to and including line upto (CRC-32C), so that a
// changed input is noticed. A line's id is made of that time, the run's name and its number, so that
// a line in doubt is sent again as the same job; at 0, and in journals of version 1, which knew no such
// times, it has an idempotency key instead. The run's name and the times are on disk before anything is
// sent; the rest may be cut at any byte.
type journal struct {
	run   string
	file  *os.File // nil: nothing is kept
	taken bits     // lines of the input
	sums  []prefix // by upto
	times []dated  // as noted: a later one rules over an earlier one
	keyed bool     // lines have keys: begun by a release that knew no times, or clocks differ

	writing sync.Mutex
	files   map[string]job.ID
	jobs    []placed // of all lines, if they are wanted
	// fileJobs are those of files, in their order, if they are wanted.
	fileJobs []fileJob
}

// A fileJob is a file and its job.
type fileJob struct {
	file string
	id   job.ID
}

// A placed is a job and where it comes from: the number of its line, or of its file.
type placed struct {
	id job.ID
	at int64
}

// A prefix is the checksum of the input up to a line.
type prefix struct {
	upto int64
	crc  uint32
}

// A dated is of which time the ids of some lines are, in milliseconds; 0 = they have keys.
type dated struct{ from, to, at int64 }

// A journalEntry is one line but the first.
type journalEntry struct {
	From int64 `json:"from,omitempty"`
	To   int64 `json:"to,omitempty"`
	At   int64 `json:"at"`

	Upto int64     `json:"upto,omitempty"`
	CRC  uint32    `json:"crc,omitempty"`
	Jobs []idsFrom `json:"jobs,omitempty"`

	File  string `json:"file,omitempty"`
	Stamp string `json:"stamp,omitempty"` // another one: the file has changed
	ID    job.ID `json:"id,omitempty"`
}

// idsFrom is the jobs of consecutive lines.
type idsFrom struct {
	Line int64    `json:"line"`
	IDs  []job.ID `json:"ids"`
}

// The beginnings of journals: of this version, and of the one whose lines have keys. Who knows version 1
// alone refuses this one: it would send lines in doubt by keys.
const (
	journalBegin = `{"longshore_batch":2,"run":"`
	keyedBegin   = `{"longshore_batch":1,"run":"`
)

func newJournal() *journal {
	return &journal{run: rand.Text(), taken: bits{}, files: map[string]job.ID{}}
}

// openJournal opens or begins a journal; "" keeps none. Two runs can't share one.
func openJournal(name string, wantIDs bool) (*journal, error) {
	j := newJournal()
	if name == "" {
		return j, nil
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("journal: %w (--journal names another, --no-journal does without)", err)
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("journal %s is in use by another run", name), f.Close())
	}
	good, err := j.read(f, wantIDs)
	if err == nil {
		err = j.begin(f, good)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal %s: %w", name, err), f.Close())
	}
	j.file = f
	return j, nil
}

var errNoJournal = errors.New("this is no journal of enqueue batch; name another file with --journal")

// read takes in what a journal says and returns how many of its bytes are good:
// what a kill has left behind them is cut.
func (j *journal) read(in io.Reader, wantIDs bool) (good int64, err error) {
	lines := bufio.NewReaderSize(in, 64<<10)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		whole := err == nil
		if err != nil && err != io.EOF {
			return 0, err
		}
		if number == 1 {
			run, ok := runOf(line)
			if !ok && (whole || !begins(line)) {
				return 0, errNoJournal
			}
			if !ok || !whole {
				return 0, nil // nothing was sent yet
			}
			j.run, j.keyed = run, strings.HasPrefix(string(line), keyedBegin)
		} else if whole {
			if err := j.add(line, wantIDs); err != nil {
				if _, last := lines.Peek(1); last == io.EOF {
					return good, nil // a machine that lost its power can leave such a line
				}
				return 0, fmt.Errorf("line %d is damaged: %w", number, err)
			}
		}
		if !whole {
			slices.SortFunc(j.sums, func(a, b prefix) int { return int(min(max(a.upto-b.upto, -1), 1)) })
			return good, nil
		}
		good += int64(len(line))
	}
}

// begins reports whether a text without its end may be a journal's first line.
func begins(text []byte) bool {
	n := min(len(text), len(journalBegin))
	return string(text[:n]) == journalBegin[:n] || string(text[:n]) == keyedBegin[:n]
}

func runOf(line []byte) (string, bool) {
	if !begins(line) {
		return "", false
	}
	var first struct{ Run string }
	err := json.Unmarshal(line, &first)
	return first.Run, err == nil && len(first.Run) >= 16 && len(first.Run) <= 64
}

// add takes in one entry, or nothing of it.
func (j *journal) add(line []byte, wantIDs bool) error {
	var e journalEntry
	if err := json.Unmarshal(line, &e); err != nil {
		return errors.New("not JSON")
	}
	if e.File != "" {
		if _, err := job.ParseID(string(e.ID)); err != nil {
			return err
		}
		j.files[e.File+"\x00"+e.Stamp] = e.ID
		if wantIDs {
			j.fileJobs = append(j.fileJobs, fileJob{e.File, e.ID})
		}
		return nil
	}
	if e.From != 0 {
		if e.From < 1 || e.To < e.From || e.At < 0 {
			return errors.New("numbers of lines don't fit")
		}
		j.times = append(j.times, dated{e.From, e.To, e.At})
		return nil
	}
	for _, run := range e.Jobs {
		if run.Line < 1 || run.Line-1 > e.Upto-int64(len(run.IDs)) {
			return errors.New("numbers of lines don't fit")
		}
		for _, id := range run.IDs {
			if _, err := job.ParseID(string(id)); err != nil {
				return err
			}
		}
	}
	for _, run := range e.Jobs {
		for i := range run.IDs {
			j.taken.set(run.Line + int64(i))
			if wantIDs {
				j.jobs = append(j.jobs, placed{run.IDs[i], run.Line + int64(i)})
			}
		}
	}
	j.sums = append(j.sums, prefix{e.Upto, e.CRC})
	return nil
}

// begin cuts what is torn and writes the first line if it is not there yet.
func (j *journal) begin(f *os.File, good int64) error {
	if err := f.Truncate(good); err != nil {
		return err
	}
	if _, err := f.Seek(good, io.SeekStart); err != nil {
		return err
	}
	if good > 0 {
		return nil
	}
	if _, err := f.WriteString(journalBegin + j.run + "\"}\n"); err != nil {
		return err
	}
	return f.Sync()
}

// key is the idempotency key of a line, the same in every run.
func (j *journal) key(line int64) string { return j.run + "." + strconv.FormatInt(line, 10) }

// id is the id of a line at a time.
func (j *journal) id(line, at int64) job.ID {
	sum := sha256.Sum256([]byte(j.key(line)))
	return job.IDFrom(time.UnixMilli(at), [10]byte(sum[:10]))
}

// timeOf tells of which time the id of a line is that may have been sent.
func (j *journal) timeOf(line int64) (at int64, ok bool) {
	for _, d := range slices.Backward(j.times) {
		if d.from <= line && line <= d.to {
			return d.at, true
		}
	}
	return 0, false
}

// draw notes of which time the ids of some lines are, and has it on disk.
func (j *journal) draw(d dated) error {
	if j.file == nil {
		return nil
	}
	if err := j.write(fmt.Appendf(nil, `{"from":%d,"to":%d,"at":%d}`+"\n", d.from, d.to, d.at)); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("write to the journal: %w", err)
	}
	return nil
}

// An acked is a line that was taken.
type acked struct {
	line int64
	id   job.ID
}

// note writes down what was taken, with the checksum of the input up to the
// last of these lines.
func (j *journal) note(lines []acked, sum prefix) error {
	if j.file == nil || len(lines) == 0 {
		return nil
	}
	slices.SortFunc(lines, func(a, b acked) int { return int(min(max(a.line-b.line, -1), 1)) })
	text := bytes.NewBuffer(make([]byte, 0, 64+40*len(lines)))
	fmt.Fprintf(text, `{"upto":%d,"crc":%d,"jobs":[`, sum.upto, sum.crc)
	for i, l := range lines {
		switch {
		case i == 0:
			fmt.Fprintf(text, `{"line":%d,"ids":["`, l.line)
		case l.line != lines[i-1].line+1:
			fmt.Fprintf(text, `"]},{"line":%d,"ids":["`, l.line)
		default:
			text.WriteString(`","`)
		}
		text.WriteString(string(l.id))
	}
	text.WriteString("\"]}]}\n")
	return j.write(text.Bytes())
}

// noteFile writes down that a file was taken.
func (j *journal) noteFile(name, stamp string, id job.ID) error {
	if j.file == nil {
		return nil
	}
	text, err := json.Marshal(journalEntry{File: name, Stamp: stamp, ID: id})
	if err != nil {
		return err
	}
	return j.write(append(text, '\n'))
}

func (j *journal) write(text []byte) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	if _, err := j.file.Write(text); err != nil {
		return fmt.Errorf("write to the journal: %w", err)
	}
	return nil
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	// A process that is just being started may hold a copy of the file: closing
	// ours would not let go of the lock.
	return errors.Join(j.file.Sync(), unlock(j.file), j.file.Close())
}

// bits is a set of numbers from 0, a bit each, in pages of 4096.
type bits map[int64]*[64]uint64

func (b bits) set(n int64) {
	page := b[n>>12]
	if page == nil {
		page = new([64]uint64)
		b[n>>12] = page
	}
	page[n>>6&63] |= 1 << (n & 63)
}

func (b bits) has(n int64) bool {
	page := b[n>>12]
	return page != nil && page[n>>6&63]&(1<<(n&63)) != 0
}
