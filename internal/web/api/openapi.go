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
	"longshore/tasks"
)

// snapshotRef is the schema that huma derives from job.Snapshot.
const snapshotRef = "#/components/schemas/Snapshot"

// Describe completes the document of all routes: with what a submission is, and with one
// literal path for each type known now, which the route for all types serves.
func Describe(document *huma.OpenAPI, catalog *tasks.Catalog) {
	registry := document.Components.Schemas
	registry.Schema(reflect.TypeFor[httpapi.BatchAnswer](), true, "BatchAnswer")
	registry.Map()["SubmitBody"] = submissionSchema(registry, httpapi.InBody)
	registry.Map()["BatchLine"] = submissionSchema(registry, httpapi.InLine)
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

// submissionSchema describes a job to be, as JSON.
func submissionSchema(registry huma.Registry, in httpapi.Places) *huma.Schema {
	input := *registry.Schema(reflect.TypeFor[httpapi.InputRef](), true, "InputRef")
	s := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"type"},
		Properties: map[string]*huma.Schema{
			"type":    {Type: huma.TypeString, Description: "the kind of work"},
			"payload": {Description: "an object by the type's schema"},
			"input": {AllOf: []*huma.Schema{&input},
				Description: "the input of a type that works on a file: an output of another job, by reference"},
		}}
	for _, c := range httpapi.Controls {
		if c.In&in != 0 {
			s.Properties[c.Name] = edge.ControlSchema(c, in)
			s.Properties[c.Name].Description = c.Doc
		}
	}
	return s
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
			"multipart/form-data": {Schema: &huma.Schema{Type: huma.TypeObject,
				Properties: map[string]*huma.Schema{
					"file": {Type: huma.TypeString, Format: "binary"},
				}}},
		},
	}
}

func submitOperation() huma.Operation {
	return huma.Operation{
		Method: http.MethodPost, Path: httpapi.PathJobs, OperationID: "submit",
		Summary:    "Submit a job without a file",
		Parameters: slices.Concat(submitParams.Describe(), headerParams()), Responses: submitResponses(),
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			httpapi.TypeJSON: {Schema: &huma.Schema{Ref: "#/components/schemas/SubmitBody"}},
		}},
	}
}

func headerParams() []*huma.Param {
	prefer := &huma.Param{Name: httpapi.HeaderPrefer, In: string(edge.Header), Schema: plainText(),
		Description: "wait=20: wait for the job's end, in seconds (RFC 7240)"}
	return append([]*huma.Param{prefer}, edge.ControlParams(httpapi.InHeader)...)
}

// submitTypeOperation describes the route for all types, whose first parameter
// is the type's name.
func submitTypeOperation() huma.Operation {
	typ := &huma.Param{Name: "id", In: "path", Required: true, Description: "the type's name",
		Schema: plainText()}
	payload := &huma.Param{Name: "payload", In: "query", Description: "the whole payload, as JSON",
		Schema: plainText()}
	return huma.Operation{
		Method: http.MethodPost, Path: httpapi.PathJobs + "/{id}", OperationID: "submit-type",
		Summary: "Submit a job whose input is the body",
		Description: "The types that workers have published are served here too. The payload's simple fields are " +
			"parameters by their names.",
		Parameters: slices.Concat([]*huma.Param{typ, payload}, edge.ControlParams(httpapi.InQuery),
			submitParams.Describe(), headerParams()),
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
