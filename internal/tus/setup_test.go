package tus_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"longshore/internal/access"
	"longshore/internal/blob"
	"longshore/internal/connect"
	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/internal/lock"
	"longshore/internal/submit"
	"longshore/internal/tus"
	"longshore/internal/web"
	"longshore/job"
	"longshore/tasks"
)

// tusd has a goroutine live on for some seconds after each request.
func TestMain(m *testing.M) {
	redistest.Main(m, goleak.IgnoreAnyFunction("github.com/tus/tusd/v2/pkg/handler.newDelayedContext.func1"))
}

// An installation is what several processes share.
type installation struct{ prefix, folder string }

func install(t *testing.T) installation {
	t.Helper()
	return installation{redistest.Prefix(t), t.TempDir()}
}

// A process is one web server with all that is behind it.
type process struct {
	*testing.T
	url       string
	sys       *connect.System
	submitter *submit.Submitter
	stop      context.CancelFunc // asks it to end
}

type records struct {
	jobstore.Views
	*connect.System
}

func (r records) CancelBy(ctx context.Context, by access.View, id job.ID, who string) (job.Snapshot, error) {
	return r.System.CancelBy(ctx, by, id, who)
}

func (r records) Release(ctx context.Context, by access.View, id job.ID, who string) (job.Snapshot, error) {
	return r.System.Release(ctx, by, id, who)
}

func (r records) CloseBatch(ctx context.Context, by access.View, id job.ID,
	who string) (job.Snapshot, error) {
	return r.System.CloseBatch(ctx, by, id, who)
}

func (r records) BatchJobs(ctx context.Context, by access.View, id job.ID, cursor string,
	most int) ([]job.Reading,
	string, error) {
	return r.System.BatchJobs(ctx, by, id, cursor, most)
}

type config struct {
	expiry, idle, lockWait time.Duration
	most, rate             int64
	redis                  string // "" = the tests' own
	open, openPerAddress   int
}

func (in installation) start(t *testing.T, c config) *process {
	t.Helper()
	sys, err := connect.Open(t.Context(), connect.Config{RedisURL: cmp.Or(c.redis, redistest.URL(t)),
		Prefix: in.prefix, BlobURL: "file://" + in.folder, MaxConnections: 8})
	if err != nil {
		t.Fatal(err)
	}
	infos, err := tasks.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := tasks.NewCatalog(infos...)
	if err != nil {
		t.Fatal(err)
	}
	keeper, locks := jobstore.NewKeeper(sys.Store, sys.Log), lock.New(sys.Redis, in.prefix)
	submitter := sys.Submitter(keeper, catalog, time.Hour, c.most)
	if c.expiry > 0 {
		submitter.UploadExpiry = c.expiry
	}
	submitter.MaxOpenUploads, submitter.MaxOpenUploadsPerAddress = c.open, c.openPerAddress
	uploads, err := tus.New(tus.Config{Uploads: submitter, MaxSize: c.most, Idle: c.idle,
		LockWait: c.lockWait,
		Lock: func(ctx context.Context, id job.ID, asked func()) (func() error, error) {
			held, err := locks.Lock(ctx, string(id), asked)
			if errors.Is(err, lock.ErrLocked) {
				return nil, tus.ErrLocked
			}
			if err != nil {
				return nil, err
			}
			return held.Unlock, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	waiters := hub.New(sys.Store, sys.Log)
	server, err := web.New(web.Config{Idle: c.idle, MinUploadRate: c.rate, Log: slog.New(slog.DiscardHandler),
		Grace: 5 * time.Second},
		web.Deps{Submitter: submitter, Records: records{sys.Store.Views(), sys}, Hub: waiters,
			Blobs: sys.Blobs, Catalog: catalog, Uploads: uploads, Direct: submitter})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	background, end := context.WithCancel(context.Background())
	serving, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { sys.Background(background, keeper.Run, waiters.Run) })
	wg.Go(func() {
		jobstore.Subscribe(background, sys.Redis, []string{locks.Channel()},
			func(_, name string) { locks.Asked(name) }, func() {})
	})
	wg.Go(func() { server.Serve(serving, l) })
	t.Cleanup(func() {
		stop()
		end()
		wg.Wait()
		sys.Close()
	})
	return &process{t, "http://" + l.Addr().String(), sys, submitter, stop}
}

type answer struct {
	status int
	http.Header
	body string
}

// do sends a request; headers come in pairs.
func (p *process) do(method, path string, body io.Reader, headers ...string) answer {
	p.Helper()
	a, err := p.try(method, path, body, headers...)
	if err != nil {
		p.Fatal(err)
	}
	return a
}

func (p *process) try(method, path string, body io.Reader, headers ...string) (answer, error) {
	r, err := http.NewRequestWithContext(p.Context(), method, p.url+path, body)
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	if body != nil {
		r.Header.Set("Content-Type", "application/offset+octet-stream")
	}
	for i := 0; i < len(headers); i += 2 {
		if r.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	r.Close = true
	got, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	return answer{got.StatusCode, got.Header, string(text)}, err
}

func metadata(pairs ...string) string {
	var all []string
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(all, ",")
}

// create begins an upload of a file.checksum job.
func (p *process) create(size int, headers ...string) (id job.ID, path string) {
	p.Helper()
	a := p.do("POST", httpapi.PathUploads, nil, append([]string{"Upload-Length", strconv.Itoa(size),
		"Upload-Metadata", metadata("type", "file.checksum")}, headers...)...)
	if a.status != 201 || a.Get("Location") != httpapi.UploadPath(job.ID(a.Get("Longshore-Job"))) {
		p.Fatalf("create: %d %v %s", a.status, a.Header, a.body)
	}
	return job.ID(a.Get("Longshore-Job")), a.Get("Location")
}

func (p *process) patch(path string, offset int, data string) answer {
	p.Helper()
	return p.do("PATCH", path, strings.NewReader(data), "Upload-Offset", strconv.Itoa(offset))
}

// offset asks how far an upload is.
func (p *process) offset(path string) int {
	p.Helper()
	a := p.do("HEAD", path, nil)
	n, err := strconv.Atoi(a.Get("Upload-Offset"))
	if err != nil {
		p.Fatalf("HEAD: %d %v", a.status, a.Header)
	}
	return n
}

func (p *process) record(id job.ID) jobstore.Record {
	p.Helper()
	r, err := p.sys.Store.Read(p.Context(), id)
	if err != nil {
		p.Fatal(err)
	}
	return r
}

// eventually asks again and again.
func (p *process) eventually(what string, ok func() bool) {
	p.Helper()
	for until := time.Now().Add(90 * time.Second); !ok(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(until) {
			p.Fatal("not within 20 s: ", what)
		}
	}
}

// wantInput checks that a job was queued, once, and what its input is.
func (p *process) wantInput(id job.ID, want string) {
	p.Helper()
	r := p.record(id)
	if r.Snapshot.State != job.Queued || r.Delivery != 1 || r.Spec.Input == nil ||
		r.Spec.Input.Size != int64(len(want)) {
		p.Fatalf("record %+v of %+v", r, r.Spec.Input)
	}
	f, err := p.sys.Blobs.Open(p.Context(), r.Spec.Input.Blob)
	if err != nil {
		p.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, []byte(want)) {
		p.Errorf("input of %d bytes (%v), want %d", len(got), err, len(want))
	}
}

// partials counts the partial blobs.
func (p *process) partials() (n int) {
	p.Helper()
	for _, err := range p.sys.Blobs.(blob.Pieces).Partials(p.Context(), time.Now().Add(time.Hour)) {
		if err != nil {
			p.Fatal(err)
		}
		n++
	}
	return n
}
