package web

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/job"
	"longshore/tasks"
)

const apiDescription = `Longshore runs slow work for web apps. A job is one record with a revision, rev, that grows with each change; all ways of waiting resume from it.

Durations are texts like 1500ms, 25s, 2h; a bare number is seconds. Times are RFC 3339 in UTC. Errors are problem+json (RFC 9457) with a stable code.`

// Names of schemas that huma derives from Go types.
const (
	snapshotRef = "#/components/schemas/Snapshot"
	problemRef  = "#/components/schemas/Problem"
)

// describe completes the document after all routes are registered: with one
// literal path for each type known now, which the route for all types serves.
func (s *Server) describe(api huma.API) {
	document := api.OpenAPI()
	registry := document.Components.Schemas
	registry.Schema(reflect.TypeFor[httpapi.BatchLine](), true, "BatchLine") // of a route that huma doesn't read
	registry.Schema(reflect.TypeFor[httpapi.BatchAnswer](), true, "BatchAnswer")
	for _, body := range []string{"SubmitBody", "BatchLine"} {
		for _, name := range []string{"timeout", "expires_in", "retention"} {
			body := registry.Map()[body]
			doc := body.Properties[name].Description
			text := durationSchema("")
			text.Pattern = httpapi.DurationPattern // or decoding fails, which names no place
			body.Properties[name] = &huma.Schema{Description: doc, AnyOf: []*huma.Schema{
				text, {Type: huma.TypeNumber, Description: "seconds"},
			}}
			body.Properties[name].PrecomputeMessages()
		}
	}
	for _, info := range s.Catalog.All() {
		op := s.submitTypeOperation()
		op.Path, op.OperationID = httpapi.SubmitPath(info.Type), "submit-"+info.Type
		op.Summary, op.Description = info.Doc, ""
		op.Parameters = append(payloadParams(info), op.Parameters[1:]...) // without the type's name
		op.RequestBody = requestBodyOf(info)
		if s.Token != "" {
			op.Security = []map[string][]string{{"bearer": {}}}
		}
		document.AddOperation(&op)
	}
}

// payloadParams are a payload's fields as parameters of the query.
func payloadParams(info tasks.Info) []*huma.Param {
	schema := &huma.Schema{}
	if json.Unmarshal(info.Schema, schema) != nil {
		return nil // can't be: the catalog has parsed it
	}
	var params []*huma.Param
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		field := schema.Properties[name]
		param := &huma.Param{Name: name, In: "query", Description: field.Description, Schema: field}
		switch {
		case field.Type == huma.TypeObject:
			continue // goes into payload as a whole
		case field.Type == huma.TypeArray:
			param.Style, param.Explode = "form", new(bool) // a,b,c
		}
		params = append(params, param)
	}
	return params
}

func requestBodyOf(info tasks.Info) *huma.RequestBody {
	if info.Input == tasks.NoInput {
		schema := &huma.Schema{}
		_ = json.Unmarshal(info.Schema, schema) // the catalog has read it before
		return &huma.RequestBody{Description: "The payload, unless the query has it.", Content: map[string]*huma.MediaType{
			httpapi.TypeJSON: {Schema: schema},
		}}
	}
	return inputBody()
}

func inputBody() *huma.RequestBody {
	return &huma.RequestBody{
		Description: "The input, byte for byte, whatever its Content-Type. Only multipart/form-data is read as a form: parameters first, as in the query, then one file.",
		Content: map[string]*huma.MediaType{
			"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
			"multipart/form-data": {Schema: &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
				"file": {Type: huma.TypeString, Format: "binary"},
			}}},
		},
	}
}

func (s *Server) submitOperation() huma.Operation {
	return huma.Operation{
		Method: http.MethodPost, Path: httpapi.PathJobs, OperationID: "submit", Summary: "Submit a job without a file",
		DefaultStatus: http.StatusAccepted, Responses: submitResponses(), MaxBodyBytes: -1, BodyReadTimeout: -1, // read already
	}
}

// submitTypeOperation describes the route for all types, whose first parameter
// is the type's name.
func (s *Server) submitTypeOperation() huma.Operation {
	return huma.Operation{
		Method: http.MethodPost, Path: httpapi.PathJobs + "/{id}", OperationID: "submit-type",
		Summary:     "Submit a job whose input is the body",
		Description: "The types that workers have published are served here too. The payload's simple fields are parameters by their names.",
		Parameters: []*huma.Param{
			{Name: "id", In: "path", Required: true, Description: "the type's name", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "payload", In: "query", Description: "the whole payload, as JSON", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "priority", In: "query", Description: "rank within the type's lane", Schema: &huma.Schema{
				Type: huma.TypeString, Enum: []any{job.High, job.Default, job.Low}}},
			{Name: "run_at", In: "query", Description: "do not start before this time", Schema: &huma.Schema{Type: huma.TypeString, Format: "date-time"}},
			{Name: "timeout", In: "query", Description: "time limit of one attempt", Schema: durationSchema("")},
			{Name: "expires_in", In: "query", Description: "give up unless started within this time", Schema: durationSchema("")},
			{Name: "max_attempts", In: "query", Description: "how often to try", Schema: &huma.Schema{Type: huma.TypeInteger}},
			{Name: "retention", In: "query", Description: "how long to keep the job after its end", Schema: durationSchema("")},
			{Name: "callback_url", In: "query", Description: "post the job, signed, to this address when it has ended", Schema: &huma.Schema{Type: huma.TypeString, Format: "uri"}},
			{Name: "filename", In: "query", Description: "what the input is called", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "wait", In: "query", Description: "wait this long for the job's end", Schema: durationSchema("")},
			{Name: "Prefer", In: "header", Description: "wait=20: wait for the job's end, in seconds (RFC 7240)", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "Longshore-Job", In: "header", Description: "the id the job shall have: a UUIDv7 of the last hour", Schema: &huma.Schema{Type: huma.TypeString, Format: "uuid"}},
			{Name: "Idempotency-Key", In: "header", Description: "a repeat with the same key returns the first job", Schema: &huma.Schema{Type: huma.TypeString}},
		},
		RequestBody: inputBody(), Responses: submitResponses(),
	}
}

func submitResponses() map[string]*huma.Response {
	snapshot := map[string]*huma.MediaType{httpapi.TypeJSON: {Schema: &huma.Schema{Ref: snapshotRef}}}
	return map[string]*huma.Response{
		"202":     {Description: "The job is accepted; Location is its path.", Content: snapshot},
		"200":     {Description: "The job has ended already.", Content: snapshot},
		"default": problemResponse(),
	}
}

func problemResponse() *huma.Response {
	return &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{
		httpapi.TypeProblem: {Schema: &huma.Schema{Ref: problemRef}},
	}}
}

func deleteOperation() huma.Operation {
	return huma.Operation{
		Method: http.MethodDelete, Path: httpapi.PathJobs + "/{id}", OperationID: "delete-job",
		Summary: "Delete a job that has ended, and its files",
	}
}

func retryOperation() huma.Operation {
	return huma.Operation{
		Method: http.MethodPost, Path: httpapi.PathJobs + "/{id}/retry", OperationID: "retry-job",
		Summary: "Submit a new job that does what an ended one did", DefaultStatus: http.StatusAccepted,
	}
}

func resultOperation() huma.Operation {
	return fileOperation(httpapi.PathJobs+"/{id}/result", "get-result", "The only output of a job, or else its result as JSON")
}

func outputOperation() huma.Operation {
	return fileOperation(httpapi.PathJobs+"/{id}/outputs/{name}", "get-output", "One output of a job; takes Range")
}

func documentOperation() huma.Operation {
	return huma.Operation{
		Method: http.MethodGet, Path: httpapi.PathOpenAPI, OperationID: "openapi", Summary: "This description",
		Responses: map[string]*huma.Response{
			"200":     {Description: "An OpenAPI 3.1 document.", Content: map[string]*huma.MediaType{httpapi.TypeJSON: {}}},
			"default": problemResponse(),
		},
	}
}

func fileOperation(path, name, summary string) huma.Operation {
	op := huma.Operation{
		Method: http.MethodGet, Path: path, OperationID: name, Summary: summary,
		Parameters: []*huma.Param{{Name: "id", In: "path", Required: true, Description: "the job's id", Schema: idParam{}.Schema(nil)}},
		Responses: map[string]*huma.Response{
			"200":     {Description: "The whole.", Content: map[string]*huma.MediaType{"*/*": {}}},
			"206":     {Description: "The range.", Content: map[string]*huma.MediaType{"*/*": {}}},
			"default": problemResponse(),
		},
	}
	if strings.Contains(path, "{name}") {
		op.Parameters = append(op.Parameters, &huma.Param{Name: "name", In: "path", Required: true,
			Description: "the output's name", Schema: &huma.Schema{Type: huma.TypeString}})
	}
	return op
}
