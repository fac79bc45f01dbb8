package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrJSON says that a text is not the strict JSON we take. Errors of CheckJSON
// wrap it; their text has the reason and never the input.
var ErrJSON = errors.New("malformed JSON")

// compact returns a checked text without white space between its tokens. One
// that has none, as most have, is returned as it is.
func compact(text []byte) ([]byte, error) {
	if !spaced(text) {
		return text, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJSON, err)
	}
	return b.Bytes(), nil
}

func spaced(text []byte) bool {
	inside := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			inside = !inside
		case c == '\\':
			i++ // a checked text has a byte there
		case c <= ' ' && !inside:
			return true
		}
	}
	return false
}
