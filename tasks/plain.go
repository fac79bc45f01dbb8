package tasks

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// A plainCheck accepts the payloads of a type that are beyond doubt: one object
// without white space, of known members that are ASCII texts without escapes,
// whole numbers of at most 15 digits, or true and false. It reads them in one
// pass and makes nothing. Of any other payload it says nothing: the judgement
// of Catalog.Check is the one that counts, and the two must never differ.
type plainCheck struct {
	members  []plainMember
	required uint64 // a bit each
}

type plainMember struct {
	name     string
	kind     string // huma's; "" = only Catalog.Check knows
	positive bool   // of Go's unsigned kind

	min, max       *float64
	minLen, maxLen *int
	enum           []any
}

// What a schema may say for a plain check to hold. Anything else, what a later
// version of huma may add too, leaves the type or the member to Catalog.Check.
var (
	plainOfAll    = []string{"Type", "Title", "Description", "Default", "Examples", "Deprecated"}
	plainOfObject = append([]string{"Properties", "AdditionalProperties", "Required"}, plainOfAll...)
	plainOfText   = append([]string{"MinLength", "MaxLength", "Enum"}, plainOfAll...)
	plainOfNumber = append([]string{"Minimum", "Maximum", "Format"}, plainOfAll...)
)

// says reports whether a schema says nothing beside what these fields do.
func says(s *huma.Schema, fields []string) bool {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && !slices.Contains(fields, f.Name) && !v.Field(i).IsZero() {
			return false
		}
	}
	return true
}

// newPlainCheck returns the plain check of a type; nil if there is none.
func newPlainCheck(info Info, s *huma.Schema) *plainCheck {
	if info.check != nil && info.plain == nil || !says(s, plainOfObject) || len(s.Properties) > 64 {
		return nil
	}
	c := &plainCheck{}
	for name, property := range s.Properties {
		if slices.ContainsFunc(c.members, func(m plainMember) bool { return strings.EqualFold(m.name, name) }) {
			return nil // huma takes either for both
		}
		if slices.Contains(s.Required, name) {
			c.required |= 1 << len(c.members)
		}
		m := plainMember{name: name}
		switch kind, known := info.plain[name]; {
		case info.plain != nil && !known:
		case property.Type == huma.TypeString && says(property, plainOfText),
			property.Type == huma.TypeBoolean && says(property, plainOfAll),
			(property.Type == huma.TypeInteger || property.Type == huma.TypeNumber) && says(property, plainOfNumber):
			m = plainMember{name: name, kind: property.Type, positive: kind == reflect.Uint64 || unsigned(property), enum: property.Enum,
				min: property.Minimum, max: property.Maximum, minLen: property.MinLength, maxLen: property.MaxLength}
		}
		c.members = append(c.members, m)
	}
	for _, name := range s.Required {
		if s.Properties[name] == nil {
			return nil
		}
	}
	return c
}

// plainFields returns the fields of a struct that any plain member fits that
// fits the schema; nil if the type has ideas of its own.
func plainFields(t reflect.Type) map[string]reflect.Kind {
	if t.Kind() != reflect.Struct || decodesItself(t) {
		return nil
	}
	fields := map[string]reflect.Kind{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous {
			return nil
		}
		if !f.IsExported() || name == "" || name == "-" || strings.Contains(options, "string") || decodesItself(f.Type) {
			continue
		}
		switch f.Type.Kind() {
		case reflect.Int64, reflect.Uint64, reflect.Float64, reflect.String, reflect.Bool:
			fields[name] = f.Type.Kind()
		case reflect.Int:
			if f.Type.Bits() == 64 {
				fields[name] = reflect.Int64
			}
		}
	}
	return fields
}

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// accepts reports whether a payload fits beyond doubt.
func (c *plainCheck) accepts(text []byte) bool {
	if c == nil || len(text) < 2 || text[0] != '{' {
		return false
	}
	if len(text) == 2 {
		return text[1] == '}' && c.required == 0
	}
	seen, rest := uint64(0), text
	for rest[0] == '{' || rest[0] == ',' {
		name, after, ok := plainText(rest[1:])
		if !ok || len(after) < 2 || after[0] != ':' {
			return false
		}
		i := slices.IndexFunc(c.members, func(m plainMember) bool { return m.name == string(name) })
		if i < 0 || seen&(1<<i) != 0 {
			return false
		}
		seen |= 1 << i
		if rest, ok = c.members[i].accepts(after[1:]); !ok || len(rest) == 0 || rest[0] == '{' {
			return false
		}
	}
	return len(rest) == 1 && rest[0] == '}' && seen&c.required == c.required
}

// accepts takes a member's value off a text that is not empty.
func (m *plainMember) accepts(text []byte) (rest []byte, ok bool) {
	switch m.kind {
	case huma.TypeString:
		value, rest, ok := plainText(text)
		if !ok || m.minLen != nil && len(value) < *m.minLen || m.maxLen != nil && len(value) > *m.maxLen {
			return nil, false
		}
		return rest, len(m.enum) == 0 || slices.ContainsFunc(m.enum, func(e any) bool { s, ok := e.(string); return ok && s == string(value) })
	case huma.TypeInteger, huma.TypeNumber:
		n, rest, ok := plainNumber(text)
		if !ok || m.positive && text[0] == '-' || m.min != nil && float64(n) < *m.min || m.max != nil && float64(n) > *m.max {
			return nil, false
		}
		return rest, true
	case huma.TypeBoolean:
		for _, word := range [...]string{"true", "false"} {
			if len(text) >= len(word) && string(text[:len(word)]) == word {
				return text[len(word):], true
			}
		}
	}
	return nil, false
}

// plainText takes a quoted text off that is ASCII and has no escapes.
func plainText(text []byte) (value, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '"' {
		return nil, nil, false
	}
	for i, c := range text[1:] {
		switch {
		case c == '"':
			return text[1 : i+1], text[i+2:], true
		case c < ' ' || c >= 0x7f || c == '\\':
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// plainNumber takes a whole number of at most 15 digits off, which is exact in
// each of Go's kinds of 64 bits.
func plainNumber(text []byte) (n int64, rest []byte, ok bool) {
	i, sign := 0, int64(1)
	if text[0] == '-' {
		i, sign = 1, -1
	}
	begin := i
	for i < len(text) && text[i] >= '0' && text[i] <= '9' {
		if n = n*10 + int64(text[i]-'0'); i-begin == 15 {
			return 0, nil, false
		}
		i++
	}
	if i == begin || text[begin] == '0' && i > begin+1 || i < len(text) && (text[i] == '.' || text[i] == 'e' || text[i] == 'E') {
		return 0, nil, false
	}
	return sign * n, text[i:], true
}
