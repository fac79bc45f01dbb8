package claimer

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"longshore/answer"
	"longshore/client"
)

// A Job is one attempt at a job that was claimed.
type Job struct {
	client.ClaimedJob
	Deadline time.Time

	stop context.CancelCauseFunc
	news chan struct{} // is told that there is something to say

	mu       sync.Mutex
	stopped  bool     // it is renewed no more
	next     int64    // number of the first line that waits
	lines    []string // that wait
	size     int      // of the lines, in bytes of JSON
	progress *answer.ClaimProgress
}

// Bounds of what waits to be said, in bytes; a request has 128 KiB at most.
const (
	maxLine  = 4 << 10
	maxLines = 56 << 10
	maxCount = 1000 // lines
)

// AddLog adds lines to the job's log. Where they come faster than they are taken the oldest go: the server
// keeps the last ones, too.
func (j *Job) AddLog(text string) {
	j.mu.Lock()
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if len(line) > maxLine {
			line = strings.ToValidUTF8(line[:maxLine], "")
		}
		j.lines = append(j.lines, line)
		j.size += sizeOf(line)
	}
	for j.size > maxLines || len(j.lines) > maxCount {
		j.drop(1)
	}
	j.mu.Unlock()
	j.tell()
}

// drop forgets the first lines. The lock is held.
func (j *Job) drop(n int) {
	for _, line := range j.lines[:n] {
		j.size -= sizeOf(line)
	}
	j.lines, j.next = j.lines[n:], j.next+int64(n)
}

// sizeOf is what a line takes in a request, as JSON with a comma, in bytes.
func sizeOf(line string) int {
	n := len(`"",`)
	for _, r := range line {
		switch {
		case r < ' ', r == utf8.RuneError, r == '\u2028', r == '\u2029':
			n += len(`\u0000`)
		case r == '"', r == '\\':
			n += 2
		default:
			n += utf8.RuneLen(r)
		}
	}
	return n
}

// SetProgress says how far the attempt is.
func (j *Job) SetProgress(p answer.ClaimProgress) {
	const maxNote = 200
	if len(p.Note) > maxNote {
		p.Note = strings.ToValidUTF8(p.Note[:maxNote], "")
	}
	j.mu.Lock()
	j.progress = &p
	j.mu.Unlock()
	j.tell()
}

func (j *Job) tell() {
	select {
	case j.news <- struct{}{}:
	default:
	}
}

// rest are the lines that were not said yet, for the job's end; nil = none.
func (j *Job) rest() *answer.ClaimLog {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.lines) == 0 {
		return nil
	}
	log := &answer.ClaimLog{From: j.next, Lines: j.lines}
	j.next, j.lines, j.size = j.next+int64(len(j.lines)), nil, 0
	return log
}

// A saying is what a renewal says of a job.
type saying struct {
	upto     int64 // number of the line after the last one
	progress *answer.ClaimProgress
}

// gather makes a renewal of what jobs have to say, in the room that a request has. What has no room waits
// for the next one, which then follows at once.
//
// Another job is the first at each turn, so that none takes all the room for ever; quiet says nothing.
func gather(jobs []*Job, turn int, quiet bool) (renewed []*Job, ask client.RenewRequest, said []saying) {
	room := maxLines
	for i := range jobs {
		j := jobs[(turn+i)%len(jobs)]
		j.mu.Lock()
		switch {
		case j.stopped:
		case quiet:
			renewed, said = append(renewed, j), append(said, saying{upto: j.next})
			ask.Jobs = append(ask.Jobs, answer.RenewJob{ID: j.ID, Claim: j.Claim})
		default:
			one := answer.RenewJob{ID: j.ID, Claim: j.Claim, Progress: j.progress}
			if len(j.lines) > 0 && j.size <= room {
				room -= j.size
				one.Log = &answer.ClaimLog{From: j.next, Lines: j.lines[:len(j.lines):len(j.lines)]}
			} else if len(j.lines) > 0 {
				j.tell()
			}
			upto := j.next
			if one.Log != nil {
				upto += int64(len(j.lines))
			}
			renewed, said = append(renewed, j), append(said, saying{upto, j.progress})
			ask.Jobs = append(ask.Jobs, one)
		}
		j.mu.Unlock()
	}
	return renewed, ask, said
}

// took forgets what was said.
func (j *Job) took(said saying) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := said.upto - j.next; n > 0 {
		j.drop(int(n))
	}
	if said.progress != nil && j.progress == said.progress {
		j.progress = nil
	}
}

// end stops the attempt; it is renewed no more.
func (j *Job) end(cause error) {
	j.mu.Lock()
	j.stopped = true
	j.mu.Unlock()
	j.stop(cause)
}
