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
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/localredis/redistest"
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
var pushClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}

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
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
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

// compare checks that all books end the same story of these jobs.
func compare(t *testing.T, url string, ids []job.ID, books map[string]*book) {
	t.Helper()
	truth := newBook(t, "a look")
	for _, id := range ids {
		truth.note(request(t, "GET", url+httpapi.JobPath(id), nil).snapshot(t))
	}
	states := map[job.State]int{}
	for _, end := range truth.ends {
		states[end.State]++
	}
	for name, b := range books {
		if diff := cmp.Diff(truth.ends, b.ends); diff != "" || len(b.ends) != len(ids) {
			t.Errorf("%s tells of %d ends (-look +%s):\n%.2000s", name, len(b.ends), name, diff)
		}
		t.Logf("%s: %d snapshots", name, b.told)
	}
	t.Logf("ends: %v", states)
}

// mixture submits n jobs of several kinds, some of which fail or are canceled.
// Each calls back, if there is an address.
func mixture(t *testing.T, c *client.Client, n int, callback string) (ids []job.ID) {
	t.Helper()
	for i := range n {
		s := client.Submission{CallbackURL: callback}
		var snap job.Snapshot
		var err error
		switch text := strings.NewReader(strings.Repeat("line "+strconv.Itoa(i)+"\n", 1000)); i % 5 {
		case 0, 1:
			s.Type = "file.compress"
			snap, err = c.SubmitFile(t.Context(), s, text, -1)
		case 2:
			s.Type, s.Payload = "math.primes", map[string]int{"n": 1_000_000 + i}
			snap, err = c.Submit(t.Context(), s)
		case 3:
			s.Type = "file.checksum"
			snap, err = c.SubmitFile(t.Context(), s, text, -1)
		case 4:
			s.Type = "file.decompress" // it is not packed
			snap, err = c.SubmitFile(t.Context(), s, text, -1)
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, snap.ID)
	}
	return ids
}

// TestFollowEverywhere follows the same jobs in all ways at once, and is called
// back, while the subscriptions that carry notifications are killed again and again.
func TestFollowEverywhere(t *testing.T) {
	t.Parallel()
	in := install(t, signing, allowing)
	web, url := in.web(t)
	c := clientOf(t, url)
	sink := newSink(t, taken)
	ids := mixture(t, c, 500, sink.URL)
	books, finish := follow(t, url, ids, slices.Collect(maps.Keys(followers))...)

	ctx, stop := context.WithCancel(t.Context())
	var killed atomic.Int64
	var nemesis sync.WaitGroup
	rdb := redistest.ClientOf(t, in.redis.URL())
	nemesis.Go(func() {
		tick := time.NewTicker(30 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			n, err := rdb.ClientKillByFilter(ctx, "TYPE", "pubsub").Result()
			if err != nil && ctx.Err() == nil {
				t.Errorf("kill subscriptions: %v", err)
			}
			killed.Add(n)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	for i := 10; i < len(ids); i += 50 {
		if _, err := c.Cancel(t.Context(), ids[i]); err != nil {
			t.Error(err)
		}
	}
	in.worker(t)
	finish()
	stop()
	nemesis.Wait()
	if killed.Load() < 20 {
		t.Errorf("invalid run: %d subscriptions killed", killed.Load())
	}
	books["webhook"] = newBook(t, "webhook")
	for len(books["webhook"].ends) < len(ids) { // a callback may come twice
		var snap job.Snapshot
		if err := json.Unmarshal(sink.next(t, 30*time.Second).body, &snap); err != nil {
			t.Fatal(err)
		}
		books["webhook"].note(snap)
	}
	compare(t, url, ids, books)
	if said := web.said(`"level":"ERROR"`); len(said) > 0 {
		t.Errorf("web logged errors: %v", said[0])
	}
	t.Logf("%d subscriptions killed", killed.Load())
}

// TestFollowThroughRestart stops the web server while everybody follows, and
// starts it again at the same port.
func TestFollowThroughRestart(t *testing.T) {
	t.Parallel()
	in := install(t)
	web, url := in.web(t)
	port := url[strings.LastIndex(url, ":")+1:]
	c := clientOf(t, url)
	ids := mixture(t, c, 50, "")
	// Plain long-polls, which know nothing of restarts, stay away.
	books, finish := follow(t, url, ids, "events", "events for many", "socket", "client")
	eventually(t, "all follow", func() bool {
		for _, b := range books {
			b.mu.Lock()
			n := len(b.revs)
			b.mu.Unlock()
			if n < len(ids) {
				return false
			}
		}
		return true
	})
	web.signal(syscall.SIGTERM)
	begun := time.Now()
	if code := web.end(t, 30*time.Second); code != 0 {
		t.Errorf("web exits with %d", code)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("web took %v to stop", took)
	}
	in.worker(t)
	_, again := in.web(t, "PORT="+port)
	finish()
	compare(t, again, ids, books)
}
