package api

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
	"longshore/job"
)

// A profilePart is one file of a profile.
type profilePart struct {
	id   job.ID
	part string
}

var profileParams = edge.Params[profilePart]{
	func() edge.Param[profilePart] {
		p := idParam(func(to *profilePart, id job.ID) { to.id = id })
		p.Doc = "the profile's id"
		return p
	}(),
	{Name: "part", In: edge.Path, Doc: "heap, as go tool pprof reads it, or goroutines, as text",
		Schema: plainText(),
		Read:   func(to *profilePart, text string) error { to.part = text; return nil }},
}

func profileOperation() huma.Operation {
	op := edge.FileOperation(httpapi.PathProfiles+"/{id}/{part}", "get-profile", "One part of a profile")
	op.Parameters = profileParams.Describe()
	return op
}

func (h *Operate) profiles(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	list, err := h.desk.Profiles(r.Context())
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

func (h *Operate) profile(a *edge.Answer, r *http.Request) error {
	var p profilePart
	if err := profileParams.Read(r, &p); err != nil {
		return err
	}
	content, err := h.desk.Profile(r.Context(), p.id, p.part)
	if err != nil {
		return err
	}
	defer content.Close()
	header := a.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", `attachment; filename="`+p.part+`"`)
	header.Set("Cache-Control", "private, no-cache")
	http.ServeContent(a, r, "", time.Time{}, content)
	return nil
}
