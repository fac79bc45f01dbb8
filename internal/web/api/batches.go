package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/internal/web/edge"
	"longshore/job"
)

// A batch is a job: who looks at it, waits for it, follows or cancels it, does so as with any other. What
// only batches have is here.

// intoParams are those of lines that are to be of a batch.
var intoParams = edge.Params[job.ID]{{Name: "batch", In: edge.Query, Schema: edge.IDSchema(),
	Doc: "the batch that all jobs are to be of which name no other",
	Read: func(to *job.ID, text string) (err error) {
		*to, err = job.ParseID(text)
		return err
	}}}

// A batchLook is what is asked of the jobs of a batch.
type batchLook struct {
	id     job.ID
	cursor string
	limit  int64
}

var batchJobsParams = edge.Params[batchLook]{
	idParam(func(to *batchLook, id job.ID) { to.id = id }),
	{Name: "cursor", In: edge.Query, Doc: "next of the page before", Schema: plainText(),
		Read: func(to *batchLook, text string) error { to.cursor = text; return nil }},
	edge.Whole(edge.Param[batchLook]{Name: "limit", In: edge.Query, Doc: "how many jobs a page has"},
		1, maxBatchPage, func(to *batchLook, n int64) { to.limit = n }),
}

// maxBatchPage is how many jobs of a batch a page has, at most.
const maxBatchPage = 500

var openBatchParams = edge.Params[submit.Request]{keyParam(
	"a repeat with the same key returns the first batch, and goes on where it was cut",
	func(to *submit.Request, key string) { to.IdempotencyKey = key })}

func (h *Batches) batchRoutes() []edge.Route {
	const one = httpapi.PathBatches + "/{id}"
	open := edge.At("POST", httpapi.PathBatches, "open-batch",
		"Open a batch: a job that ends when the jobs that are submitted into it have")
	open.Parameters, open.RequestBody = openBatchParams.Describe(), edge.JSONBody[answer.BatchSpec]()
	open.DefaultStatus = http.StatusCreated
	open.Responses = map[string]*huma.Response{"200": {Description: "The key has made this batch before."}}
	end := edge.At("POST", one+"/close", "close-batch", "Let no more jobs into a batch: it ends when those there have")
	end.Parameters = oneJob.Describe()
	list := edge.At("GET", one+"/jobs", "list-batch-jobs", "The jobs of a batch, in the order in which they were made")
	list.Parameters = batchJobsParams.Describe()
	return []edge.Route{
		{Op: open, Access: edge.Bearer, Scope: access.JobsSubmit, Whole: true, JSON: true, Handle: h.open,
			Body: answer.BatchOpened{}},
		{Op: end, Access: edge.Bearer, Scope: access.JobsSubmit, Whole: true, Handle: h.close,
			Body: job.Snapshot{}},
		{Op: list, Access: edge.Bearer, Scope: access.JobsRead, Whole: true, Handle: h.jobs,
			Body: answer.BatchPage{}},
	}
}

// open makes a batch.
func (h *Batches) open(a *edge.Answer, r *http.Request) error {
	b, err := submit.ReadBatch(a.JSON)
	if err != nil {
		return err
	}
	if err := b.ReadHeader(r.Header); err != nil {
		return err
	}
	if err := b.Permit(a.Who, a.Tenant()); err != nil {
		return err
	}
	snap, created, answers, err := h.submitter.OpenBatch(r.Context(), b)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	snap = h.show(snap)
	a.Header().Set("Location", snap.Links.Self)
	edge.WriteJSON(a, status, answer.BatchOpened{Batch: snap, Jobs: answers})
	return nil
}

// close lets no more jobs into a batch. A second time it says the same.
func (h *Batches) close(a *edge.Answer, r *http.Request) error {
	var id job.ID
	if err := oneJob.Read(r, &id); err != nil {
		return err
	}
	snap, err := h.records.CloseBatch(r.Context(), a.View(), id, a.Who.Name())
	if err != nil {
		return err
	}
	return writeJob(a, http.StatusOK, h.show(snap))
}

// jobs lists those of a batch. Of one whose record is gone the id is told.
func (h *Batches) jobs(a *edge.Answer, r *http.Request) error {
	l := batchLook{limit: defaultPage}
	if err := batchJobsParams.Read(r, &l); err != nil {
		return err
	}
	readings, next, err := h.records.BatchJobs(r.Context(), a.View(), l.id, l.cursor, int(l.limit))
	if err != nil {
		return err
	}
	page := answer.BatchPage{Jobs: []job.Snapshot{}, Next: next}
	for _, one := range readings {
		if one.Err != nil {
			page.Gone = append(page.Gone, one.ID)
			continue
		}
		page.Jobs = append(page.Jobs, h.show(one.Snapshot))
	}
	edge.WriteJSON(a, http.StatusOK, page)
	return nil
}
