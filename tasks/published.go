package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/stream"
	"longshore/internal/strictjson"
)

// parseSchema reads a published schema: an object with named properties. Whoever
// wrote it may be of another version, or mean ill.
func parseSchema(text []byte) (s *huma.Schema, err error) {
	defer func() {
		if p := recover(); p != nil { // huma's, at a pattern that is none
			s, err = nil, fmt.Errorf("schema: %v", p)
		}
	}()
	if err := checkSchema(text); err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if s, err = schemaOf(tree, 0); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if s.Type != huma.TypeObject {
		return nil, errors.New("schema: payload must be an object")
	}
	s.PrecomputeMessages()
	return s, nil
}

// schemaOf builds a schema out of its JSON. huma writes some of it in a way that it
// doesn't read: a type that may be null as a list of two, and what the
// values of a map are like in a member that may be a flag too.
func schemaOf(tree any, depth int) (*huma.Schema, error) {
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, errors.New("a schema must be an object")
	}
	if depth > strictjson.MaxDepth {
		return nil, fmt.Errorf("nested deeper than %d", strictjson.MaxDepth)
	}
	inner := map[string]*huma.Schema{} // by member, of those with one schema
	for _, member := range []string{"items", "not", "additionalProperties"} {
		if value, ok := object[member].(map[string]any); ok {
			one, err := schemaOf(value, depth+1)
			if err != nil {
				return nil, err
			}
			inner[member] = one
			delete(object, member)
		}
	}
	lists := map[string][]*huma.Schema{}
	for _, member := range []string{"oneOf", "anyOf", "allOf"} {
		values, _ := object[member].([]any)
		for _, value := range values {
			one, err := schemaOf(value, depth+1)
			if err != nil {
				return nil, err
			}
			lists[member] = append(lists[member], one)
		}
		delete(object, member)
	}
	properties, _ := object["properties"].(map[string]any)
	delete(object, "properties")
	nullable := false
	if types, ok := object["type"].([]any); ok {
		var only any
		for _, one := range types {
			if one == "null" {
				nullable = true
			} else if only != nil {
				return nil, fmt.Errorf("a value may be of one type, and null, not of %v", types)
			} else {
				only = one
			}
		}
		object["type"] = only
	}
	rest, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	s := &huma.Schema{}
	if err := json.Unmarshal(rest, s); err != nil {
		return nil, err
	}
	if _, ref := object["$ref"]; ref {
		return nil, errors.New("a schema must stand alone")
	}
	if s.Format == "regex" {
		s.Format = formatPattern
	}
	s.Nullable = nullable
	s.Items, s.Not, s.OneOf, s.AnyOf, s.AllOf = inner["items"], inner["not"], lists["oneOf"], lists["anyOf"],
		lists["allOf"]
	if values := inner["additionalProperties"]; values != nil {
		values.PrecomputeMessages() // huma doesn't get there by itself
		s.AdditionalProperties = values
	}
	for name, value := range properties {
		one, err := schemaOf(value, depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if s.Properties == nil {
			s.Properties = map[string]*huma.Schema{}
		}
		s.Properties[name] = one
	}
	return s, nil
}

// formatPattern stands for the format regex, of which huma would compile whatever
// a payload says: see walker.
const formatPattern = "longshore-pattern"

// validateMore finds what huma lets pass, or would take much of the process to
// find: integers that are beyond 64 bits (a number is a float64 to it), and
// patterns, of all payloads' length a program of gigabytes.
func validateMore(s *huma.Schema, payload []byte) Problems {
	if !hasMore(s) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	var tree any
	if dec.Decode(&tree) != nil {
		return nil // somebody else says so
	}
	var w walker
	w.walk(s, tree, "")
	return w.problems
}

// hasMore reports whether integers or patterns may stand anywhere in a value.
func hasMore(s *huma.Schema) bool {
	if s == nil {
		return false
	}
	if s.Type == huma.TypeInteger || s.Format == formatPattern || hasMore(s.Items) {
		return true
	}
	if values, ok := s.AdditionalProperties.(*huma.Schema); ok && hasMore(values) {
		return true
	}
	for _, property := range s.Properties {
		if hasMore(property) {
			return true
		}
	}
	return false
}

// unsigned reports whether a schema's numbers have no sign.
func unsigned(s *huma.Schema) bool {
	return s.Format == httpapi.FormatUint64 ||
		s.Type == huma.TypeInteger && s.Minimum != nil && *s.Minimum >= 0
}

// A walker goes through one payload.
type walker struct {
	problems Problems
	patterns stream.PatternJudge
}

func (w *walker) walk(s *huma.Schema, tree any, at string) {
	if s == nil {
		return
	}
	switch v := tree.(type) {
	case json.Number:
		if s.Type != huma.TypeInteger {
			return
		}
		digits, ok := plainInteger(v.String())
		_, err := strconv.ParseInt(digits, 10, 64)
		if s.Format == httpapi.FormatUint64 {
			_, err = strconv.ParseUint(digits, 10, 64)
		}
		if !ok || err != nil || unsigned(s) && digits[0] == '-' { // -0 is none to Go
			w.problems = append(w.problems, Problem{at, "expected integer of 64 bits"})
		}
	case string:
		if s.Format != formatPattern {
			return
		}
		if err := w.patterns.Judge(v); err != nil {
			w.problems = append(w.problems, Problem{at, "pattern " + explainPattern(err)})
		}
	case []any:
		for i, one := range v {
			w.walk(s.Items, one, at+"/"+strconv.Itoa(i))
		}
	case map[string]any:
		values, _ := s.AdditionalProperties.(*huma.Schema)
		for name, one := range v {
			property := s.Properties[name]
			if property == nil {
				property = values
			}
			w.walk(property, one, at+"/"+httpapi.EscapePointer(name))
		}
	}
}
