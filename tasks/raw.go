package tasks

import (
	"bytes"

	"github.com/danielgtaylor/huma/v2"
)

// Raw is the payload of a type that says nothing about it: any JSON object, which the handler reads itself.
type Raw struct{ text []byte }

// Bytes is the object's text, without blanks between its tokens.
func (r Raw) Bytes() []byte { return r.text }

// UnmarshalJSON keeps the text.
func (r *Raw) UnmarshalJSON(text []byte) error {
	r.text = bytes.Clone(text)
	return nil
}

// MarshalJSON returns the text; {} if there is none.
func (r Raw) MarshalJSON() ([]byte, error) {
	if r.text == nil {
		return []byte("{}"), nil
	}
	return r.text, nil
}

// Schema is that of any object: huma.SchemaProvider.
func (Raw) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}
