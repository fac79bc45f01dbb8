package load

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"longshore/internal/chaos/history"
	"longshore/internal/httpapi"
	"longshore/job"
)

const (
	// wait is what a long-poll asks for.
	wait = 10 * time.Second
	// silence is how long a stream may say nothing; heartbeats come every 15 s.
	silence = 25 * time.Second
)

// toTheEnd follows the job until its end was seen.
func (f *flow) toTheEnd(ctx context.Context, id job.ID) {
	rev := int64(0)
	for ctx.Err() == nil {
		var done, gone bool
		switch f.follow {
		case "poll":
			done, gone = f.poll(ctx, id, &rev)
		case "sse":
			done, gone = f.events(ctx, id, &rev)
		case "socket":
			done, gone = f.socket(ctx, id, &rev)
		default:
			done, gone = f.look(ctx, id, &rev)
		}
		if done || gone {
			return
		}
	}
}

// waiter names the client as one that waits.
func (f *flow) waiter() string { return fmt.Sprintf("waiter-%d", f.n) }

func (f *flow) parked(id job.ID) {
	f.load.log.Add(history.Event{Kind: history.Parked, Job: string(id), Way: f.follow, Key: f.waiter()})
}

// seen notes a snapshot.
func (f *flow) seen(s *job.Snapshot, from int64, rev *int64) bool {
	e := Seen(s, f.follow)
	e.From, e.Key = from, f.waiter()
	f.load.log.Add(e)
	*rev = s.Rev
	return s.Done
}

// poll is one long-poll.
func (f *flow) poll(ctx context.Context, id job.ID, rev *int64) (done, gone bool) {
	path := fmt.Sprintf("%s?wait=%s&after=%d", httpapi.JobPath(id), wait, *rev)
	f.parked(id)
	a, err := f.request(ctx, http.MethodGet, path, nil, nil, 0, wait+10*time.Second)
	if err == errNobody { //nolint:errorlint // it is ours, and comes as it is
		pause(ctx, f.random, 300*time.Millisecond)
		return false, false
	}
	e := history.Event{Kind: history.Waited, Job: string(id), Way: "poll", Proc: a.server, From: a.from,
		Wait: wait.Microseconds(), Status: a.status}
	if granted, err := time.ParseDuration(a.header.Get(httpapi.HeaderWait)); err == nil {
		e.Wait = granted.Microseconds()
	}
	if ctx.Err() == nil {
		f.load.log.Add(e)
	}
	return f.answered(ctx, a, err, rev)
}

// answered takes the answer to a request for a job.
func (f *flow) answered(ctx context.Context, a answer, err error, rev *int64) (done, gone bool) {
	var s job.Snapshot
	if err == nil && a.status == http.StatusOK {
		s, err = a.snapshot()
	}
	switch {
	case err != nil:
		if ctx.Err() == nil {
			f.unknown(a, f.follow, err)
		}
		pause(ctx, f.random, 300*time.Millisecond)
		return false, false
	case a.status == http.StatusOK:
		return f.seen(&s, a.from, rev), false
	}
	pauseFor, again := f.refused(a, f.follow)
	pause(ctx, f.random, pauseFor)
	return false, !again
}

// look asks, and asks again some time later.
func (f *flow) look(ctx context.Context, id job.ID, rev *int64) (done, gone bool) {
	a, err := f.request(ctx, http.MethodGet, httpapi.JobPath(id), nil, nil, 0, try)
	done, gone = f.answered(ctx, a, err, rev)
	if !done && !gone {
		pause(ctx, f.random, 2*time.Second)
	}
	return done, gone
}

// events reads a stream of Server-Sent Events until it ends.
func (f *flow) events(ctx context.Context, id job.ID, rev *int64) (done, gone bool) {
	name, url, ok := f.load.config.Servers.Serving(f.random, "")
	if !ok {
		pause(ctx, f.random, 300*time.Millisecond)
		return false, false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	clock := time.AfterFunc(silence, cancel)
	defer clock.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+httpapi.EventsPath(id), nil)
	if err != nil {
		panic(err) // the address is a server's own
	}
	req.Header.Set("Authorization", "Bearer "+f.load.config.Token)
	req.Header.Set("Last-Event-ID", fmt.Sprint(*rev))
	from := f.load.log.Now()
	resp, err := f.load.http.Do(req)
	if err != nil {
		f.unknown(answer{from: from, server: name}, "sse", err)
		pause(ctx, f.random, 300*time.Millisecond)
		return false, false
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent { // all was told before
		return f.look(ctx, id, rev)
	}
	if resp.StatusCode != http.StatusOK {
		wait, again := f.refused(answer{status: resp.StatusCode, header: resp.Header, from: from,
			server: name}, "sse")
		pause(ctx, f.random, wait)
		return false, !again
	}
	f.parked(id)
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		clock.Reset(silence)
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		var s job.Snapshot
		if !ok || json.Unmarshal([]byte(text), &s) != nil || s.State == "" {
			continue
		}
		if f.seen(&s, 0, rev) {
			return true, false
		}
	}
	pause(ctx, f.random, 300*time.Millisecond)
	return false, false
}

// socket follows over a WebSocket until it ends.
func (f *flow) socket(ctx context.Context, id job.ID, rev *int64) (done, gone bool) {
	name, url, ok := f.load.config.Servers.Serving(f.random, "")
	if !ok {
		pause(ctx, f.random, 300*time.Millisecond)
		return false, false
	}
	from := f.load.log.Now()
	dial, cancel := context.WithTimeout(ctx, try)
	conn, _, err := websocket.Dial(dial, url+httpapi.PathSocket,
		&websocket.DialOptions{HTTPClient: f.load.http,
			HTTPHeader: http.Header{"Authorization": {"Bearer " + f.load.config.Token}}})
	cancel()
	if err != nil {
		f.unknown(answer{from: from, server: name}, "socket", err)
		pause(ctx, f.random, 300*time.Millisecond)
		return false, false
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	ask := fmt.Sprintf(`{"type":"subscribe","jobs":[{"id":%q,"after":%d}]}`, id, *rev)
	if err := conn.Write(ctx, websocket.MessageText, []byte(ask)); err != nil {
		return false, false
	}
	f.parked(id)
	for {
		read, cancel := context.WithTimeout(ctx, 2*silence) // pings of the server are answered while it reads
		_, text, err := conn.Read(read)
		cancel()
		if err != nil {
			pause(ctx, f.random, 300*time.Millisecond)
			return false, false
		}
		var m struct {
			Type string       `json:"type"`
			Code string       `json:"code"`
			Job  job.Snapshot `json:"job"`
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return false, false
		}
		switch m.Type {
		case "state":
			if f.seen(&m.Job, 0, rev) {
				return true, false
			}
		case "end":
			return f.look(ctx, id, rev)
		case "error":
			f.load.log.Add(history.Event{Kind: history.Refused, Key: f.key, Job: string(id), Way: "socket",
				Code: m.Code, From: from,
				Proc: name})
			pause(ctx, f.random, time.Second)
			return false, m.Code == "not_found"
		}
	}
}
