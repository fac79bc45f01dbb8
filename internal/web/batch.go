package web

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/submit"
)

// batch takes jobs as lines and answers each line, while more come. The answers
// to what came together go out together.
//
// HTTP/1 allows answers before the end of the request, but many clients read
// none before they have sent all: their answers are kept for them, up to
// outboxSize; from then on we read no faster than the client does.
func (s *Server) batch(w http.ResponseWriter, r *http.Request) error {
	if err := checkBatch(r); err != nil {
		return err
	}
	a := w.(*answer)
	// An error says that the connection is not HTTP/1, which needs no leave, or
	// a test's recorder.
	_ = a.control.EnableFullDuplex()
	body, _ := r.Body.(*requestBody)
	lines := &batchLines{server: s, lines: submit.NewLines(r.Body, httpapi.MaxBatchLine)}
	defer context.AfterFunc(s.stopping, func() { a.control.SetReadDeadline(time.Now().Add(stopReading)) })()

	out := newOutbox()
	var wg sync.WaitGroup
	wg.Go(func() { out.send(a) })
	err := s.Door.SubmitBatch(r.Context(), lines.next, func(answers []httpapi.BatchAnswer) error {
		var text []byte
		for _, one := range answers {
			text = one.AppendJSON(text)
		}
		return out.add(text)
	})
	if err != nil && body != nil && !errors.Is(err, errBatchStops) {
		if e := body.refusal(); e != nil {
			err = e
		}
		e := s.refusal(r.Context(), err)
		a.cause = e.Unwrap()
		if lines.read > 0 {
			_ = out.add(httpapi.Refusal(lines.read+1, e).AppendJSON(nil)) // an error is the client's going
			err = nil
		}
	}
	out.close()
	wg.Wait()
	if a.status == 0 && (err == nil || errors.Is(err, errBatchStops)) { // not one line
		a.Header().Set("Content-Type", httpapi.TypeNDJSON)
		a.WriteHeader(http.StatusOK)
		return nil
	}
	if errors.Is(err, errBatchStops) {
		return nil
	}
	return err
}

const (
	// outboxSize is what is kept of answers that the client doesn't read yet, in
	// bytes: those to more than httpapi.MaxBatch lines.
	outboxSize = 4 << 20
	// stopReading is how long a batch may still be silent once the server stops.
	stopReading = 2 * time.Second
)

// errBatchStops says that the server stops: what was read is answered, the rest
// was not taken.
var errBatchStops = errors.New("server stops")

func checkBatch(r *http.Request) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "", httpapi.TypeNDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines", httpapi.TypeJSON,
		"text/plain", "application/octet-stream", "application/x-www-form-urlencoded": // the last is what curl says of any body
	default:
		return httpapi.NewError(httpapi.Unsupported, "expected Content-Type "+httpapi.TypeNDJSON).Wrap(err)
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return httpapi.NewError(httpapi.Unsupported, "expected lines without Content-Encoding")
	}
	if r.URL.RawQuery != "" {
		return invalid("?"+firstName(r), "unknown parameter")
	}
	return nil
}

func firstName(r *http.Request) string {
	for name := range r.URL.Query() {
		return name
	}
	return ""
}

// batchLines reads the drafts of one request.
type batchLines struct {
	server *Server
	lines  *submit.Lines
	read   int64 // number of the last line
	late   int   // lines read since the server stops
}

// next reads what has come. When the server stops, who sends a batch of usual
// size may end it, and an endless one is ended.
func (b *batchLines) next() ([]submit.Draft, error) {
	if b.late > httpapi.MaxBatch {
		return nil, errBatchStops
	}
	lines, err := b.lines.Next()
	stopping := b.server.stopping.Err() != nil
	if err != nil {
		if stopping && !errors.Is(err, io.EOF) {
			return nil, errBatchStops
		}
		return nil, err
	}
	if stopping {
		b.late += len(lines)
	}
	b.read = lines[len(lines)-1].Number
	drafts := make([]submit.Draft, len(lines))
	for i, l := range lines {
		drafts[i] = submit.Read(l)
	}
	return drafts, nil
}

// An outbox keeps answers until the client takes them.
type outbox struct {
	mu     sync.Mutex
	change sync.Cond // of what follows
	text   []byte
	closed bool
	err    error
}

func newOutbox() *outbox {
	o := &outbox{}
	o.change.L = &o.mu
	return o
}

// add adds answers. It waits while there are too many.
func (o *outbox) add(text []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.text) > outboxSize && o.err == nil {
		o.change.Wait()
	}
	o.text = append(o.text, text...)
	o.change.Broadcast()
	return o.err
}

func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.change.Broadcast()
	o.mu.Unlock()
}

// send writes what comes until close, or until the client takes no more.
func (o *outbox) send(a *answer) {
	var spare []byte
	for {
		o.mu.Lock()
		for len(o.text) == 0 && !o.closed {
			o.change.Wait()
		}
		text := o.text
		o.text = spare[:0]
		o.change.Broadcast()
		o.mu.Unlock()
		if len(text) == 0 {
			return
		}
		if a.status == 0 {
			a.Header().Set("Content-Type", httpapi.TypeNDJSON)
		}
		_, err := a.Write(text)
		if err == nil {
			_ = a.control.Flush() // not supported: a test's recorder
		}
		spare = text
		if err != nil {
			o.mu.Lock()
			o.err = err
			o.change.Broadcast()
			o.mu.Unlock()
			return
		}
	}
}

func batchOperation() huma.Operation {
	lines := func(ref, doc string) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{httpapi.TypeNDJSON: {Schema: &huma.Schema{Ref: "#/components/schemas/" + ref, Description: doc}}}
	}
	return huma.Operation{
		Method: http.MethodPost, Path: httpapi.PathBatch, OperationID: "submit-batch",
		Summary: "Submit many jobs, one a line",
		Description: "Each line is a job as in POST /v1/jobs, with an optional id or idempotency_key, which makes a repeat of the line harmless. " +
			"Each line that is not empty is answered by one line, in order and while the request is still sent: with the job's id, or with what is wrong with the line, " +
			"which hinders no other. A line without an answer may have been taken or not. There is no limit to the number of lines; a client that reads no answer before it has sent all must stay within 10,000.",
		RequestBody: &huma.RequestBody{Required: true, Description: "Lines of JSON, each at most 68 KiB.", Content: lines("BatchLine", "each line")},
		Responses: map[string]*huma.Response{
			"200":     {Description: "An answer for each line.", Content: lines("BatchAnswer", "each line")},
			"default": problemResponse(),
		},
	}
}
