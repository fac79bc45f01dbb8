package api

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/httpapi"
	"longshore/internal/strictjson"
)

// What plainSubmission reads, encoding/json reads just so.
func FuzzPlainSubmission(f *testing.F) {
	for _, text := range []string{`{"type":"a","payload":{"n":{"a":"}\\\""}}}`, ` { "priority" : "low", "type":"é" } `, `{"type":"a","payload":{}}`,
		`{"type":"\"","payload":{"a":[{}]}}`, `{"type":"a","Payload":{}}`, `{"type":"a",}`, `{}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want httpapi.SubmitBody
		if strictjson.Check(text) != nil || !plainSubmission(text, &got) {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
