package web_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"longshore/internal/web"
	"longshore/job"
)

var update = flag.Bool("update", false, "write the TypeScript client's types anew")

const schemaTS = "../../clients/typescript/src/schema.ts"

// TestTypeScriptSchema holds that the TypeScript client's types are those of /openapi.json. After a change of
// the API: go test ./internal/web -run TypeScriptSchema -update.
func TestTypeScriptSchema(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Gate = newGate(t, "") })
	var doc struct {
		Components struct{ Schemas map[string]*tsSchema }
	}
	if err := json.Unmarshal([]byte(b.do("GET", "/openapi.json", "").body), &doc); err != nil {
		t.Fatal(err)
	}
	enums := doc.Components.Schemas["Snapshot"].Properties
	for name, want := range map[string]string{"state": words(job.States), "lane": words(job.Lanes),
		"priority": words(job.Priorities)} {
		if got := words(enums[name].Enum); got != want {
			t.Errorf("%s is one of %s, want %s", name, got, want)
		}
	}
	var out bytes.Buffer
	out.WriteString("// Written from /openapi.json: go test ./internal/web -run TypeScriptSchema -update\n")
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		s := doc.Components.Schemas[name]
		if s.Properties == nil {
			fmt.Fprintf(&out, "\nexport type %s = %s\n", name, s.ts("  "))
			continue
		}
		fmt.Fprintf(&out, "\nexport interface %s %s\n", name, s.ts("  "))
	}
	if *update {
		if err := os.WriteFile(schemaTS, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there, err := os.ReadFile(schemaTS)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(there, out.Bytes()) {
		t.Errorf("%s is not what /openapi.json says: run this test with -update, then make ui", schemaTS)
	}
}

// words are the values of an enumeration, sorted.
func words[T any](values []T) string {
	var texts []string
	for _, v := range values {
		texts = append(texts, fmt.Sprint(v))
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

// A tsSchema is what of a JSON Schema a type can say.
type tsSchema struct {
	Ref         string   `json:"$ref"`
	Type        any      `json:"type"`
	Enum        []any    `json:"enum"`
	Required    []string `json:"required"`
	Description string   `json:"description"`
	Properties  map[string]*tsSchema
	Items       *tsSchema
	Additional  any         `json:"additionalProperties"`
	AnyOf       []*tsSchema `json:"anyOf"`
	OneOf       []*tsSchema `json:"oneOf"`
}

// ts writes a schema as a type; indent is of its members.
func (s *tsSchema) ts(indent string) string {
	switch {
	case s.Ref != "":
		return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
	case s.Enum != nil:
		words := make([]string, len(s.Enum))
		for i, word := range s.Enum {
			text, _ := json.Marshal(word) // it was read as JSON
			words[i] = strings.ReplaceAll(string(text), `"`, "'")
		}
		return strings.Join(words, " | ")
	case len(s.AnyOf)+len(s.OneOf) > 0:
		var some []string
		for _, one := range append(s.AnyOf, s.OneOf...) {
			some = append(some, one.ts(indent))
		}
		return strings.Join(some, " | ")
	}
	var types []string
	names, many := s.Type.([]any)
	if !many {
		names = []any{s.Type}
	}
	for _, name := range names {
		types = append(types, s.one(name, indent))
	}
	return strings.Join(types, " | ")
}

// one is the type that a name means.
func (s *tsSchema) one(name any, indent string) string {
	switch name {
	case "integer", "number":
		return "number"
	case "string", "boolean", "null":
		return name.(string)
	case "array":
		inner := s.Items.ts(indent)
		if strings.Contains(inner, " | ") {
			inner = "(" + inner + ")"
		}
		return inner + "[]"
	case "object":
		return s.object(indent)
	}
	return "unknown"
}

func (s *tsSchema) object(indent string) string {
	if s.Properties == nil {
		if more, ok := s.Additional.(map[string]any); ok {
			var of tsSchema
			text, _ := json.Marshal(more) // it was read as JSON
			if json.Unmarshal(text, &of) == nil {
				return "Record<string, " + of.ts(indent) + ">"
			}
		}
		return "Record<string, unknown>"
	}
	var b strings.Builder
	b.WriteString("{\n")
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		of, optional := s.Properties[name], "?"
		if slices.Contains(s.Required, name) {
			optional = ""
		}
		if of.Description != "" {
			fmt.Fprintf(&b, "%s/** %s */\n", indent, strings.ReplaceAll(of.Description, "*/", "* /"))
		}
		fmt.Fprintf(&b, "%s%s%s: %s\n", indent, name, optional, cmp.Or(of.ts(indent+"  "), "unknown"))
	}
	b.WriteString(strings.TrimSuffix(indent, "  ") + "}")
	return b.String()
}
