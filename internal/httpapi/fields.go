package httpapi

import (
	"cmp"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
)

// A FieldKind is what a schema says of a value that is written as text.
type FieldKind struct {
	Type   string // as JSON Schema has it; "" = any
	Format string
	Items  *FieldKind // of a list
}

// UnmarshalJSON reads it out of a schema, where a type that may be null is a list of two.
func (k *FieldKind) UnmarshalJSON(text []byte) error {
	var schema struct {
		Type   any        `json:"type"`
		Format string     `json:"format"`
		Items  *FieldKind `json:"items"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		return err
	}
	*k = FieldKind{Format: schema.Format, Items: schema.Items}
	types, ok := schema.Type.([]any)
	if !ok {
		types = []any{schema.Type}
	}
	for _, one := range types {
		if name, ok := one.(string); ok && name != "null" {
			k.Type = name
		}
	}
	return nil
}

// Types of JSON Schema that a text is read by; FormatUint64 is the format of what needs all of an unsigned
// integer's range.
const (
	fieldText    = "string"
	fieldInteger = "integer"
	fieldNumber  = "number"
	fieldBoolean = "boolean"
	fieldList    = "array"
	fieldObject  = "object"

	FormatUint64 = "uint64"
)

// PayloadOf builds a payload out of named texts, as a query has them: one field a name, by what is known of
// it; a list takes a repeated name or commas. wrong is what can't be.
func PayloadOf(fields url.Values, known func(name string) (FieldKind, bool)) (payload []byte,
	wrong []Pointer) {
	members := map[string]any{}
	for name, values := range fields {
		kind, ok := known(name)
		if !ok {
			wrong = append(wrong, Pointer{Pointer: "/" + name, Detail: "unknown parameter"})
			continue
		}
		value, detail := kind.value(values)
		if detail != "" {
			wrong = append(wrong, Pointer{Pointer: "/" + name, Detail: detail})
			continue
		}
		members[name] = value
	}
	if wrong != nil {
		return nil, wrong
	}
	payload, err := json.Marshal(members)
	if err != nil {
		return nil, []Pointer{{Detail: "is not valid"}}
	}
	return payload, nil
}

// value reads the texts of one name; detail says what is wrong.
func (k FieldKind) value(texts []string) (value any, detail string) {
	if k.Type == fieldList && k.Items != nil {
		return k.list(texts)
	}
	if len(texts) > 1 {
		return nil, "given more than once"
	}
	value, ok := k.one(texts[0])
	if !ok {
		return nil, "expected " + k.name()
	}
	return value, ""
}

func (k FieldKind) list(texts []string) (value any, detail string) {
	detail = "expected a list of " + k.Items.name()
	if len(texts) == 1 && strings.HasPrefix(strings.TrimSpace(texts[0]), "[") { // all of it as JSON
		var list []any
		if json.Unmarshal([]byte(texts[0]), &list) != nil {
			return nil, detail
		}
		return json.RawMessage(texts[0]), ""
	}
	switch k.Items.Type {
	case "", fieldObject, fieldList: // have commas of their own
	default:
		texts = strings.Split(strings.Join(texts, ","), ",")
	}
	list := make([]any, 0, len(texts))
	for _, text := range texts {
		v, ok := k.Items.one(text)
		if !ok {
			return nil, detail
		}
		list = append(list, v)
	}
	return list, ""
}

// name is what is wanted, in words.
func (k FieldKind) name() string { return cmp.Or(k.Type, "JSON") }

// one reads one text.
func (k FieldKind) one(text string) (any, bool) {
	switch k.Type {
	case fieldText:
		return text, true
	case fieldInteger:
		if k.Format == FormatUint64 {
			n, err := strconv.ParseUint(text, 10, 64)
			return n, err == nil
		}
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil
	case fieldNumber:
		n, err := strconv.ParseFloat(text, 64)
		return n, err == nil
	case fieldBoolean:
		b, err := strconv.ParseBool(text)
		return b, err == nil
	default:
		return json.RawMessage(text), json.Valid([]byte(text)) // as it is: a number may have many digits
	}
}
