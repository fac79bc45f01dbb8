package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// ErrJSON says that a text is not the strict JSON we take. Errors of CheckJSON
// wrap it; their text has the reason and never the input.
var ErrJSON = errors.New("malformed JSON")

const maxDepth = 64

// CheckJSON accepts one JSON value (RFC 8259) and is stricter than
// encoding/json where parsers are known to disagree: invalid UTF-8, duplicate
// keys, nesting deeper than 64, and trailing data are errors.
func CheckJSON(text []byte) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("%w: invalid UTF-8", ErrJSON)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := checkValue(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: data after the value, at offset %d", ErrJSON, dec.InputOffset())
	}
	return nil
}

func checkValue(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return fmt.Errorf("%w: at offset %d", ErrJSON, dec.InputOffset())
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxDepth {
		return fmt.Errorf("%w: nested deeper than %d", ErrJSON, maxDepth)
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				return fmt.Errorf("%w: at offset %d", ErrJSON, dec.InputOffset())
			}
			name, _ := key.(string)
			if seen[name] {
				return fmt.Errorf("%w: duplicate key before offset %d", ErrJSON, dec.InputOffset())
			}
			seen[name] = true
		}
		if err := checkValue(dec, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		return fmt.Errorf("%w: at offset %d", ErrJSON, dec.InputOffset())
	}
	return nil
}

func compact(text []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJSON, err)
	}
	return b.Bytes(), nil
}
