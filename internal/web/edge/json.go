package edge

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/strictjson"
)

// JSONBody describes a body by the type that it is read into.
func JSONBody[T any]() *huma.RequestBody {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	schema := huma.SchemaFromType(registry, reflect.TypeFor[T]())
	return &huma.RequestBody{Content: map[string]*huma.MediaType{
		httpapi.TypeJSON: {Schema: inline(schema, registry)}}}
}

// inline puts the schemas that others name in their place.
func inline(s *huma.Schema, registry huma.Registry) *huma.Schema {
	if s.Ref != "" {
		s = registry.SchemaFromRef(s.Ref)
	}
	for name, p := range s.Properties {
		s.Properties[name] = inline(p, registry)
	}
	if s.Items != nil {
		s.Items = inline(s.Items, registry)
	}
	return s
}

// OptionalJSON is DecodeJSON of a request's body, which may be left out.
func OptionalJSON[T any](a *Answer, to *T) error {
	if len(a.JSON) == 0 {
		return nil
	}
	return DecodeJSON(a.JSON, to)
}

// DecodeJSON reads an object into a struct, strictly: a name that the struct doesn't have,
// exactly as it is written, is refused.
func DecodeJSON[T any](text []byte, to *T) error {
	if err := checkNames(text, reflect.TypeFor[T](), ""); err != nil {
		return err
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(to); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return httpapi.InvalidAt("/"+strings.ReplaceAll(wrong.Field, ".", "/"),
				"expected "+kindName(wrong.Type))
		}
		return httpapi.InvalidAt("", "a value has another form than is expected").Wrap(err)
	}
	return nil
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		return "array"
	}
	return "object"
}

// checkNames refuses members that a struct lacks. encoding/json would take Name for name.
func checkNames(text []byte, t reflect.Type, at string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	err := strictjson.Fields(text, func(name, value []byte) error {
		for i := range t.NumField() {
			tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if tag != string(name) {
				continue
			}
			inner := t.Field(i).Type
			if inner.Kind() == reflect.Pointer && inner.Elem().Kind() == reflect.Struct &&
				bytes.HasPrefix(value, []byte("{")) &&
				inner.Elem().PkgPath() != "time" {
				return checkNames(value, inner, at+"/"+tag)
			}
			return nil
		}
		return httpapi.InvalidAt(at+"/"+httpapi.EscapePointer(
			strings.ToValidUTF8(string(name[:min(len(name), 64)]), "")), "unknown field")
	})
	var said *httpapi.Error
	switch {
	case errors.As(err, &said):
		return said
	case errors.Is(err, strictjson.ErrNoObject):
		return httpapi.InvalidAt(at, err.Error())
	case err != nil:
		return httpapi.NewError(httpapi.Invalid, err.Error()).WithStatus(http.StatusBadRequest)
	}
	return nil
}
