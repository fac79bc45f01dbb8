package web_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"longshore/internal/access"
	"longshore/internal/blob"
	"longshore/internal/claims"
	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/internal/refusal"
	"longshore/internal/submit"
	"longshore/internal/web"
	"longshore/job"
	"longshore/tasks"
)

func TestMain(m *testing.M) {
	redistest.Main(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

var errDown = errors.New("dial tcp 127.0.0.1:6379: connection refused")

// A store is records, submitter, and blobs in one: what stands behind the server.
type store struct {
	catalog *tasks.Catalog
	events  func(job.Rev)

	mu     sync.Mutex
	jobs   map[job.ID]job.Snapshot
	keys   map[string]job.ID
	files  map[string][]byte
	reqs   []submit.Request
	down   error
	crash  bool
	waited int  // jobs looked up for waiters
	reads  int  // of many at once
	stalls bool // reads are not answered
	onEnd  bool // a submitted job succeeds at once
	// holdLists, if it is there, takes a token of each list before it is answered.
	holdLists chan struct{}

	free, total int64 // space for blobs
}

func (s *store) Space(context.Context) (free, total int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free, s.total, nil
}

func (s *store) get(id job.ID) (job.Snapshot, error) {
	if s.crash {
		panic("secret inner text")
	}
	snap, ok := s.jobs[id]
	switch {
	case s.down != nil:
		return snap, s.down
	case !ok:
		return snap, fmt.Errorf("get %s: %w", id, job.ErrNotFound)
	}
	return snap, nil
}

func (s *store) Get(ctx context.Context, by access.View, id job.ID) (job.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stalls {
		<-ctx.Done()
		return job.Snapshot{}, ctx.Err()
	}
	return s.seen(by, id)
}

// seen is a job as it is for who asks.
func (s *store) seen(by access.View, id job.ID) (job.Snapshot, error) {
	snap, err := s.get(id)
	if err == nil && !by.Has(access.Owner{Tenant: snap.Tenant, Subject: snap.Subject}) {
		return job.Snapshot{}, fmt.Errorf("get %s: %w", id, job.ErrNotFound)
	}
	return snap, err
}

func (s *store) GetMany(ctx context.Context, by access.View, ids []job.ID) ([]job.Reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stalls {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.reads++
	var list []job.Reading
	for _, id := range ids {
		snap, err := s.seen(by, id)
		snap.ID = id
		list = append(list, job.Reading{Snapshot: snap, Err: err})
	}
	return list, s.down
}

func (s *store) List(ctx context.Context, by access.View, f job.Filter) (job.Page, error) {
	s.mu.Lock()
	hold := s.holdLists
	s.mu.Unlock()
	if hold != nil {
		select {
		case hold <- struct{}{}:
		case <-ctx.Done():
			return job.Page{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Cursor != "" {
		if _, err := job.ParseID(f.Cursor); err != nil {
			return job.Page{}, jobstore.ErrBadCursor
		}
	}
	page := job.Page{Scanned: len(s.jobs)}
	for _, snap := range s.jobs {
		if f.Lets(snap.State, snap.Type) &&
			by.Has(access.Owner{Tenant: snap.Tenant, Subject: snap.Subject}) &&
			(f.Cursor == "" || string(snap.ID) < f.Cursor) {
			page.Jobs = append(page.Jobs, snap)
		}
	}
	slices.SortFunc(page.Jobs, func(a, b job.Snapshot) int { return -cmp.Compare(a.ID, b.ID) })
	if page.Complete = len(page.Jobs) <= f.Limit; !page.Complete {
		page.Jobs = page.Jobs[:f.Limit]
		page.Next = string(page.Jobs[f.Limit-1].ID)
	}
	return page, s.down
}

func (s *store) CancelBy(_ context.Context, by access.View, id job.ID, _ string) (job.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap, err := s.seen(by, id)
	if err == nil && !snap.Done {
		snap.CancelRequested = true
		snap.Rev++
		s.jobs[id] = snap
	}
	return snap, err
}

func (s *store) Release(_ context.Context, by access.View, id job.ID, who string) (job.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap, err := s.seen(by, id)
	switch {
	case err != nil:
	case snap.Hold == nil:
		err = jobstore.ErrNotHeld
	case snap.Hold.ReleasedAt == nil:
		now := time.Now()
		snap.State, snap.Hold = job.Queued, &job.Hold{Why: snap.Hold.Why, ReleasedAt: &now, ReleasedBy: who}
		snap.Rev++
		s.jobs[id] = snap
	}
	return snap, err
}

func (s *store) Delete(_ context.Context, by access.View, id job.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap, err := s.seen(by, id)
	if err != nil {
		return err
	}
	if err == nil && !snap.Done {
		return job.ErrNotEnded
	}
	delete(s.jobs, id)
	return err
}

func (s *store) Revs(_ context.Context, ids []job.ID) ([]job.Rev, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waited += len(ids)
	revs := make([]job.Rev, len(ids))
	for i, id := range ids {
		snap, ok := s.jobs[id]
		revs[i] = job.Rev{ID: id, Rev: snap.Rev, Done: snap.Done, Missing: !ok}
		owner := access.Owner{Tenant: snap.Tenant, Subject: snap.Subject}
		revs[i].Tenant, revs[i].Owner = owner.Of(), owner.Code()
	}
	return revs, s.down
}

func (s *store) Listen(ctx context.Context, event func(job.Rev), reset func()) error {
	s.mu.Lock()
	s.events = event
	s.mu.Unlock()
	reset()
	<-ctx.Done()
	return nil
}

// put changes a job and publishes it.
func (s *store) put(snap job.Snapshot) {
	snap.Done = snap.State.Terminal()
	s.mu.Lock()
	s.jobs[snap.ID] = snap
	events := s.events
	s.mu.Unlock()
	if events != nil {
		events(job.Rev{ID: snap.ID, Rev: snap.Rev, Done: snap.Done})
	}
}

func (s *store) Submit(_ context.Context, r submit.Request) (job.Snapshot, bool, error) {
	if s.down != nil {
		e := httpapi.NewError(httpapi.Unavailable, "the job store can't be reached").Wrap(s.down)
		e.RetryAfter = 1500 * time.Millisecond
		return job.Snapshot{}, false, e
	}
	info, ok := s.catalog.Lookup(r.Type)
	if !ok {
		return job.Snapshot{}, false, refuse("/type", "unknown type")
	}
	payload, err := s.catalog.Check(r.Type, r.Payload)
	var problems tasks.Problems
	if errors.As(err, &problems) {
		return job.Snapshot{}, false, refuse("/payload"+problems[0].Pointer, problems[0].Detail)
	}
	if err != nil {
		return job.Snapshot{}, false, httpapi.NewError(httpapi.Invalid, err.Error()).WithStatus(400)
	}
	if info.Input == tasks.InputRequired && r.Input == nil && r.From == nil {
		return job.Snapshot{}, false, refuse("/input", "this type works on a file")
	}
	if r.Priority != "" && !slices.Contains(job.Priorities, r.Priority) {
		return job.Snapshot{}, false, refuse("/priority", "expected high, default or low")
	}
	r.Payload = payload
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.keys[r.IdempotencyKey]; ok && r.IdempotencyKey != "" {
		return s.jobs[id], false, nil
	}
	id := cmp.Or(r.ID, job.NewID(time.Now()))
	if snap, ok := s.jobs[id]; ok {
		return snap, false, nil
	}
	if r.Input != nil {
		s.mu.Unlock()
		data, err := io.ReadAll(r.Input)
		s.mu.Lock()
		if err != nil {
			return job.Snapshot{}, true, httpapi.NewError(httpapi.Invalid,
				"the body ended before its last byte").WithStatus(400)
		}
		s.files[string(id)+"/in"] = data
	}
	s.reqs = append(s.reqs, r)
	if r.IdempotencyKey != "" {
		s.keys[r.IdempotencyKey] = id
	}
	snap := job.Snapshot{ID: id, Type: r.Type, State: job.Queued, Rev: 1, Lane: info.Lane,
		Priority: cmp.Or(r.Priority, job.Default), CreatedAt: time.Now().UTC(), Subject: r.Owner.Subject}
	if r.Owner.Of() != access.DefaultTenant {
		snap.Tenant = r.Owner.Tenant
	}
	if s.onEnd {
		snap.State, snap.Done, snap.Rev, snap.Result = job.Succeeded, true, 3, json.RawMessage(`{"count":25}`)
	}
	s.jobs[id] = snap
	return snap, true, nil
}

func (s *store) Retry(ctx context.Context, by access.View, id job.ID, _ submit.Again) (job.Snapshot, error) {
	s.mu.Lock()
	old, err := s.seen(by, id)
	s.mu.Unlock()
	if err != nil {
		return old, httpapi.NoSuchJob().Wrap(err)
	}
	return job.Snapshot{ID: job.NewID(time.Now()), Type: old.Type, State: job.Queued, Rev: 1,
		RetryOf: id}, nil
}

func (s *store) Change(ctx context.Context, by access.View, id job.ID, c jobstore.Change, revs []int64,
	_ string) (job.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap, err := s.seen(by, id)
	switch {
	case err != nil:
		return snap, httpapi.NoSuchJob().Wrap(err)
	case len(revs) > 0 && !slices.Contains(revs, snap.Rev):
		return snap, refusal.Of(jobstore.ErrRev)
	}
	snap.Rev++
	snap.Priority = cmp.Or(c.Priority, snap.Priority)
	s.jobs[id] = snap
	return snap, nil
}

func refuse(pointer, detail string) error {
	e := httpapi.NewError(httpapi.Invalid, "the request is not valid")
	e.Errors = []httpapi.Pointer{{Pointer: pointer, Detail: detail}}
	return e
}

type file struct{ *bytes.Reader }

func (file) Close() error { return nil }

func (s *store) Open(_ context.Context, name string) (blob.Reader, error) {
	data, ok := s.files[name]
	if !ok {
		return nil, blob.ErrNotFound
	}
	return file{bytes.NewReader(data)}, nil
}

// output adds a file to a job.
func (s *store) output(snap *job.Snapshot, name, kind, data string) {
	sum := sha256.Sum256([]byte(data))
	o := job.Output{Name: name, Size: int64(len(data)), ContentType: kind, SHA256: hex.EncodeToString(sum[:]),
		Blob: string(snap.ID) + "/f/" + name}
	s.files[o.Blob] = []byte(data)
	snap.Outputs = append(snap.Outputs, o)
}

// A bench is a server over a store, and a client of it.
type bench struct {
	*store
	testing.TB
	url    string
	server *web.Server
	log    *syncBuffer
	client *http.Client
	token  string // sent with each request that has no Authorization of its own
}

// behindProxy is a server that believes this machine's proxies, which takes a token.
func behindProxy(c *web.Config) { c.TrustedProxies, c.Token = loopbackProxies, proxyToken }

const proxyToken = "of-who-comes-through-a-proxy"

// authorize adds what a request needs to be let in, unless it has something.
func (b *bench) authorize(h http.Header) {
	if _, ok := h["Authorization"]; !ok && b.token != "" {
		h.Set("Authorization", "Bearer "+b.token)
	}
}

// serve has the server listen at a port of its own until cancel; what Serve returns is in served.
func (b *bench) serve() (url string, served <-chan error, cancel context.CancelFunc) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.server.Serve(ctx, l) }()
	return "http://" + l.Addr().String(), ended, cancel
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func setup(t testing.TB, change ...func(*web.Config)) *bench {
	t.Helper()
	infos, err := tasks.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := tasks.NewCatalog(infos...)
	if err != nil {
		t.Fatal(err)
	}
	s := &store{catalog: catalog, jobs: map[job.ID]job.Snapshot{}, keys: map[string]job.ID{},
		files: map[string][]byte{}}
	log := &syncBuffer{}
	config := web.Config{Version: "test",
		Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, c := range change {
		c(&config)
	}
	h := hub.New(s, config.Log)
	keys, minter := keptIn(config.Gate)
	server, err := web.New(config, web.Deps{Functions: noFunctions{},
		Access: keys, Minter: minter, Submitter: s, Records: s, Hub: h, Blobs: s, Catalog: catalog,
		Uploads: s, Direct: s, Workers: func(context.Context) ([]httpapi.WorkerInfo, error) {
			return []httpapi.WorkerInfo{{Host: "h", PID: 7, Slots: map[job.Lane]int{job.LaneIO: 2}}}, nil
		},
		Queues: func(context.Context) ([]httpapi.QueueInfo, error) {
			return []httpapi.QueueInfo{{Queue: "io-high", Lane: job.LaneIO, Priority: job.High,
				Pending: 3}}, s.down
		},
		Ready:  func(context.Context) error { return s.down },
		Claims: claims.New(claims.Config{}), ClaimTypes: &claims.Types{},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.Run(ctx)
	}()
	ts := httptest.NewUnstartedServer(server)
	ts.Config = server.HTTPServer()
	ts.Start()
	t.Cleanup(func() {
		ts.Close()
		cancel()
		<-ended
	})
	b := &bench{store: s, TB: t, url: ts.URL, server: server, log: log, client: ts.Client()}
	if config.Token == proxyToken {
		b.token = proxyToken
	}
	return b
}

// do sends a request; headers come in pairs.
func (b *bench) do(method, path, body string, headers ...string) reply {
	b.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	return b.send(method, path, in, headers...)
}

func (b *bench) send(method, path string, body io.Reader, headers ...string) reply {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, b.url+path, body)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	b.authorize(req.Header)
	resp, err := b.client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(text), b.TB}
}

func newSnapshot(state job.State, rev int64) job.Snapshot {
	return job.Snapshot{ID: job.NewID(time.Now()), Type: "math.primes", State: state, Rev: rev,
		CreatedAt: time.Now().UTC()}
}
