package tasks

import (
	"bytes"
	"encoding/json"
	"testing"

	"longshore/internal/strictjson"
)

func FuzzCompact(f *testing.F) {
	for _, text := range []string{`{}`, ` { "a" : [ ] } `, `{"a\"b":" c "}`, "[1,\n2]", `"\\" `,
		`["\\\" ",1]`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if strictjson.Check(text) != nil {
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, text); err != nil {
			t.Fatal(err)
		}
		if got, err := compact(text); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want.Bytes())
		}
	})
}
