package tasks

import "github.com/danielgtaylor/huma/v2"

// maxCompared is how often the values of a payload may be held against schemas,
// where a value has alternatives (oneOf, anyOf, allOf, not): each is tried, so a
// list of many values against many alternatives would take minutes. These take
// some tenths of a second.
const maxCompared = 250_000

// choices is the most schemas that one value within a payload is held against.
func choices(s *huma.Schema) int {
	if s == nil {
		return 1
	}
	n := choices(s.Items)
	if values, ok := s.AdditionalProperties.(*huma.Schema); ok {
		n = max(n, choices(values))
	}
	for _, property := range s.Properties {
		n = max(n, choices(property))
	}
	for _, list := range [][]*huma.Schema{s.OneOf, s.AnyOf, s.AllOf} {
		for _, one := range list {
			n += choices(one)
		}
	}
	if s.Not != nil {
		n += choices(s.Not)
	}
	return n
}

// values counts the values in a payload, those within others too.
func values(tree any) int {
	n := 1
	switch v := tree.(type) {
	case []any:
		for _, one := range v {
			n += values(one)
		}
	case map[string]any:
		for _, one := range v {
			n += values(one)
		}
	}
	return n
}
