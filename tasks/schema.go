package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
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
}

var payloadTypes sync.Map // reflect.Type → *payloadType

func payloadTypeOf(t reflect.Type) *payloadType {
	if p, ok := payloadTypes.Load(t); ok {
		return p.(*payloadType)
	}
	p := &payloadType{schema: huma.SchemaFromType(registry, t)}
	p.schema.PrecomputeMessages()
	fields := map[string]any{}
	for name, property := range p.schema.Properties {
		if property.Default != nil {
			fields[name] = property.Default
		}
	}
	if len(fields) > 0 {
		text, err := json.Marshal(fields)
		if err != nil {
			panic(err) // huma parsed them from the tags
		}
		p.defaults = text
	}
	payloadTypes.Store(t, p)
	return p
}

// parseSchema reads a published schema: an object with named properties.
func parseSchema(text []byte) (*huma.Schema, error) {
	s := &huma.Schema{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if s.Type != huma.TypeObject {
		return nil, errors.New("schema: payload must be an object")
	}
	s.PrecomputeMessages()
	return s, nil
}

// validate checks a decoded payload against a schema.
func validate(s *huma.Schema, payload map[string]any) Problems {
	path := huma.NewPathBuffer(make([]byte, 0, 64), 0)
	res := &huma.ValidateResult{}
	huma.Validate(registry, s, path, huma.ModeWriteToServer, payload, res)
	var problems Problems
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
	escaped := strings.NewReplacer("~", "~0", "/", "~1").Replace(location)
	return "/" + strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(escaped)
}

// payloadFromQuery builds a payload out of query parameters: one field a name,
// by the schema's type; a list takes a repeated name or commas.
func payloadFromQuery(s *huma.Schema, query url.Values) ([]byte, Problems) {
	fields := map[string]any{}
	var problems Problems
	for name, values := range query {
		property := s.Properties[name]
		if property == nil {
			problems = append(problems, Problem{"/" + name, "unknown parameter"})
			continue
		}
		if property.Type == huma.TypeArray && property.Items != nil {
			list := []any{}
			for _, text := range strings.Split(strings.Join(values, ","), ",") {
				v, ok := fromText(property.Items, text)
				if !ok {
					problems = append(problems, Problem{"/" + name, "expected a list of " + property.Items.Type})
					break
				}
				list = append(list, v)
			}
			fields[name] = list
			continue
		}
		if len(values) > 1 {
			problems = append(problems, Problem{"/" + name, "given more than once"})
			continue
		}
		v, ok := fromText(property, values[0])
		if !ok {
			problems = append(problems, Problem{"/" + name, "expected " + property.Type})
			continue
		}
		fields[name] = v
	}
	if problems != nil {
		return nil, problems
	}
	payload, err := json.Marshal(fields)
	if err != nil {
		return nil, Problems{{"", "is not valid"}}
	}
	return payload, nil
}

func fromText(s *huma.Schema, text string) (any, bool) {
	switch s.Type {
	case huma.TypeString:
		return text, true
	case huma.TypeInteger:
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil
	case huma.TypeNumber:
		n, err := strconv.ParseFloat(text, 64)
		return n, err == nil
	case huma.TypeBoolean:
		b, err := strconv.ParseBool(text)
		return b, err == nil
	default:
		var v any
		err := json.Unmarshal([]byte(text), &v)
		return v, err == nil
	}
}
