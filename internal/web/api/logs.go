package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/operate"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Logger reads logs of jobs. operate.Desk implements it.
type Logger interface {
	Logs(ctx context.Context, by access.View, id job.ID, after int64) (lines []operate.LogLine,
		state job.State, whole, incomplete bool, err error)
	FollowLog(ctx context.Context, id job.ID) (wake <-chan struct{}, stop func())
}

// How a log is followed.
const (
	logLook = time.Second      // a wake may be lost
	logBeat = 15 * time.Second // that a silent stream shows that it lives
	// for the log of a job that has ended, which is on its way to the blob store
	logPatience = 3 * time.Second
)

// A logWish is what is asked of a log.
type logWish struct {
	id     job.ID
	after  int64
	follow bool
	wish   wish
}

var logParams = edge.Params[logWish]{
	idParam(func(to *logWish, id job.ID) { to.id = id }),
	edge.Whole(edge.Param[logWish]{Name: "after", In: edge.Query,
		Doc: "only lines behind the one with this number"},
		0, 0, func(to *logWish, n int64) { to.after = n }),
	edge.OneOf(edge.Param[logWish]{Name: "follow", In: edge.Query, Doc: "go on until the job has ended"},
		[]string{"true", "false"}, func(to *logWish, text string) { to.follow = text == "true" }),
	waitParam("wait this long for a line, as 25s", func(l *logWish) *wish { return &l.wish }),
	edge.Whole(edge.Param[logWish]{Name: httpapi.HeaderLastEventID, In: edge.Header,
		Doc: "after, of an EventSource that comes back"}, 0, 0, func(to *logWish, n int64) { to.after = n }),
}

func (h *Operate) logRoute() edge.Route {
	op := edge.At("GET", httpapi.PathJobs+"/{id}/logs", "get-logs", "The log of a job, as lines of JSON")
	op.Parameters = logParams.Describe()
	op.Description =
		"Each line has a number n, the attempt, the time at, a level and its text msg; or a number and how many " +
			"lines up to it were dropped, as all beyond 1,000 lines, 256 KiB or 1,000 lines a second of an attempt are. The last " +
			"line is {\"end\":true}, where the job has ended. With Accept: text/event-stream the lines are events."
	return edge.Route{Op: op, Access: edge.Bearer, Scope: access.JobsLogs, Job: true, Handle: h.logs}
}

// A logFeed is one reader's.
type logFeed struct {
	*Operate
	answer *edge.Answer
	wish   logWish
	events bool
	text   bytes.Buffer
	ended  time.Time // when the job was seen to have ended
	done   bool
}

func (h *Operate) logs(a *edge.Answer, r *http.Request) error {
	f := &logFeed{Operate: h, answer: a}
	if err := logParams.ReadLoose(r, &f.wish); err != nil {
		return err
	}
	f.events = strings.Contains(r.Header.Get("Accept"), httpapi.TypeEvents)
	f.wish.follow = f.wish.follow || f.events
	if err := f.look(r.Context()); err != nil { // before anything is said
		return err
	}
	granted := f.wish.wish.wait
	if f.wish.follow {
		granted = time.Hour
	}
	wait := !f.done && (f.wish.follow || f.text.Len() == 0) && granted > 0 && h.waiter.Enter(a, granted) > 0
	if wait {
		defer h.waiter.Leave(a)
		if !f.wish.follow {
			granted = min(granted, longestWait)
		}
	}
	f.begin(r)
	if !f.flush() || !wait || r.Method == http.MethodHead {
		return nil
	}
	return f.follow(r.Context(), granted)
}

func (f *logFeed) begin(r *http.Request) {
	header := f.answer.Header()
	header.Set("Content-Type", httpapi.TypeNDJSON)
	header.Set("Cache-Control", "no-store, no-transform")
	if f.events {
		header.Set("Content-Type", httpapi.TypeEvents)
		header.Set("X-Accel-Buffering", "no") // nginx
	}
	if f.wish.follow {
		edge.BoundSendBuffer(r.Context())
	}
	if f.text.Len() == 0 && f.wish.follow {
		_ = f.answer.Send(nil) // the client is to see that it is let in; an error comes again
	}
}

// look writes what is new.
func (f *logFeed) look(ctx context.Context) error {
	lines, state, whole, incomplete, err := f.desk.Logs(ctx, f.answer.View(), f.wish.id, f.wish.after)
	if err != nil {
		return err
	}
	if whole && f.ended.IsZero() {
		f.ended = time.Now()
	}
	if whole && incomplete && f.wish.follow && time.Since(f.ended) < logPatience {
		return nil // the whole may come at once
	}
	for _, line := range lines {
		f.write("log", line.N, line.Text)
		f.wish.after = line.N
	}
	if whole {
		f.done = true
		last := `{"end":true,"state":"` + string(state) + `"`
		if incomplete {
			last += `,"incomplete":true`
		}
		f.write("end", f.wish.after, last+"}")
	}
	return nil
}

func (f *logFeed) write(event string, n int64, text string) {
	if f.events {
		f.text.WriteString("event: " + event + "\nid: " + strconv.FormatInt(n, 10) + "\ndata: ")
	}
	f.text.WriteString(text)
	f.text.WriteByte('\n')
	if f.events {
		f.text.WriteByte('\n')
	}
}

// flush sends what was written. It reports whether the client still takes it.
func (f *logFeed) flush() bool {
	if f.text.Len() == 0 {
		return true
	}
	err := f.answer.Send(f.text.Bytes())
	f.text.Reset()
	return err == nil
}

// follow goes on until the job has ended, or, where that is asked, until there is a line.
func (f *logFeed) follow(ctx context.Context, most time.Duration) error {
	wake, stop := f.desk.FollowLog(ctx, f.wish.id)
	defer stop()
	look, beat := time.NewTicker(logLook), time.NewTicker(logBeat)
	defer look.Stop()
	defer beat.Stop()
	end := time.NewTimer(most)
	defer end.Stop()
	for !f.done {
		if err := f.look(ctx); err != nil && !errors.Is(err, job.ErrNotFound) {
			_ = f.answer.Refusal(ctx, err) // it is noted; the client sees a line less, and comes back
		} else if err != nil {
			return nil // its retention is over
		}
		if !f.wish.follow && f.text.Len() > 0 {
			break
		}
		if !f.flush() {
			return nil
		}
		if f.done {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.stopping.Done():
			return nil
		case <-end.C:
			return nil
		case <-wake:
		case <-look.C:
			if f.answer.Ended() != nil { // its credential
				return nil
			}
		case <-beat.C:
			if f.events && f.answer.Send([]byte(":\n\n")) != nil {
				return nil
			}
		}
	}
	f.flush()
	return nil
}
