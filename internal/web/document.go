package web

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/web/api"
	"longshore/internal/web/edge"
	"longshore/tasks"
)

const apiDescription = `Longshore runs slow work for web apps. A job is one record with a revision, rev, that grows with each change; all ways of waiting resume from it.

Durations are texts like 1500ms, 25s, 2h; a bare number is seconds. Times are RFC 3339 in UTC. Errors are problem+json (RFC 9457) with a stable code.`

// describe returns a document that has no routes yet.
func describe(version string) *huma.OpenAPI {
	about := huma.DefaultConfig("Longshore", version).OpenAPI
	about.Info.Description = apiDescription
	return about
}

// A document is the description of the API.
type document struct{ text []byte }

func (d *document) route() edge.Route {
	op := edge.At("GET", httpapi.PathOpenAPI, "openapi", "This description")
	op.Responses = map[string]*huma.Response{
		"200": {Description: "An OpenAPI 3.1 document.",
			Content: map[string]*huma.MediaType{httpapi.TypeJSON: {}}},
		"default": edge.ProblemResponse(),
	}
	return edge.Route{Op: op, Access: edge.Public, Handle: d.serve}
}

// write writes it, when all routes are mounted.
func (d *document) write(about *huma.OpenAPI, catalog *tasks.Catalog) (err error) {
	api.Describe(about, catalog)
	for _, s := range about.Components.Schemas.Map() {
		plainLists(s)
	}
	if d.text, err = json.Marshal(about); err != nil {
		return fmt.Errorf("describe the API: %w", err)
	}
	return nil
}

// plainLists says that lists are never null: one without members is empty, or absent.
func plainLists(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.Type == huma.TypeArray {
		s.Nullable = false
		plainLists(s.Items)
	}
	for _, of := range s.Properties {
		plainLists(of)
	}
}

func (d *document) serve(a *edge.Answer, _ *http.Request) error {
	a.Header()["Content-Type"] = edge.ContentJSON
	a.Header().Set("Cache-Control", "no-cache")
	_, _ = a.Write(d.text) // an error here is the client's going
	return nil
}
