package tasks

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
)

// hasSecrets reports whether a schema has a value that is written and never read: writeOnly.
func hasSecrets(s *huma.Schema) bool {
	if s == nil {
		return false
	}
	inner, _ := s.AdditionalProperties.(*huma.Schema)
	if s.WriteOnly || hasSecrets(s.Items) || hasSecrets(inner) {
		return true
	}
	for _, property := range s.Properties {
		if hasSecrets(property) {
			return true
		}
	}
	return slices.ContainsFunc(slices.Concat(s.AllOf, s.AnyOf, s.OneOf), hasSecrets)
}

// Secrets are JSON Pointers to the values of a checked payload that are sealed where jobs are kept, and shown
// to nobody: those that the type's schema says to be writeOnly.
func (c *Catalog) Secrets(typ string, payload []byte) []string {
	e, err := c.entry(typ)
	if err != nil || !e.secrets {
		return nil
	}
	var tree any
	if json.Unmarshal(payload, &tree) != nil {
		return nil // it was checked
	}
	found := map[string]bool{}
	findSecrets(e.schema, tree, "", found)
	all := slices.Sorted(maps.Keys(found))
	// What lies in a secret is sealed with it.
	return slices.DeleteFunc(slices.Clone(all), func(at string) bool {
		return slices.ContainsFunc(all, func(o string) bool { return strings.HasPrefix(at, o+"/") })
	})
}

func findSecrets(s *huma.Schema, value any, at string, found map[string]bool) {
	if s == nil {
		return
	}
	if s.WriteOnly && at != "" {
		found[at] = true
		return
	}
	switch v := value.(type) {
	case map[string]any:
		inner, _ := s.AdditionalProperties.(*huma.Schema)
		for name, one := range v {
			schema := s.Properties[name]
			if schema == nil {
				schema = inner
			}
			findSecrets(schema, one, at+"/"+httpapi.EscapePointer(name), found)
		}
	case []any:
		for i, one := range v {
			findSecrets(s.Items, one, at+"/"+strconv.Itoa(i), found)
		}
	}
	for _, one := range slices.Concat(s.AllOf, s.AnyOf, s.OneOf) {
		findSecrets(one, value, at, found)
	}
}
