package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
)

// A Problem is one thing that is wrong with a payload. It names the place and
// what is expected there, never the value that was sent.
type Problem struct {
	Pointer string // JSON Pointer (RFC 6901) into the payload
	Detail  string
}

// Problems is a list of them, as an error.
type Problems []Problem

func (p Problems) Error() string {
	texts := make([]string, len(p))
	for i, one := range p {
		texts[i] = strings.TrimPrefix(one.Pointer+": "+one.Detail, ": ")
	}
	return strings.Join(texts, "; ")
}

// inline is a registry that writes nested structs out in place, so that a
// published schema stands alone.
type inline struct{ huma.Registry }

func (r inline) Schema(t reflect.Type, _ bool, _ string) *huma.Schema {
	return huma.SchemaFromType(r, t)
}

var registry huma.Registry = inline{huma.NewMapRegistry("#", huma.DefaultSchemaNamer)}

// A payloadType is what is known of a payload's Go type.
type payloadType struct {
	schema   *huma.Schema
	defaults []byte // of its fields, as a JSON object; nil = none
	err      error  // what is wrong with it: then there is nothing else
}

var payloadTypes sync.Map // reflect.Type → *payloadType

func payloadTypeOf(t reflect.Type) *payloadType {
	if p, ok := payloadTypes.Load(t); ok {
		return p.(*payloadType)
	}
	p := newPayloadType(t)
	payloadTypes.Store(t, p)
	return p
}

func newPayloadType(t reflect.Type) (p *payloadType) {
	defer func() {
		if wrong := recover(); wrong != nil { // huma's, at a tag that it can't read
			p = &payloadType{err: fmt.Errorf("payload: %v", wrong)}
		}
	}()
	if err := checkPayload(t); err != nil {
		return &payloadType{err: err}
	}
	p = &payloadType{schema: huma.SchemaFromType(registry, t)}
	narrow(p.schema, t)
	p.schema.PrecomputeMessages()
	if fields := defaultsOf(p.schema, t); len(fields) > 0 {
		if p.defaults, p.err = json.Marshal(fields); p.err == nil {
			// once, so that no handler meets it
			p.err = json.Unmarshal(p.defaults, reflect.New(t).Interface())
		}
	}
	return p
}

// validate checks a decoded payload against a schema.
func validate(s *huma.Schema, payload map[string]any) (problems Problems) {
	defer func() {
		if p := recover(); p != nil { // a published schema that nobody thought of
			problems = Problems{{"", "can't be checked against the schema of its type"}}
		}
	}()
	path := huma.NewPathBuffer(make([]byte, 0, 64), 0)
	res := &huma.ValidateResult{}
	huma.Validate(registry, s, path, huma.ModeWriteToServer, payload, res)
	for _, err := range res.Errors {
		p := Problem{Detail: "is not valid"}
		var detail *huma.ErrorDetail
		if errors.As(err, &detail) {
			p = Problem{Pointer: pointer(detail.Location), Detail: detail.Message}
		}
		problems = append(problems, p)
	}
	return problems
}

// pointer turns huma's "a.b[2].c" into "/a/b/2/c".
func pointer(location string) string {
	if location == "" {
		return ""
	}
	escaped := httpapi.EscapePointer(location)
	return "/" + strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(escaped)
}

// payloadFromQuery builds a payload out of query parameters, by the schema.
func payloadFromQuery(s *huma.Schema, query url.Values) ([]byte, Problems) {
	payload, wrong := httpapi.PayloadOf(query, func(name string) (httpapi.FieldKind, bool) {
		property := s.Properties[name]
		if property == nil {
			return httpapi.FieldKind{}, false
		}
		return kindOf(property), true
	})
	var problems Problems
	for _, one := range wrong {
		problems = append(problems, Problem(one))
	}
	return payload, problems
}

// kindOf is what a text has to know of a schema.
func kindOf(s *huma.Schema) httpapi.FieldKind {
	kind := httpapi.FieldKind{Type: s.Type, Format: s.Format}
	if s.Items != nil {
		kind.Items = &httpapi.FieldKind{Type: s.Items.Type, Format: s.Items.Format}
	}
	return kind
}
