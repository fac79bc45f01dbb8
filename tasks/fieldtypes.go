package tasks

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
)

// What a payload's Go type may have in it: docs/handlers.md has the table. A field is
// refused when the definition is registered if the schema made of it would say
// something else than encoding/json does, or if there is none.

// itself are types that read JSON by themselves, in the way that their schema says.
var itself = []reflect.Type{reflect.TypeFor[time.Time](), reflect.TypeFor[json.RawMessage]()}

// checkPayload lists what is wrong with a payload's type.
func checkPayload(t reflect.Type) error {
	if t.Kind() != reflect.Struct {
		return fmt.Errorf("payload must be an object: a struct, and not %v", t)
	}
	var c typeCheck
	c.walk(t, "payload", nil)
	return errors.Join(c.errs...)
}

type typeCheck struct{ errs []error }

func (c *typeCheck) bad(where, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s: "+format, append([]any{where}, args...)...))
}

// walk checks one type; within are the structs that it stands in.
func (c *typeCheck) walk(t reflect.Type, where string, within []reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	pointer := reflect.PointerTo(t)
	for _, known := range itself {
		if t == known {
			return
		}
	}
	switch {
	case pointer.Implements(reflect.TypeFor[huma.SchemaProvider]()):
		return
	case pointer.Implements(reflect.TypeFor[json.Unmarshaler]()):
		c.bad(where,
			"%v reads its JSON by itself, so its schema isn't known; use a plain type, json.RawMessage, or give it a method "+
				"Schema (huma.SchemaProvider)", t)
		return
	case pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return // a text
	case t == reflect.TypeFor[url.URL]():
		c.bad(where, "url.URL is a text to the schema and an object to JSON; use string and url.Parse")
		return
	case t == reflect.TypeFor[json.Number]():
		c.bad(where,
			"json.Number is a text to the schema and a number to JSON; use float64, int64 or json.RawMessage")
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		for _, outer := range within {
			if outer == t {
				c.bad(where, "%v stands in itself; use json.RawMessage for the inner one", t)
				return
			}
		}
		c.fields(t, where, append(within[:len(within):len(within)], t))
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			c.walk(t.Elem(), where+"[]", within)
		}
	case reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			c.bad(where, "%v is a text to the schema and a list to JSON; use []byte", t)
			return
		}
		c.walk(t.Elem(), where+"[]", within)
	case reflect.Map:
		if key := t.Key(); key.Kind() != reflect.String ||
			reflect.PointerTo(key).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			c.bad(where, "the keys of %v are no plain texts; use map[string]…", t)
		}
		c.walk(t.Elem(), where+"{}", within)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			c.bad(where,
				"JSON can't be read into %v, an interface with methods; use a struct or json.RawMessage", t)
		}
	case reflect.Func, reflect.Chan, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer,
		reflect.Uintptr:
		c.bad(where, "%v has no form in JSON; leave it out with the tag json:\"-\"", t)
	}
}

// fields checks a struct's, those of embedded ones as if they were its own.
func (c *typeCheck) fields(t reflect.Type, where string, within []reflect.Type) {
	goNames, names := map[string]bool{}, map[string]bool{}
	var add func(reflect.Type, []reflect.Type)
	add = func(t reflect.Type, within []reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			at := where + "." + f.Name
			if name == "-" {
				continue
			}
			if f.Anonymous && name == "" {
				c.embedded(f, at, within, add)
				continue
			}
			if !f.IsExported() {
				continue
			}
			if name == "" {
				name = f.Name
			}
			if goNames[f.Name] || names[name] {
				c.bad(at,
					"there are two fields of this name, or with %q in JSON, here and in an embedded struct", name)
				continue
			}
			goNames[f.Name], names[name] = true, true
			if strings.Contains(","+options+",", ",string,") {
				c.bad(at, "the option \",string\" of its json tag is not in the schema; leave it out")
			}
			c.defaultTag(f, at)
			c.walk(f.Type, at, within)
		}
	}
	add(t, within)
}

func (c *typeCheck) embedded(f reflect.StructField, at string, within []reflect.Type,
	add func(reflect.Type, []reflect.Type)) {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() != reflect.Struct:
		if f.IsExported() {
			c.bad(at, "an embedded %v needs a name: give it a json tag", f.Type)
		}
	case !f.IsExported():
		c.bad(at,
			"the embedded struct's type is not exported, so the schema leaves its fields out; export it, or name the field")
	default:
		for _, outer := range within {
			if outer == t {
				c.bad(at, "%v stands in itself", t)
				return
			}
		}
		add(t, append(within[:len(within):len(within)], t))
	}
}

// defaultTag refuses defaults that a payload's value would be mixed with.
func (c *typeCheck) defaultTag(f reflect.StructField, at string) {
	if _, ok := f.Tag.Lookup("default"); !ok {
		return
	}
	t := f.Type
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	simple := func(t reflect.Type) bool {
		switch t.Kind() {
		case reflect.Map, reflect.Struct, reflect.Interface, reflect.Slice, reflect.Array:
			return t == reflect.TypeFor[time.Time]() || t == reflect.TypeFor[json.RawMessage]()
		}
		return true
	}
	if t.Kind() == reflect.Slice && simple(t.Elem()) || simple(t) {
		return
	}
	c.bad(at, "a default can't be given to %v; put it on the fields of a struct, or look in the handler",
		f.Type)
}

// narrow gives a schema's numbers the bounds of their Go kinds.
func narrow(s *huma.Schema, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s == nil || reflect.PointerTo(t).Implements(reflect.TypeFor[huma.SchemaProvider]()) ||
		reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return
	}
	bound := func(low, high float64) {
		if s.Minimum == nil || *s.Minimum < low {
			s.Minimum = &low
		}
		if s.Maximum == nil || *s.Maximum > high {
			s.Maximum = &high
		}
	}
	switch t.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32:
		half := math.Exp2(float64(t.Bits() - 1))
		bound(-half, half-1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		bound(0, math.Exp2(float64(t.Bits()))-1)
	case reflect.Uint, reflect.Uint64:
		s.Format = httpapi.FormatUint64
	case reflect.Float32:
		bound(-math.MaxFloat32, math.MaxFloat32)
	case reflect.Slice, reflect.Array:
		narrow(s.Items, t.Elem())
	case reflect.Map:
		inner, _ := s.AdditionalProperties.(*huma.Schema)
		narrow(inner, t.Elem())
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous && name == "" {
				continue
			}
			if name == "" {
				name = f.Name
			}
			if p := s.Properties[name]; p != nil && f.Tag.Get("secret") == "true" {
				p.WriteOnly = true
			}
			narrow(s.Properties[name], f.Type)
		}
	}
}

// defaultsOf are the values of an object's fields that have a default, those of
// structs in it too.
func defaultsOf(s *huma.Schema, t reflect.Type) map[string]any {
	fields := map[string]any{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		property := s.Properties[name]
		switch {
		case property == nil:
		case property.Default != nil:
			fields[name] = property.Default
		case f.Type.Kind() == reflect.Struct && property.Type == huma.TypeObject:
			if inner := defaultsOf(property, f.Type); len(inner) > 0 {
				fields[name] = inner
			}
		}
	}
	return fields
}
