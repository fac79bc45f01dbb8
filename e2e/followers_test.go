//go:build linux

package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// A tuple is how a job has ended: the same for everybody, for ever.
type tuple struct {
	State  job.State
	Rev    int64
	Digest string // of the output, or else of the result
}

func tupleOf(snap job.Snapshot) tuple {
	sum := sha256.Sum256(snap.Result)
	digest := hex.EncodeToString(sum[:])
	if len(snap.Outputs) > 0 {
		digest = snap.Outputs[0].SHA256
	}
	return tuple{snap.State, snap.Rev, digest}
}

// A book is what one way of push has told.
type book struct {
	t    *testing.T
	name string
	mu   sync.Mutex
	revs map[job.ID]int64
	ends map[job.ID]tuple
	told int
}

func newBook(t *testing.T, name string) *book {
	return &book{t: t, name: name, revs: map[job.ID]int64{}, ends: map[job.ID]tuple{}}
}

// note writes down what was told, and checks it against what was before. It
// returns the revision.
func (b *book) note(snap job.Snapshot) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told++
	if snap.Rev < b.revs[snap.ID] {
		b.t.Errorf("%s: %s went back from rev %d to %d", b.name, snap.ID, b.revs[snap.ID], snap.Rev)
	}
	b.revs[snap.ID] = snap.Rev
	if end, ended := b.ends[snap.ID]; ended && end != tupleOf(snap) {
		b.t.Errorf("%s: the end of %s changed from %+v to %+v", b.name, snap.ID, end, tupleOf(snap))
	}
	if snap.Done {
		b.ends[snap.ID] = tupleOf(snap)
	}
	return snap.Rev
}

func (b *book) ended(id job.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ended := b.ends[id]
	return ended
}

// A follower tells a book of some jobs until all have ended.
type follower func(ctx context.Context, url string, ids []job.ID, b *book) error

// each runs a follower of one job for many.
func each(one func(ctx context.Context, url string, id job.ID, b *book) error) follower {
	return func(ctx context.Context, url string, ids []job.ID, b *book) error {
		errs := make(chan error)
		for _, id := range ids {
			go func() { errs <- one(ctx, url, id, b) }()
		}
		var all error
		for range ids {
			all = errors.Join(all, <-errs)
		}
		return all
	}
}

// inParts runs a follower of up to 100 jobs for more.
func inParts(part follower) follower {
	return func(ctx context.Context, url string, ids []job.ID, b *book) error {
		errs, parts := make(chan error), 0
		for ; len(ids) > 0; parts++ {
			some := ids[:min(100, len(ids))]
			ids = ids[len(some):]
			go func() { errs <- part(ctx, url, some, b) }()
		}
		var all error
		for range parts {
			all = errors.Join(all, <-errs)
		}
		return all
	}
}

func getWith(ctx context.Context, url string, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := pushClient.Do(req)
	if err == nil && resp.StatusCode != 200 && resp.StatusCode != 204 {
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		return nil, fmt.Errorf("GET %s: %s: %s", url, resp.Status, text)
	}
	return resp, err
}

// pushClient holds a connection a follower.
var pushClient = &http.Client{Transport: withToken{&http.Transport{MaxIdleConnsPerHost: 100}}}

func followByLongPoll(ctx context.Context, url string, id job.ID, b *book) error {
	var rev int64
	for !b.ended(id) {
		resp, err := getWith(ctx, fmt.Sprintf("%s%s?wait=20s&after=%d", url, httpapi.JobPath(id), rev))
		if err != nil {
			return err
		}
		var snap job.Snapshot
		err = json.NewDecoder(resp.Body).Decode(&snap)
		resp.Body.Close()
		if err != nil {
			return err
		}
		rev = b.note(snap)
	}
	return nil
}

func followManyByLongPoll(ctx context.Context, url string, ids []job.ID, b *book) error {
	revs := map[job.ID]int64{}
	for {
		var open []job.Rev
		for _, id := range ids {
			if !b.ended(id) {
				open = append(open, job.Rev{ID: id, Rev: revs[id]})
			}
		}
		if len(open) == 0 {
			return nil
		}
		resp, err := getWith(ctx, url+httpapi.PathJobs+"?wait=20s&id="+httpapi.FormatRevs(open))
		if err != nil {
			return err
		}
		var list httpapi.JobList
		err = json.NewDecoder(resp.Body).Decode(&list)
		resp.Body.Close()
		if err != nil || len(list.Missing) > 0 {
			return fmt.Errorf("%d missing, %w", len(list.Missing), err)
		}
		for _, snap := range list.Jobs {
			revs[snap.ID] = b.note(snap)
		}
	}
}

func followByEvents(ctx context.Context, url string, id job.ID, b *book) error {
	return eventSource(ctx, url+httpapi.EventsPath(id), b)
}

func followManyByEvents(ctx context.Context, url string, ids []job.ID, b *book) error {
	var revs []job.Rev
	for _, id := range ids {
		revs = append(revs, job.Rev{ID: id})
	}
	return eventSource(ctx, url+httpapi.PathEvents+"?id="+httpapi.FormatRevs(revs), b)
}

// eventSource does what a browser's EventSource does: it comes back after each
// end of the stream, with the cursor, until it is answered 204. A server that
// is away is tried again.
func eventSource(ctx context.Context, url string, b *book) error {
	cursor, retry := "", 3*time.Second
	for ctx.Err() == nil {
		var headers []string
		if cursor != "" {
			headers = []string{httpapi.HeaderLastEventID, cursor}
		}
		resp, err := getWith(ctx, url, headers...)
		if err != nil && strings.Contains(err.Error(), "connection refused") {
			<-time.After(50 * time.Millisecond)
			continue
		}
		if err != nil || resp.StatusCode == 204 {
			return err
		}
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		name, data, id := "", "", cursor
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "":
				if name != "" {
					var snap job.Snapshot
					if err := json.Unmarshal([]byte(data), &snap); err != nil || name != "state" {
						return fmt.Errorf("event %s %s: %w", name, data, err)
					}
					b.note(snap)
					cursor, name = id, ""
				}
			case "event":
				name = value
			case "data":
				data = value
			case "id":
				id = value
			case "retry":
				ms, err := strconv.Atoi(value)
				if err != nil {
					return err
				}
				retry = time.Duration(ms) * time.Millisecond
			}
		}
		resp.Body.Close()
		<-time.After(min(retry, 2*time.Second))
	}
	return ctx.Err()
}

// followBySocket comes back with its cursors when the socket breaks.
func followBySocket(ctx context.Context, url string, ids []job.ID, b *book) error {
	type wanted struct {
		ID    job.ID `json:"id"`
		After int64  `json:"after"`
	}
	revs := map[job.ID]int64{}
	for open := ids; len(open) > 0; {
		conn, _, err := websocket.Dial(ctx, url+httpapi.PathSocket, nil)
		if err != nil && strings.Contains(err.Error(), "connection refused") {
			<-time.After(50 * time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		conn.SetReadLimit(1 << 20)
		var jobs []wanted
		for _, id := range open {
			jobs = append(jobs, wanted{id, revs[id]})
		}
		text, err := json.Marshal(map[string]any{"type": "subscribe", "jobs": jobs})
		if err != nil {
			return err
		}
		if err := conn.Write(ctx, websocket.MessageText, text); err != nil {
			return err
		}
		ends := map[job.ID]bool{}
		for len(ends) < len(open) {
			var m struct {
				Type string
				ID   job.ID
				Job  job.Snapshot
			}
			_, text, err := conn.Read(ctx)
			if code := websocket.CloseStatus(err); code == websocket.StatusGoingAway {
				break
			}
			if err != nil {
				return err
			}
			if err := json.Unmarshal(text, &m); err != nil {
				return err
			}
			switch m.Type {
			case "state":
				revs[m.Job.ID] = b.note(m.Job)
			case "end":
				ends[m.ID] = true
			default:
				return fmt.Errorf("got %s", text)
			}
		}
		conn.Close(websocket.StatusNormalClosure, "")
		var rest []job.ID
		for _, id := range open {
			if !ends[id] {
				rest = append(rest, id)
			}
		}
		open = rest
	}
	return nil
}

func followByClient(ctx context.Context, url string, ids []job.ID, b *book) error {
	c, err := client.New(client.Config{URL: url, HTTP: pushClient})
	if err != nil {
		return err
	}
	return each(func(ctx context.Context, _ string, id job.ID, b *book) error {
		for snap, err := range c.Follow(ctx, id) {
			if err != nil {
				return err
			}
			b.note(snap)
		}
		return nil
	})(ctx, url, ids, b)
}

// followers are all ways of push. Each tells its own book.
var followers = map[string]follower{
	"long-poll":          each(followByLongPoll),
	"long-poll for many": inParts(followManyByLongPoll),
	"events":             each(followByEvents),
	"events for many":    inParts(followManyByEvents),
	"socket":             followBySocket,
	"client":             followByClient,
}

// follow starts the followers of these names. finish waits for their ends.
func follow(t *testing.T, url string, ids []job.ID, names ...string) (books map[string]*book, finish func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	books = map[string]*book{}
	var wg sync.WaitGroup
	for _, name := range names {
		b := newBook(t, name)
		books[name] = b
		wg.Go(func() {
			if err := followers[name](ctx, url, ids, b); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	return books, func() {
		wg.Wait()
		cancel()
		pushClient.CloseIdleConnections()
	}
}
