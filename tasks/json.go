package tasks

import (
	"bytes"
	"encoding/json"
	"fmt"

	"longshore/internal/strictjson"
)

// ErrJSON says that a payload is not the strict JSON we take: beside the grammar,
// invalid UTF-8, a name twice in one object, nesting deeper than 64, and anything
// behind the value are refused. The text of an error that wraps it has the reason and
// never the input.
var ErrJSON = strictjson.ErrSyntax

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
