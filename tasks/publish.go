package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"longshore/internal/stream"
)

// Limits of definitions that workers have published. They come from Redis, and
// so from anybody who may write there.
const (
	MaxPublished  = 200      // definitions
	MaxDefinition = 64 << 10 // bytes of one

	maxSchemaDepth = 32
)

// A Refusal says why a published definition is not used.
type Refusal struct{ Type, Reason string }

// Refused returns the published definitions that are not used, sorted by type.
func (c *Catalog) Refused() []Refusal {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var all []Refusal
	for _, name := range slices.Sorted(maps.Keys(c.refused)) {
		all = append(all, Refusal{clip(name), c.refused[name]})
	}
	return all
}

// Publish makes the catalog have these definitions beside those known from Go
// code: by type, the JSON of an Info. One that was there is not read again, one
// that isn't there any more goes. One that can't be used hides no other: it is
// listed by Refused, and those refused now are in the error.
func (c *Catalog) Publish(definitions map[string]string) error {
	c.publishing.Lock()
	defer c.publishing.Unlock()
	bodies, refused := map[string]string{}, map[string]string{}
	var errs []error
	for i, name := range slices.Sorted(maps.Keys(definitions)) {
		body := definitions[name]
		reason, known := c.refused[name]
		if old, there := c.bodies[name]; !there || old != body || i >= MaxPublished {
			var err error
			if reason, known = "", false; i >= MaxPublished {
				err = fmt.Errorf("more than %d types are published", MaxPublished)
			} else {
				err = c.addPublished(name, body)
			}
			if err != nil {
				reason = clip(err.Error())
			}
		}
		bodies[name] = body
		if reason != "" {
			refused[name] = reason
			if !known {
				errs = append(errs, fmt.Errorf("published type %.100q is refused: %s", name, reason))
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, e := range c.types {
		if _, there := bodies[name]; e.info.check == nil && c.bodies[name] != "" &&
			(!there || refused[name] != "") {
			delete(c.types, name)
		}
	}
	c.bodies, c.refused = bodies, refused
	return errors.Join(errs...)
}

// clip keeps a hostile definition from filling a list of what was wrong.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 300)], "") }

// addPublished adds a definition. What its schema makes the library do that
// checks payloads must not end the program.
func (c *Catalog) addPublished(name, body string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("schema can't be used")
		}
	}()
	if body == "" || len(body) > MaxDefinition {
		return fmt.Errorf("definition is empty, or over %d bytes", MaxDefinition)
	}
	var info Info
	if err := json.Unmarshal([]byte(body), &info); err != nil || info.Type != name {
		return errors.New("definition can't be read")
	}
	return c.Add(info)
}

// checkSchema refuses what the library that checks payloads can't bear, or what
// would take much of the process: patterns are compiled once for each process.
func checkSchema(text []byte) error {
	if len(text) > MaxDefinition {
		return fmt.Errorf("schema is over %d bytes", MaxDefinition)
	}
	var schema any
	if err := json.Unmarshal(text, &schema); err != nil {
		return errors.New("schema is not JSON")
	}
	return (&schemaJudge{}).schema(schema, 0)
}

type schemaJudge struct{ patterns stream.PatternJudge }

func (j *schemaJudge) schema(v any, depth int) error {
	fields, ok := v.(map[string]any)
	switch {
	case !ok:
		return errors.New("schema has something else where a schema belongs")
	case depth > maxSchemaDepth:
		return fmt.Errorf("schema is nested over %d deep", maxSchemaDepth)
	}
	for name, value := range fields {
		var err error
		switch name {
		case "$ref", "discriminator":
			err = fmt.Errorf("schema has %s, which nothing here follows", name)
		case "pattern":
			err = j.pattern(value)
		case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas":
			err = j.named(name, value, depth)
		case "oneOf", "anyOf", "allOf", "prefixItems":
			list, ok := value.([]any)
			if !ok {
				return fmt.Errorf("schema's %s is no list", name)
			}
			for _, one := range list {
				err = errors.Join(err, j.schema(one, depth+1))
			}
		case "additionalProperties":
			if _, ok := value.(bool); !ok {
				err = j.schema(value, depth+1)
			}
		case "items", "not", "contains", "if", "then", "else", "propertyNames":
			err = j.schema(value, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (j *schemaJudge) named(name string, value any, depth int) error {
	schemas, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("schema's %s is no object", name)
	}
	for key, one := range schemas {
		if name == "patternProperties" {
			if err := j.pattern(key); err != nil {
				return err
			}
		}
		if err := j.schema(one, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (j *schemaJudge) pattern(v any) error {
	pattern, ok := v.(string)
	if !ok {
		return errors.New("schema's pattern is no text")
	}
	if err := j.patterns.Judge(pattern); err != nil {
		return fmt.Errorf("schema's pattern: %w", err)
	}
	if j.patterns.Size() > stream.MaxPattern {
		return errors.New("schema's patterns are too large together")
	}
	return nil
}
