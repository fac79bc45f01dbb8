package tasks

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"time"

	"longshore/internal/httpapi"
)

// plainInteger returns the digits of a number in JSON that is a whole one however
// it is written, 1e2 or 100.0; false for any other, and for one of more than 19 digits,
// which no integer of ours holds.
func plainInteger(literal string) (string, bool) {
	if !strings.ContainsAny(literal, ".eE") {
		return literal, true
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(literal), "e")
	// nothing here is to be computed at length
	if len(mantissa) > 40 || len(strings.TrimLeft(exponent, "+-0")) > 2 {
		return "", false
	}
	value, ok := new(big.Rat).SetString(literal)
	if !ok || !value.IsInt() || value.Num().BitLen() > 64 {
		return "", false
	}
	return value.Num().String(), true
}

// plainIntegers rewrites the whole numbers of a valid text of JSON as plainInteger
// does: encoding/json takes no other form for an integer.
func plainIntegers(text []byte) []byte {
	var plain []byte
	for i := 0; i < len(text); {
		from := i
		switch c := text[i]; {
		case c == '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			i++
		case c == '-' || c >= '0' && c <= '9':
			for i < len(text) && strings.IndexByte("+-.eE0123456789", text[i]) >= 0 {
				i++
			}
			if digits, ok := plainInteger(string(text[from:i])); ok {
				plain = append(plain, digits...)
				continue
			}
		default:
			i++
		}
		plain = append(plain, text[from:i]...)
	}
	return plain
}

// jsonType is what a value of Go is in JSON, in the words of a schema.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Slice, reflect.Array:
		return "array"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Struct, reflect.Map:
		return "object"
	default:
		return "integer"
	}
}

// decodeProblem says in the words of JSON what a decoder says in those of Go.
func decodeProblem(err error) error {
	var wrong *json.UnmarshalTypeError
	var when *time.ParseError
	var code base64.CorruptInputError
	switch {
	case errors.As(err, &wrong):
		pointer := ""
		if wrong.Field != "" {
			pointer = "/" + strings.ReplaceAll(httpapi.EscapePointer(wrong.Field), ".", "/")
		}
		detail := "expected " + jsonType(wrong.Type)
		if strings.HasPrefix(wrong.Value, "number ") && jsonType(wrong.Type) == "integer" &&
			!strings.Contains(wrong.Value, ".") {
			detail += " within its range"
		}
		return Problems{{pointer, detail}}
	case errors.As(err, &when):
		return Problems{{"", "expected a time as 2006-01-02T15:04:05Z (RFC 3339)"}}
	case errors.As(err, &code):
		return Problems{{"", "expected base64"}}
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		var plain string
		// Go quotes nearly as JSON does; else the payload is pointed at
		_ = json.Unmarshal([]byte(name), &plain)
		if plain != "" {
			return Problems{{"/" + httpapi.EscapePointer(plain), "unknown field"}}
		}
	}
	if strings.HasPrefix(err.Error(), "json: ") {
		return Problems{{"", "a value does not fit its field"}}
	}
	return err // of a type that reads itself: its author's words
}
