package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Batches takes many jobs in a request.
type Batches struct {
	submitter Submitter
	uploads   *edge.Uploads
	stopping  context.Context // ends when the server is to
	memory    *answerMemory
	records   Records
	show      Show
}

// NewBatches returns the handler.
func NewBatches(submitter Submitter, records Records, show Show, uploads *edge.Uploads,
	stopping context.Context) *Batches {
	return &Batches{submitter, uploads, stopping, newAnswerMemory(), records, show}
}

// Routes are what it serves.
func (h *Batches) Routes() []edge.Route {
	return append(h.batchRoutes(), edge.Route{Op: batchOperation(), Access: edge.Bearer,
		Scope: access.JobsSubmit,
		Whole: true, Handle: h.batch})
}

// batch takes jobs as lines and answers each line, while more come. The answers
// to what came together go out together.
//
// HTTP/1 allows answers before the end of the request, but many clients read
// none before they have sent all: their answers are kept for them, as far as there is
// room (see answerBuffer); from then on we read no faster than the client does.
func (h *Batches) batch(a *edge.Answer, r *http.Request) error {
	if err := checkBatch(r); err != nil {
		return err
	}
	var in job.ID
	if err := intoParams.Read(r, &in); err != nil {
		return err
	}
	leave, err := h.uploads.Enter(a)
	if err != nil {
		return err
	}
	defer leave()
	defer a.Duplex()()
	body := a.Body
	out := newAnswerBuffer(h.memory)
	lines := &batchLines{in: in, who: a.Who, tenant: a.Tenant(), stopping: h.stopping, out: out,
		lines: httpapi.NewLines(r.Body, httpapi.MaxBatchLine)}
	defer context.AfterFunc(h.stopping, func() {
		if body != nil {
			body.EndBy(time.Now().Add(stopReading))
		}
		out.stop()
	})()
	var wg sync.WaitGroup
	wg.Go(func() { out.send(a) })
	err = h.submitter.SubmitBatch(r.Context(), lines.next, out.add)
	if err != nil && body != nil && !errors.Is(err, errBatchStops) {
		if e := body.Refusal(); e != nil {
			err = e
		}
		e := a.Refusal(r.Context(), err)
		if lines.read > 0 {
			// an error is the client's going
			_ = out.add([]httpapi.BatchAnswer{httpapi.Refusal(lines.read+1, e)})
			err = nil
		}
	}
	out.close()
	wg.Wait()
	if !a.Begun() && (err == nil || errors.Is(err, errBatchStops)) { // not one line
		a.Header().Set("Content-Type", httpapi.TypeNDJSON)
		a.WriteHeader(http.StatusOK)
		return nil
	}
	if errors.Is(err, errBatchStops) {
		return nil
	}
	return err
}

// stopReading is how long a batch may still be silent once the server stops.
const stopReading = 2 * time.Second

// errBatchStops says that the server stops: what was read is answered, the rest
// was not taken.
var errBatchStops = errors.New("server stops")

func checkBatch(r *http.Request) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "", httpapi.TypeNDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines",
		httpapi.TypeJSON,
		"text/plain", "application/octet-stream",
		"application/x-www-form-urlencoded": // what curl says of any body
	default:
		return httpapi.NewError(httpapi.Unsupported, "expected Content-Type "+httpapi.TypeNDJSON).Wrap(err)
	}
	return nil
}

// batchLines reads the drafts of one request.
type batchLines struct {
	in       job.ID // the batch that all are to be of which name no other; "" = none
	who      *access.Principal
	tenant   string
	stopping context.Context
	out      *answerBuffer // where the answers go: it says how many lines may be read
	lines    *httpapi.Lines
	read     int64 // number of the last line
	late     int   // lines read since the server stops
}

// next reads what has come. When the server stops, who sends a batch of usual
// size may end it, and an endless one is ended.
func (b *batchLines) next() ([]submit.Draft, error) {
	if b.late > httpapi.MaxBatch {
		return nil, errBatchStops
	}
	room, err := b.out.reserve(batchGroup)
	if err != nil {
		return nil, err
	}
	lines, err := b.lines.NextFew(room)
	b.out.release(room - len(lines))
	stopping := b.stopping.Err() != nil
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
		if drafts[i] = submit.Read(l); drafts[i].Err == nil {
			drafts[i].Request.Batch = cmp.Or(drafts[i].Request.Batch, b.in)
			drafts[i].Err = drafts[i].Request.Permit(b.who, b.tenant)
		}
	}
	return drafts, nil
}

func batchOperation() huma.Operation {
	lines := func(ref, doc string) map[string]*huma.MediaType {
		schema := &huma.Schema{Ref: "#/components/schemas/" + ref, Description: doc}
		return map[string]*huma.MediaType{httpapi.TypeNDJSON: {Schema: schema}}
	}
	return huma.Operation{
		Method: http.MethodPost, Path: httpapi.PathBatch, OperationID: "submit-batch",
		Summary: "Submit many jobs, one a line", Parameters: intoParams.Describe(),
		Description: "Each line is a job as in POST /v1/jobs, with an optional id or idempotency_key, which makes a " +
			"repeat of the line harmless. Each line that is not empty is answered by one line, in order and while the " +
			"request is still sent: with the job's id, or with what is wrong with the line, which hinders no other. A " +
			"line without an answer may have been taken or not. There is no limit to the number of lines; a client " +
			"that reads no answer before it has sent all must stay within 10,000.",
		RequestBody: &huma.RequestBody{Required: true, Description: "Lines of JSON, each at most 68 KiB.",
			Content: lines("BatchLine", "each line")},
		Responses: map[string]*huma.Response{
			"200":     {Description: "An answer for each line.", Content: lines("BatchAnswer", "each line")},
			"default": edge.ProblemResponse(),
		},
	}
}
