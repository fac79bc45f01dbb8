package printable

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// JSON is a value as a command prints it: on a line of its own, or set in. It is not escaped for a browser,
// to which it doesn't go, nor for a terminal: a [Writer] does that.
func JSON(v any, indent bool) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if indent {
		enc.SetIndent("", "  ")
	}
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return text.Bytes(), nil
}
