package tasks

import (
	"encoding"
	"encoding/json"
	"errors"
	"math/bits"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/strictjson"
)

// A simpleCheck accepts the payloads of a type that are beyond doubt, in the pass that
// makes sure that they are strict JSON: known members, each an ASCII text without
// escapes, a whole number of at most 15 digits, or true and false. Nearly all payloads
// are, and holding one against a schema costs a hundred times as much. Of any other
// payload it says nothing: the judgement of entry.check is the one that counts, and
// the two must never differ.
type simpleCheck struct {
	members  []simpleMember
	required uint64 // a bit each
}

type simpleMember struct {
	name     string
	kind     string // huma's; "" = only entry.check knows
	unsigned bool   // of Go's unsigned kind

	min, max       *float64
	minLen, maxLen *int
	enum           []any
}

// errNotSimple says that a payload is not beyond doubt.
var errNotSimple = errors.New("not a simple payload")

// check returns nil of a payload that fits the type beyond doubt, and otherwise
// errNotSimple or what strictjson says of the text.
func (c *simpleCheck) check(payload []byte) error {
	if c == nil {
		return errNotSimple
	}
	missing := c.required
	err := strictjson.Fields(payload, func(name, value []byte) error {
		for i := range c.members {
			if m := &c.members[i]; m.name == string(name) && m.accepts(value) {
				missing &^= 1 << i
				return nil
			}
		}
		return errNotSimple
	})
	if err == nil && missing != 0 {
		return errNotSimple
	}
	return err
}

// accepts reports whether a value is simple and fits its member.
func (m *simpleMember) accepts(value []byte) bool {
	switch m.kind {
	case huma.TypeString:
		text, ok := simpleText(value)
		if !ok || m.minLen != nil && len(text) < *m.minLen || m.maxLen != nil && len(text) > *m.maxLen {
			return false
		}
		return len(m.enum) == 0 || slices.ContainsFunc(m.enum, func(e any) bool {
			s, ok := e.(string)
			return ok && s == string(text)
		})
	case huma.TypeInteger, huma.TypeNumber:
		n, ok := simpleNumber(value)
		return ok && !(m.unsigned && value[0] == '-') &&
			(m.min == nil || float64(n) >= *m.min) && (m.max == nil || float64(n) <= *m.max)
	case huma.TypeBoolean:
		return value[0] == 't' || value[0] == 'f'
	}
	return false
}

// simpleText returns what a text says that is ASCII and has no escapes.
func simpleText(value []byte) (text []byte, ok bool) {
	if value[0] != '"' {
		return nil, false
	}
	text = value[1 : len(value)-1]
	return text, !slices.ContainsFunc(text, func(c byte) bool { return c >= 0x7f || c == '\\' })
}

// simpleNumber reads a whole number of at most 15 digits, which is exact in each of
// Go's kinds of 64 bits.
func simpleNumber(value []byte) (n int64, ok bool) {
	if len(value) > len("-123456789012345") || value[0] != '-' && len(value) > 15 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(value), 10, 64) // no fraction, no exponent, no text
	return n, err == nil
}

// What a schema may say for a simple check to hold. Anything else, what a later
// version of huma may add too, leaves the type or the member to entry.check.
var (
	simpleOfAll    = []string{"Type", "Title", "Description", "Default", "Examples", "Deprecated"}
	simpleOfObject = append([]string{"Properties", "AdditionalProperties", "Required"}, simpleOfAll...)
	simpleOfText   = append([]string{"MinLength", "MaxLength", "Enum"}, simpleOfAll...)
	simpleOfNumber = append([]string{"Minimum", "Maximum", "Format"}, simpleOfAll...)
)

// says reports whether a schema says nothing beside what these fields do.
func says(s *huma.Schema, fields []string) bool {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.IsExported() && !slices.Contains(fields, f.Name) && !v.Field(i).IsZero() {
			return false
		}
	}
	return true
}

// newSimpleCheck returns the simple check of a type; nil if there is none.
func newSimpleCheck(info Info, s *huma.Schema) *simpleCheck {
	if info.check != nil && info.simple == nil || !says(s, simpleOfObject) ||
		len(s.Properties) > bits.UintSize {
		return nil
	}
	c := &simpleCheck{}
	for name, property := range s.Properties {
		if slices.ContainsFunc(c.members, func(m simpleMember) bool {
			return strings.EqualFold(m.name, name)
		}) {
			return nil // huma takes either for both
		}
		if slices.Contains(s.Required, name) {
			c.required |= 1 << len(c.members)
		}
		c.members = append(c.members, newSimpleMember(info, name, property))
	}
	for _, name := range s.Required {
		if s.Properties[name] == nil {
			return nil
		}
	}
	return c
}

func newSimpleMember(info Info, name string, s *huma.Schema) simpleMember {
	kind, known := info.simple[name]
	switch {
	case info.simple != nil && !known:
	case s.Type == huma.TypeString && says(s, simpleOfText),
		s.Type == huma.TypeBoolean && says(s, simpleOfAll),
		(s.Type == huma.TypeInteger || s.Type == huma.TypeNumber) && says(s, simpleOfNumber):
		return simpleMember{name: name, kind: s.Type, unsigned: kind == reflect.Uint64 || unsigned(s),
			enum: s.Enum, min: s.Minimum, max: s.Maximum, minLen: s.MinLength, maxLen: s.MaxLength}
	}
	return simpleMember{name: name}
}

// simpleFields returns the fields of a struct that any simple member fits that fits
// the schema; nil if the type has ideas of its own.
func simpleFields(t reflect.Type) map[string]reflect.Kind {
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
		if !f.IsExported() || name == "" || name == "-" || strings.Contains(options, "string") {
			continue
		}
		if decodesItself(f.Type) {
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
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
