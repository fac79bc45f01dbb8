package tus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"
	"golang.org/x/exp/slog" // tusd's

	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/job"
)

// Uploads begins and finds uploads. submit.Submitter implements it; its errors are
// *httpapi.Error.
type Uploads interface {
	Begin(ctx context.Context, r submit.Request, metadata string) (u *submit.Resumable, created bool,
		err error)
	Resume(ctx context.Context, by submit.Uploader, id job.ID) (*submit.Resumable, error)
	// Sees is whether Resume would find a job, at less cost.
	Sees(ctx context.Context, by submit.Uploader, id job.ID) error
}

// Config of a Handler.
type Config struct {
	Uploads Uploads
	// Lock takes an upload for one request. It waits until ctx ends, asks the
	// holder to let go meanwhile, and calls asked when the caller is asked. The
	// error wraps ErrLocked if the holder didn't, else it says what is wrong.
	Lock    func(ctx context.Context, id job.ID, asked func()) (unlock func() error, err error)
	MaxSize int64         // bytes; 0 = no limit
	Idle    time.Duration // how long a client may send no byte; 0 = 30 s
	// LockWait is how long a request waits for the one before it; 0 = 10 s. It
	// must be longer than a lock outlives its process.
	LockWait time.Duration
}

// ErrLocked says that another request holds the upload and did not let go.
var ErrLocked = errors.New("upload is locked")

// A Handler serves the protocol below httpapi.PathUploads.
type Handler struct {
	protocol http.Handler
}

// New returns a handler.
func New(c Config) (*Handler, error) {
	composer := handler.NewStoreComposer()
	s := store{c.Uploads}
	composer.UseCore(s)
	composer.UseTerminater(s)
	composer.UseLocker(locker{c.Uploads, c.Lock})
	tusd, err := handler.NewUnroutedHandler(handler.Config{
		StoreComposer: composer, MaxSize: c.MaxSize, BasePath: httpapi.PathUploads + "/",
		DisableDownload: true, Cors: &handler.CorsConfig{Disable: true}, // the edge speaks for all routes
		NetworkTimeout: cmp.Or(c.Idle, 30*time.Second), AcquireLockTimeout: cmp.Or(c.LockWait,
			10*time.Second),
		// How long what is left to do may take after a client has gone.
		GracefulRequestCompletionTimeout: 5 * time.Second,
		// The edge logs each request and, through call, why it failed.
		Logger: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})),
	})
	if err != nil {
		return nil, fmt.Errorf("set up tus: %w", err)
	}
	// Middleware comes first: it turns X-HTTP-Method-Override into the method.
	return &Handler{tusd.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one := strings.Trim(r.URL.Path, "/") != ""
		switch {
		case r.Method == http.MethodPost && !one:
			tusd.PostFile(w, r)
		case r.Method == http.MethodHead && one:
			tusd.HeadFile(w, r)
		case r.Method == http.MethodPatch && one:
			tusd.PatchFile(w, r)
		case r.Method == http.MethodDelete && one:
			tusd.DelFile(w, r)
		default:
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	}))}, nil
}

// Serve answers one request. Path value "id" names the upload; create is what a
// POST without one wants, and by is whose uploads there are. When stopping ends, a request that is receiving
// bytes is answered 503 with how far it got, for the client to go on elsewhere. The
// error of a request that is to be refused is nil, or what the edge shall say.
func (h *Handler) Serve(stopping context.Context, w http.ResponseWriter, r *http.Request,
	by submit.Uploader, create *submit.Request) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	c := &call{ResponseWriter: w, head: r.Method == http.MethodHead, by: by, create: create,
		metadata: r.Header.Get("Upload-Metadata"), carries: r.Header.Get("Content-Type") == typeChunk,
		interrupt: func() { cancel(handler.ErrUploadInterrupted) }}
	defer context.AfterFunc(stopping, func() {
		c.whenReceiving(func() { cancel(handler.ErrServerShutdown) })
	})()
	path := *r.URL
	path.Path = "/" + r.PathValue("id")
	r = r.WithContext(context.WithValue(ctx, callKey{}, c))
	r.URL = &path
	h.protocol.ServeHTTP(c, r)
	return c.refusal()
}

// typeChunk is the type of a body that holds bytes of an upload.
const typeChunk = "application/offset+octet-stream"

// A call is one request: the ResponseWriter that tusd gets, and what its parts
// tell each other past tusd. It holds refusals back, so that the edge can word
// them.
type call struct {
	http.ResponseWriter
	head      bool // the method is HEAD
	by        submit.Uploader
	create    *submit.Request
	metadata  string
	carries   bool   // the body holds bytes
	interrupt func() // ends reading the body

	upload *submit.Resumable // once found
	failed error             // ours, that tusd only knows the status of
	status int
	text   []byte // of a refusal by tusd

	mu        sync.Mutex
	receiving bool   // the body is being read
	pending   func() // waits for that
}

// whenReceiving calls what ends the reading of the body once that has begun. tusd
// forgets an end that comes before; and what never reads needs none.
func (c *call) whenReceiving(end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.receiving {
		end()
	} else if c.pending == nil {
		c.pending = end
	}
}

func (c *call) receive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.receiving = true
	if c.pending != nil {
		c.pending()
	}
}

type callKey struct{}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// fail notes an error of ours and returns it.
func (c *call) fail(err error) error {
	if err != nil && c.failed == nil {
		c.failed = err
	}
	return err
}

// Unwrap is for http.ResponseController.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *call) WriteHeader(status int) {
	if c.status != 0 {
		return
	}
	if status >= 200 {
		c.status = status
	}
	h := c.Header()
	if u := c.upload; u != nil {
		h.Set(httpapi.HeaderJob, string(u.ID))
		if !u.Expires.IsZero() {
			h.Set("Upload-Expires", u.Expires.UTC().Format(http.TimeFormat))
		}
		if h.Get("Location") != "" { // a path, like all our links; tusd has guessed a host
			h.Set("Location", httpapi.UploadPath(u.ID))
		}
		if c.head && u.Metadata != "" {
			h.Set("Upload-Metadata", u.Metadata)
		}
	}
	if c.head {
		h.Del("Content-Length") // tusd's is that of a download, which there is none of
	}
	if extensions := h.Get("Tus-Extension"); extensions != "" {
		h.Set("Tus-Extension", extensions+",expiration")
	}
	if status < 400 {
		c.ResponseWriter.WriteHeader(status)
	}
}

func (c *call) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.WriteHeader(http.StatusOK)
	}
	if c.status < 400 {
		return c.ResponseWriter.Write(p)
	}
	c.text = append(c.text, p[:min(len(p), 1024-len(c.text))]...)
	return len(p), nil
}

// refusal returns what is to be said instead of tusd's answer; nil if that was
// no refusal.
func (c *call) refusal() error {
	if c.status < 400 {
		return nil
	}
	h := c.Header()
	code, detail, _ := strings.Cut(strings.TrimSpace(string(c.text)), ": ")
	if c.failed == nil && (code == "ERR_READ_TIMEOUT" || code == "ERR_CONNECTION_RESET") {
		// Clients give up for good at 408, and go on after a cut.
		panic(http.ErrAbortHandler)
	}
	if u := c.upload; u != nil && c.carries {
		h.Set("Upload-Offset", fmt.Sprint(u.Offset)) // what is there is there
	}
	if c.failed != nil {
		return c.failed
	}
	e, known := refusals[code]
	if !known {
		e = httpapi.Error{Code: cmp.Or(codes[c.status], httpapi.Invalid), Status: c.status, Detail: detail}
	}
	if e.Status == http.StatusInternalServerError {
		e.Detail = "" // not for clients
	}
	if e.Status == http.StatusPreconditionFailed {
		h.Set("Tus-Version", "1.0.0")
	}
	answer := httpapi.NewError(e.Code, e.Detail).WithStatus(e.Status)
	answer.RetryAfter = e.RetryAfter
	return answer
}

// refusals words those of tusd's that need it. Clients of tus try again after
// 409, 423 and 5xx, and give up after any other 4xx.
var refusals = map[string]httpapi.Error{
	"ERR_INVALID_CONTENT_TYPE": {Code: httpapi.Unsupported, Status: 415, Detail: "expected Content-Type " +
		typeChunk},
	"ERR_UPLOAD_INTERRUPTED": {Code: httpapi.Conflict, Status: 409,
		Detail: "another request has taken the upload over"},
	"ERR_SERVER_SHUTDOWN": {Code: httpapi.Unavailable, Status: 503,
		Detail: "the server stops; go on at another one", RetryAfter: time.Second},
	"ERR_NOT_IMPLEMENTED": {Code: httpapi.Unsupported, Status: 501,
		Detail: "the length must be known when the upload is created"},
	"ERR_MISMATCHED_OFFSET": {Code: httpapi.Conflict, Status: 409,
		Detail: "the upload is at another offset; ask for it by HEAD"},
	"ERR_UPLOAD_SIZE_EXCEEDED": {Code: httpapi.TooLarge, Status: 413,
		Detail: "the body goes beyond the length that was declared"},
	"ERR_MAX_SIZE_EXCEEDED": {Code: httpapi.TooLarge, Status: 413, Detail: "the input is over the limit"},
}

// codes are for the others, and where tusd says nothing, as to HEAD.
var codes = map[int]httpapi.Code{404: httpapi.NotFound, 405: httpapi.Unsupported, 409: httpapi.Conflict,
	412: httpapi.Unsupported, 413: httpapi.TooLarge, 500: httpapi.Internal}
