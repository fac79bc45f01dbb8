package web_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"longshore/internal/httpapi"
	"longshore/internal/web"
	"longshore/job"
)

var loopbackProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// A wsClient is a client's end of a WebSocket.
type wsClient struct {
	b    *bench
	conn *websocket.Conn
	ctx  context.Context
}

// An incoming is any message of the server.
type incoming struct {
	Type   string            `json:"type"`
	Job    job.Snapshot      `json:"job"`
	ID     job.ID            `json:"id"`
	Rev    int64             `json:"rev"`
	Code   httpapi.Code      `json:"code"`
	Detail string            `json:"detail"`
	Errors []httpapi.Pointer `json:"errors"`
}

func (b *bench) dialSocket(options *websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(b.Context(), 90*time.Second)
	defer cancel()
	return websocket.Dial(ctx, b.url+httpapi.PathSocket, options)
}

func (b *bench) socket(options *websocket.DialOptions) *wsClient {
	b.Helper()
	conn, _, err := b.dialSocket(options)
	if err != nil {
		b.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	b.Cleanup(func() { conn.CloseNow() })
	ctx, cancel := context.WithTimeout(b.Context(), 90*time.Second)
	b.Cleanup(cancel)
	return &wsClient{b, conn, ctx}
}

func (c *wsClient) send(text string) {
	c.b.Helper()
	if err := c.conn.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
		c.b.Fatal(err)
	}
}

func (c *wsClient) ask(verb string, revs ...job.Rev) {
	c.b.Helper()
	var jobs []string
	for _, r := range revs {
		jobs = append(jobs, fmt.Sprintf(`{"id":%q,"after":%d}`, r.ID, r.Rev))
	}
	c.send(`{"type":"` + verb + `","jobs":[` + strings.Join(jobs, ",") + `]}`)
}

func (c *wsClient) subscribe(revs ...job.Rev) { c.b.Helper(); c.ask("subscribe", revs...) }

func (c *wsClient) next() (m incoming) {
	c.b.Helper()
	_, text, err := c.conn.Read(c.ctx)
	if err != nil {
		c.b.Fatal(err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		c.b.Fatalf("%s: %v", text, err)
	}
	return m
}

func (c *wsClient) state(rev int64) job.Snapshot {
	c.b.Helper()
	m := c.next()
	if m.Type != "state" || m.Job.Rev != rev || m.Job.Links == nil {
		c.b.Errorf("got %+v, want state with rev %d", m, rev)
	}
	return m.Job
}

func (c *wsClient) end(id job.ID, rev int64) {
	c.b.Helper()
	if m := c.next(); m.Type != "end" || m.ID != id || m.Rev != rev {
		c.b.Errorf("got %+v, want the end of %s", m, id)
	}
}

func (c *wsClient) fails(id job.ID, code httpapi.Code, pointers ...string) {
	c.b.Helper()
	m := c.next()
	var got []string
	for _, p := range m.Errors {
		got = append(got, p.Pointer)
	}
	if m.Type != "error" || m.ID != id || m.Code != code || m.Detail == "" || !cmp.Equal(got, pointers) {
		c.b.Errorf("got %+v, want error %s %q", m, code, pointers)
	}
}

// closes checks that the server ends the socket with a code, and nothing comes before.
func (c *wsClient) closes(code websocket.StatusCode) {
	c.b.Helper()
	_, text, err := c.conn.Read(c.ctx)
	if websocket.CloseStatus(err) != code {
		c.b.Errorf("got %s, %v; want close code %d", text, err, code)
	}
}

func TestSocket(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two, gone := newSnapshot(job.Running, 5), newSnapshot(job.Succeeded, 3), job.NewID(time.Now())
	b.put(one)
	b.put(two)
	c := b.socket(&websocket.DialOptions{Subprotocols: []string{"longshore.v1"}})
	if got := c.conn.Subprotocol(); got != "longshore.v1" {
		t.Errorf("subprotocol %q", got)
	}
	c.subscribe(job.Rev{ID: one.ID, Rev: 4}, job.Rev{ID: two.ID}, job.Rev{ID: gone})
	c.state(5)
	c.state(3)
	c.end(two.ID, 3)
	c.fails(gone, httpapi.NotFound)
	// The end that the client knows is told without a state.
	c.subscribe(job.Rev{ID: two.ID, Rev: 3})
	c.end(two.ID, 3)
	one.Rev = 6
	b.put(one)
	c.state(6)
	// Nothing comes after unsubscribe; a new subscription goes on from its cursor.
	c.ask("unsubscribe", job.Rev{ID: one.ID}, job.Rev{ID: gone})
	c.subscribe(job.Rev{ID: two.ID, Rev: 3})
	c.end(two.ID, 3)
	one.Rev = 7
	b.put(one)
	c.subscribe(job.Rev{ID: one.ID, Rev: 7}, job.Rev{ID: two.ID, Rev: 2})
	c.state(3)
	c.end(two.ID, 3)
	one.Rev, one.State = 8, job.Canceled
	b.put(one)
	c.state(8)
	c.end(one.ID, 8)
	if err := c.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

func TestSocketMessagesRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := newSnapshot(job.Running, 5)
	b.put(snap)
	c := b.socket(nil)
	for text, pointers := range map[string][]string{
		``:                                  nil,
		`x`:                                 nil,
		`[]`:                                nil,
		`{"type":"subscribe","jobs":[]} {}`: nil,
		`{"type":"subscribe","type":"x"}`:   nil,
		`{"type":"subscribe","ids":[]}`:     nil,
		"{\"type\":\"\xff\"}":               nil,
		`{}`:                                {"/type", "/jobs"},
		`{"type":"hello","jobs":[{"id":"` + string(snap.ID) + `"}]}`: {
			"/type"},
		`{"type":"subscribe","jobs":[{"id":"` + string(snap.ID) + `"},{"id":"hunter2"}]}`: {
			"/jobs/1/id"},
		`{"type":"subscribe","jobs":[{"id":"` + string(snap.ID) + `","after":-1}]}`: {
			"/jobs/0/after"},
		`{"type":"subscribe","jobs":[` + strings.TrimSuffix(strings.Repeat(`{"id":""},`, 1001), ",") +
			`]}`: {"/jobs"},
	} {
		c.send(text)
		c.fails("", httpapi.Invalid, pointers...)
	}
	c.subscribe(job.Rev{ID: snap.ID}) // nothing of the above was done, and the socket lives
	c.state(5)

	c.send(`{"type":"` + strings.Repeat("x", 65<<10) + `"}`)
	c.closes(websocket.StatusMessageTooBig)
	c = b.socket(nil)
	if err := c.conn.Write(c.ctx, websocket.MessageBinary, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	c.closes(websocket.StatusUnsupportedData)
}

func TestSocketAtMost1000(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var revs []job.Rev
	snaps := map[job.ID]job.Snapshot{}
	for range 1001 {
		snap := newSnapshot(job.Running, 1)
		b.put(snap)
		snaps[snap.ID] = snap
		revs = append(revs, job.Rev{ID: snap.ID, Rev: 1})
	}
	c := b.socket(nil)
	c.subscribe(revs[:600]...)
	c.subscribe(revs[600:]...)
	c.fails(revs[1000].ID, httpapi.TooLarge)
	c.subscribe(job.Rev{ID: revs[0].ID}) // again is not more
	c.state(1)
	b.mu.Lock()
	before := b.reads
	b.mu.Unlock()
	for _, r := range revs[1:1000] {
		snap := snaps[r.ID]
		snap.Rev, snap.State = 2, job.Succeeded
		b.put(snap)
	}
	for range 999 {
		got := c.state(2)
		c.end(got.ID, 2)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reads-before > 500 {
		t.Errorf("%d reads for 999 changes at once", b.reads-before)
	}
}

func TestSocketAccess(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) {
		c.Token, c.Origins = "sec/ret+==", []string{"https://app.example"}
	})
	coded := "longshore.bearer." + base64.RawURLEncoding.EncodeToString([]byte("sec/ret+=="))
	bearer := func(headers ...string) http.Header {
		h := http.Header{"Authorization": {"Bearer sec/ret+=="}}
		for i := 0; i < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		return h
	}
	for name, c := range map[string]struct {
		header   http.Header
		protocol []string
		status   int
	}{
		"token":                     {bearer(), nil, 101},
		"token as subprotocol":      {nil, []string{"longshore.v1", coded}, 101},
		"no token":                  {nil, []string{"longshore.v1"}, 401},
		"wrong token":               {nil, []string{"longshore.v1", "longshore.bearer.eA"}, 401},
		"token in plain":            {nil, []string{"longshore.v1", "longshore.bearer.secret"}, 401},
		"page of an allowed origin": {bearer("Origin", "https://app.example"), nil, 101},
		"page of the server's own":  {bearer("Origin", b.url), nil, 101},
		"page of a foreign origin":  {bearer("Origin", "https://evil.example"), nil, 403},
		"sandboxed page":            {bearer("Origin", "null"), nil, 403},
	} {
		conn, resp, err := b.dialSocket(&websocket.DialOptions{HTTPHeader: c.header,
			Subprotocols: c.protocol})
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d, %v", name, resp.StatusCode, err)
		}
		if err == nil {
			if len(c.protocol) > 0 && conn.Subprotocol() != "longshore.v1" {
				t.Errorf("%s: subprotocol %q", name, conn.Subprotocol())
			}
			conn.CloseNow()
		}
	}
	if log := b.log.String(); strings.Contains(log, "sec/ret") || strings.Contains(log, coded) {
		t.Error("the log shows the token")
	}
	// The token of a subprotocol opens nothing else.
	b.do("GET", "/v1/jobs", "", "Sec-WebSocket-Protocol", coded).problem(401, httpapi.Unauthorized)
	b.do("GET", httpapi.PathSocket, "", "Authorization", "Bearer sec/ret+==").problem(426, httpapi.Invalid)
}

func TestSocketCap(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MaxWaiters = 1 })
	snap := newSnapshot(job.Running, 5)
	b.put(snap)
	first := b.socket(nil)
	first.subscribe(job.Rev{ID: snap.ID})
	first.state(5)
	b.socket(nil).closes(websocket.StatusTryAgainLater)
	// A client that leaves is noticed at once, even without a farewell.
	begun := time.Now()
	first.conn.CloseNow()
	b.eventually("the first one is gone", func() bool {
		return strings.Count(b.log.String(), `"status":101`) == 2
	})
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("noticed after %v", took)
	}
	again := b.socket(nil)
	again.subscribe(job.Rev{ID: snap.ID})
	again.state(5)
}

// A client that answers no ping is gone.
func TestSocketPing(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Heartbeat, c.Idle = 20*time.Millisecond, 200*time.Millisecond })
	deaf := b.dial(
		"GET /v1/socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
	defer deaf.Close()
	alive := b.socket(nil)
	go alive.conn.Read(alive.ctx) // answers pings
	b.eventually("the deaf client is dropped", func() bool {
		return strings.Contains(b.log.String(), `"status":101`)
	})
	if n := strings.Count(b.log.String(), `"status":101`); n != 1 {
		t.Errorf("%d sockets have ended", n)
	}
	if err := alive.conn.Ping(alive.ctx); err != nil {
		t.Errorf("the other one: %v", err)
	}
}

// A client that never reads is dropped; it resumes by its cursor.
func TestSocketNeverRead(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Idle = 300 * time.Millisecond })
	snap := big(1)
	b.put(snap)
	c := b.socket(nil)
	c.subscribe(job.Rev{ID: snap.ID})
	sent := 0
	b.eventually("the client is dropped", func() bool {
		snap.Rev++
		b.put(snap)
		sent++
		return strings.Contains(b.log.String(), `"status":101`)
	})
	var cursor int64
	for {
		_, text, err := c.conn.Read(c.ctx)
		if err != nil {
			break
		}
		var m incoming
		if err := json.Unmarshal(text, &m); err != nil || m.Job.Rev <= cursor {
			t.Fatalf("rev %d after %d, %v", m.Job.Rev, cursor, err)
		}
		cursor = m.Job.Rev
	}
	if cursor == snap.Rev {
		t.Error("invalid run: the client got everything")
	}
	c = b.socket(nil)
	c.subscribe(job.Rev{ID: snap.ID, Rev: cursor})
	c.state(snap.Rev)
}
