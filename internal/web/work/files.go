package work

import (
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/answer"
	"longshore/internal/claims"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
	"longshore/job"
)

// claimed reads whose files a request is about, and who asks.
func claimed(a *edge.Answer, r *http.Request) (asker claims.Who, id job.ID, claim string, err error) {
	if err = none.Read(r, nil); err != nil {
		return
	}
	if id, err = httpapi.PathID(r); err != nil {
		return
	}
	if claim = r.Header.Get(httpapi.HeaderClaim); !claims.IsClaim(claim) {
		err = httpapi.InvalidAt("/headers/"+httpapi.HeaderClaim, "expected the job's claim, as it was handed out")
		return
	}
	asker, err = who(a)
	return
}

func claimParam() *huma.Param {
	return textParam(httpapi.HeaderClaim, edge.Header, "the job's claim")
}

func (h Handler) inputRoute() edge.Route {
	op := edge.FileOperation(httpapi.PathClaim+"/input", "get-claimed-input", "The input of a claimed job; takes Range")
	op.Parameters = append(op.Parameters, claimParam())
	return edge.Route{Op: op, Job: true, Handle: h.input}
}

func (h Handler) outputRoute() edge.Route {
	op := edge.At("PUT", httpapi.PathClaim+"/outputs/{name}", "put-claimed-output",
		"Send an output of a claimed job, which is kept aside until its end")
	op.Parameters = []*huma.Param{edge.IDParam(), claimParam(), textParam("name", edge.Path, "the output's name")}
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"*/*": {}}}
	return edge.Route{Op: op, Job: true, Handle: h.output, Body: answer.ClaimedOutput{}}
}

// input sends a claimed job's input. It is never a redirect: the program may reach nothing but us.
func (h Handler) input(a *edge.Answer, r *http.Request) error {
	asker, id, claim, err := claimed(a, r)
	if err != nil {
		return err
	}
	in, content, err := h.Desk.Input(r.Context(), asker, id, claim)
	if err != nil {
		return err
	}
	defer content.Close()
	kind := in.ContentType
	if _, _, err := mime.ParseMediaType(kind); err != nil {
		kind = "application/octet-stream"
	}
	header := a.Header()
	header.Set("Content-Type", kind)
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": in.Filename}))
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	header.Set("Cache-Control", "no-store")
	header.Set("ETag", strconv.Quote(string(id))) // it never changes: what broke off is taken up again
	http.ServeContent(a, r, "", time.Time{}, content)
	return nil
}

// output takes an output.
func (h Handler) output(a *edge.Answer, r *http.Request) error {
	asker, id, claim, err := claimed(a, r)
	if err != nil {
		return err
	}
	end, err := h.Uploads.Begin(a, r, max(r.ContentLength, 0))
	if err != nil {
		return err
	}
	defer end()
	made, err := h.Desk.PutOutput(r.Context(), asker, claims.Output{ID: id, Name: r.PathValue("name"),
		Claim: claim, ContentType: r.Header.Get("Content-Type"), Size: r.ContentLength, Content: r.Body})
	if refused := a.Body.Refusal(); err != nil && refused != nil {
		return refused
	}
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, answer.ClaimedOutput{Name: made.Name, Size: made.Size})
	return nil
}
