package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/internal/web/edge"
	"longshore/job"
)

// A changing is which job is to be changed.
type changing struct {
	id   job.ID
	revs []int64 // that it may have; none: any
}

var changeParams = edge.Params[changing]{
	idParam(func(to *changing, id job.ID) { to.id = id }),
	{Name: "If-Match", In: edge.Header,
		Doc:    "revisions that the job may have, as ETag tells them: 412 if it has another",
		Schema: &huma.Schema{Type: huma.TypeString},
		Read:   func(to *changing, text string) error { to.revs = revsOf(text); return nil }},
}

// revsOf reads If-Match (RFC 9110, section 13.1.1). A tag that a proxy has made weak counts, and one that no
// job can have matches none.
func revsOf(header string) []int64 {
	var revs []int64
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" {
			return nil
		}
		rev, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64)
		if err != nil {
			rev = -1
		}
		revs = append(revs, rev)
	}
	return revs
}

func changeOperation() huma.Operation {
	op := edge.At("PATCH", httpapi.PathJobs+"/{id}", "change-job", "Have a job that waits wait otherwise")
	op.Parameters, op.RequestBody = changeParams.Describe(), edge.JSONBody[answer.JobChange]()
	op.Description = "What runs, or has begun, is 409 already_started; of a job that has ended only retention " +
		"can be changed. A queued job whose priority is another goes to the end of the other queue; one that " +
		"stands in the line of a limit keeps its place. What is so already is no change."
	return op
}

// change has a job that waits wait otherwise.
func (h Submissions) change(a *edge.Answer, r *http.Request) error {
	var to changing
	if err := changeParams.Read(r, &to); err != nil {
		return err
	}
	c, err := submit.ReadChange(a.JSON)
	if err != nil {
		return err
	}
	snap, err := h.Submitter.Change(r.Context(), a.View(), to.id, c, to.revs, a.Who.Name())
	if err != nil {
		return err
	}
	return writeJob(a, http.StatusOK, h.Show(snap))
}
