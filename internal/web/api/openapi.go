package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
	"longshore/job"
	"longshore/tasks"
)

// snapshotRef is the schema that huma derives from job.Snapshot.
const snapshotRef = "#/components/schemas/Snapshot"

// Describe completes the document of all routes: with one literal path for each type
// known now, which the route for all types serves.
func Describe(api huma.API, catalog *tasks.Catalog) {
	document := api.OpenAPI()
	registry := document.Components.Schemas
	registry.Schema(reflect.TypeFor[httpapi.BatchLine](), true, "BatchLine") // of a route that huma doesn't read
	registry.Schema(reflect.TypeFor[httpapi.BatchAnswer](), true, "BatchAnswer")
	for _, body := range []string{"SubmitBody", "BatchLine"} {
		for _, name := range []string{"timeout", "expires_in", "retention"} {
			body := registry.Map()[body]
			doc := body.Properties[name].Description
			text := edge.DurationSchema()
			text.Pattern = httpapi.DurationPattern // or decoding fails, which names no place
			body.Properties[name] = &huma.Schema{Description: doc, AnyOf: []*huma.Schema{
				text, {Type: huma.TypeNumber, Description: "seconds"},
			}}
			body.Properties[name].PrecomputeMessages()
		}
	}
	for _, info := range catalog.All() {
		op := submitTypeOperation()
		op.Security = document.Paths[op.Path].Post.Security
		op.Path, op.OperationID = httpapi.SubmitPath(info.Type), "submit-"+info.Type
		op.Summary, op.Description = info.Doc, ""
		op.Parameters = append(payloadParams(info), op.Parameters[1:]...) // without the type's name
		op.RequestBody = requestBodyOf(info)
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
		return &huma.RequestBody{Description: "The payload, unless the query has it.",
			Content: map[string]*huma.MediaType{httpapi.TypeJSON: {Schema: schema}}}
	}
	return inputBody()
}

func inputBody() *huma.RequestBody {
	return &huma.RequestBody{
		Description: "The input, byte for byte, whatever its Content-Type. Only multipart/form-data is read as a form: " +
			"parameters first, as in the query, then one file.",
		Content: map[string]*huma.MediaType{
			"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
			"multipart/form-data": {Schema: &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
				"file": {Type: huma.TypeString, Format: "binary"},
			}}},
		},
	}
}

func submitOperation() huma.Operation {
	return huma.Operation{
		Method: http.MethodPost, Path: httpapi.PathJobs, OperationID: "submit", Summary: "Submit a job without a file",
		DefaultStatus: http.StatusAccepted, Responses: submitResponses(),
		MaxBodyBytes: -1, BodyReadTimeout: -1, // read already
	}
}

// submitTypeOperation describes the route for all types, whose first parameter
// is the type's name.
func submitTypeOperation() huma.Operation {
	return huma.Operation{
		Method: http.MethodPost, Path: httpapi.PathJobs + "/{id}", OperationID: "submit-type",
		Summary:     "Submit a job whose input is the body",
		Description: "The types that workers have published are served here too. The payload's simple fields are parameters by their names.",
		Parameters: []*huma.Param{
			{Name: "id", In: "path", Required: true, Description: "the type's name", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "payload", In: "query", Description: "the whole payload, as JSON", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "priority", In: "query", Description: "rank within the type's lane", Schema: &huma.Schema{
				Type: huma.TypeString, Enum: []any{job.High, job.Default, job.Low}}},
			{Name: "run_at", In: "query", Description: "do not start before this time",
				Schema: &huma.Schema{Type: huma.TypeString, Format: "date-time"}},
			{Name: "timeout", In: "query", Description: "time limit of one attempt", Schema: edge.DurationSchema()},
			{Name: "expires_in", In: "query", Description: "give up unless started within this time",
				Schema: edge.DurationSchema()},
			{Name: "max_attempts", In: "query", Description: "how often to try", Schema: &huma.Schema{Type: huma.TypeInteger}},
			{Name: "retention", In: "query", Description: "how long to keep the job after its end", Schema: edge.DurationSchema()},
			{Name: "callback_url", In: "query", Description: "post the job, signed, to this address when it has ended",
				Schema: &huma.Schema{Type: huma.TypeString, Format: "uri"}},
			{Name: "filename", In: "query", Description: "what the input is called", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "wait", In: "query", Description: "wait this long for the job's end", Schema: edge.DurationSchema()},
			{Name: "Prefer", In: "header", Description: "wait=20: wait for the job's end, in seconds (RFC 7240)",
				Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "Longshore-Job", In: "header", Description: "the id the job shall have: a UUIDv7 of the last hour",
				Schema: edge.IDSchema()},
			{Name: "Idempotency-Key", In: "header", Description: "a repeat with the same key returns the first job",
				Schema: &huma.Schema{Type: huma.TypeString}},
		},
		RequestBody: inputBody(), Responses: submitResponses(),
	}
}

func submitResponses() map[string]*huma.Response {
	snapshot := map[string]*huma.MediaType{httpapi.TypeJSON: {Schema: &huma.Schema{Ref: snapshotRef}}}
	return map[string]*huma.Response{
		"202":     {Description: "The job is accepted; Location is its path.", Content: snapshot},
		"200":     {Description: "The job has ended already.", Content: snapshot},
		"default": edge.ProblemResponse(),
	}
}
