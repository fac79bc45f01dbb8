package operate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"longshore/internal/access"
	"longshore/internal/blob"
	"longshore/internal/jobstore"
	"longshore/job"
)

// A LogLine is one line of a job's log as clients get it, or tells that some were dropped.
type LogLine struct {
	N    int64  // its number: what a reader goes on after
	Text string // JSON
}

// Logs are the lines of a job's log after a number. state is the job's; whole tells that the job has ended
// and no more lines will come. incomplete is told of one that has ended with lines that nobody has any
// more, but
// their number.
func (d *Desk) Logs(ctx context.Context, by access.View, id job.ID, after int64) (lines []LogLine,
	state job.State, whole, incomplete bool, err error) {
	if !by.All() { // another's job is as one that there is not
		if _, err := d.Store.Views().Get(ctx, by, id); err != nil {
			return nil, "", false, false, err
		}
	}
	runs, state, err := d.Store.LogRuns(ctx, id)
	if err != nil {
		return nil, "", false, false, err
	}
	whole = state.Terminal()
	for _, run := range runs {
		if run.Delivery<<32|0xffffffff <= after {
			continue
		}
		texts := run.Lines
		if run.Stored {
			if texts, err = d.storedLog(ctx, id, run.Delivery); errors.Is(err, blob.ErrNotFound) {
				incomplete = true
				continue
			} else if err != nil {
				return nil, "", false, false, err
			}
		} else {
			incomplete = incomplete || whole // killed, or on its way to the blob store
		}
		lines = addLines(lines, run, texts, after)
	}
	return lines, state, whole, incomplete, nil
}

// addLines adds the lines of a run behind a number; what is missing between two was dropped.
func addLines(lines []LogLine, run jobstore.LogRun, texts []string, after int64) []LogLine {
	told := max(after, run.Delivery<<32)
	dropped := func(next int64) {
		if gap := next - told - 1; gap > 0 {
			lines = append(lines, LogLine{next - 1, fmt.Sprintf(`{"n":%d,"dropped":%d}`, next-1, gap)})
		}
	}
	for _, text := range texts {
		var said struct {
			N int64 `json:"n"`
		}
		if json.Unmarshal([]byte(text), &said) != nil || said.N <= told {
			continue
		}
		dropped(said.N)
		lines, told = append(lines, LogLine{said.N, text}), said.N
	}
	if run.Stored {
		dropped(run.Delivery<<32 + run.Written + 1)
	}
	return lines
}

// maxStoredLog bounds what is read of a stored log: more was never written.
const maxStoredLog = 1 << 20

func (d *Desk) storedLog(ctx context.Context, id job.ID, delivery int64) ([]string, error) {
	in, err := d.Blobs.Open(ctx, jobstore.LogBlob(id, delivery))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if in.Size() > maxStoredLog {
		return nil, blob.ErrNotFound
	}
	var texts []string
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 0, 16<<10), maxStoredLog)
	for scan.Scan() {
		texts = append(texts, scan.Text())
	}
	return texts, scan.Err()
}

// A logBell wakes those who follow logs.
type logBell struct {
	mu      sync.Mutex
	waiting map[job.ID]map[chan struct{}]bool
}

// HeardOfLog is to be called for each message on the store's LogChannel.
func (d *Desk) HeardOfLog(raw string) {
	d.logs.mu.Lock()
	defer d.logs.mu.Unlock()
	for wake := range d.logs.waiting[job.FromRaw(raw)] {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// FollowLog has the job's worker tell its lines at once, until stop is called. What comes through wake
// says that
// there may be some; it may also be lost, so who follows looks each second too.
func (d *Desk) FollowLog(ctx context.Context, id job.ID) (wake <-chan struct{}, stop func()) {
	ring := make(chan struct{}, 1)
	d.logs.mu.Lock()
	if d.logs.waiting == nil {
		d.logs.waiting = map[job.ID]map[chan struct{}]bool{}
	}
	if d.logs.waiting[id] == nil {
		d.logs.waiting[id] = map[chan struct{}]bool{}
	}
	d.logs.waiting[id][ring] = true
	d.logs.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if err := d.Store.Follow(ctx, id); err != nil && ctx.Err() == nil {
				d.Log.DebugContext(ctx, "the worker doesn't hear that its log is followed", "job_id", id,
					"error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return ring, func() {
		cancel()
		<-ended
		d.logs.mu.Lock()
		defer d.logs.mu.Unlock()
		delete(d.logs.waiting[id], ring)
		if len(d.logs.waiting[id]) == 0 {
			delete(d.logs.waiting, id)
		}
	}
}
