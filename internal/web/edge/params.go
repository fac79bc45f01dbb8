package edge

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
)

// Optional tells an absent parameter from one that is zero.
type Optional[T any] struct {
	Value T
	Set   bool
}

var (
	_ huma.ParamWrapper   = (*Optional[int64])(nil)
	_ huma.ParamReactor   = (*Optional[int64])(nil)
	_ huma.SchemaProvider = Optional[int64]{}
)

// Receiver is for huma.
func (o *Optional[T]) Receiver() reflect.Value { return reflect.ValueOf(o).Elem().Field(0) }

// OnParamSet is for huma.
func (o *Optional[T]) OnParamSet(set bool, _ any) { o.Set = set }

// Schema is for huma.
func (Optional[T]) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeFor[T]())
}

// IDSchema describes a job's id.
func IDSchema() *huma.Schema { return &huma.Schema{Type: huma.TypeString, Format: "uuid"} }

// IDParam describes the job's id in a path.
func IDParam() *huma.Param {
	return &huma.Param{Name: "id", In: "path", Required: true, Description: "the job's id", Schema: IDSchema()}
}

// DurationSchema describes what httpapi.ParseDuration reads.
func DurationSchema() *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Examples: []any{"25s"}}
}

// ProblemResponse describes any error.
func ProblemResponse() *huma.Response {
	return &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{
		httpapi.TypeProblem: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}, // huma's name for problem
	}}
}
