package edge

import (
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
)

// The API is described by huma, whose registry turns Go types into schemas, and read
// by nobody but us.

// IDSchema describes a job's id.
func IDSchema() *huma.Schema { return &huma.Schema{Type: huma.TypeString, Format: "uuid"} }

// IDParam describes the job's id in a path.
func IDParam() *huma.Param {
	return &huma.Param{Name: "id", In: "path", Required: true, Description: "the job's id",
		Schema: IDSchema()}
}

// DurationSchema describes what httpapi.ParseDuration reads.
func DurationSchema() *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Examples: []any{"25s"}}
}

// ControlSchema describes a control's values: in JSON, or as a text.
func ControlSchema(c httpapi.Control, in httpapi.Places) *huma.Schema {
	inJSON := in&(httpapi.InBody|httpapi.InLine) != 0
	switch c.Kind {
	case httpapi.KindTime:
		return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
	case httpapi.KindDuration:
		text := DurationSchema()
		if !inJSON {
			return text
		}
		text.Pattern = httpapi.DurationPattern
		return &huma.Schema{AnyOf: []*huma.Schema{text, {Type: huma.TypeNumber, Description: "seconds"}}}
	case httpapi.KindCount:
		return &huma.Schema{Type: huma.TypeInteger, Minimum: floatOf(1), Maximum: floatOf(int64(c.Max))}
	case httpapi.KindLabels:
		if !inJSON {
			return &huma.Schema{Type: huma.TypeString, Examples: []any{"user=7"}}
		}
		value, most := httpapi.MaxLabelValue, httpapi.MaxLabels
		return &huma.Schema{Type: huma.TypeObject, MaxProperties: &most,
			AdditionalProperties: &huma.Schema{Type: huma.TypeString, MaxLength: &value}}
	case httpapi.KindJobs:
		if !inJSON {
			return &huma.Schema{Type: huma.TypeString}
		}
		most := httpapi.MaxAfter
		return &huma.Schema{Type: huma.TypeArray, MaxItems: &most,
			Items: &huma.Schema{Type: huma.TypeString, Format: "uuid"}}
	default:
		s := &huma.Schema{Type: huma.TypeString, Format: c.Format}
		if c.Enum != nil {
			s.Enum = anys(c.Enum)
		}
		if c.MaxLength > 0 {
			s.MaxLength = &c.MaxLength
		}
		return s
	}
}

// ControlParams describes the controls that a submission may have in a query, or in its
// headers.
func ControlParams(in httpapi.Places) []*huma.Param {
	var params []*huma.Param
	for _, c := range httpapi.Controls {
		if c.In&in == 0 {
			continue
		}
		p := &huma.Param{Name: c.Name, In: string(Query), Description: c.Doc, Schema: ControlSchema(c, in)}
		if in == httpapi.InHeader {
			p.Name, p.In = c.Header, string(Header)
		}
		params = append(params, p)
	}
	return params
}

// problem is an error as the document names it.
type problem httpapi.Error

// ProblemResponse describes any error.
func ProblemResponse() *huma.Response {
	return &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{
		// huma's name for problem
		httpapi.TypeProblem: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}},
	}}
}

// describe adds a route to the document.
func (rt *Route) describe(document *huma.OpenAPI) {
	op := rt.Op
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	if op.Responses["default"] == nil {
		op.Responses["default"] = ProblemResponse()
	}
	if rt.Body != nil || len(op.Responses) == 1 {
		status := op.DefaultStatus
		if status == 0 {
			status = http.StatusOK
		}
		answer := &huma.Response{Description: http.StatusText(status)}
		if rt.Body != nil {
			schema := document.Components.Schemas.Schema(reflect.TypeOf(rt.Body), true, "")
			answer.Content = map[string]*huma.MediaType{httpapi.TypeJSON: {Schema: schema}}
		}
		op.Responses[strconv.Itoa(status)] = answer
	}
	for name, doc := range rt.Headers {
		for status, response := range op.Responses {
			if status == "default" {
				continue
			}
			if response.Headers == nil {
				response.Headers = map[string]*huma.Param{}
			}
			response.Headers[name] = &huma.Param{Description: doc,
				Schema: &huma.Schema{Type: huma.TypeString}}
		}
	}
	document.AddOperation(&op)
}
