package httpapi

import (
	"encoding/json"
	"net/url"
	"testing"
)

// TestPayloadOf reads texts by a schema as servers publish them.
func TestPayloadOf(t *testing.T) {
	t.Parallel()
	var schema struct{ Properties map[string]FieldKind }
	if err := json.Unmarshal([]byte(`{"type":"object","properties":{"n":{"type":"integer"},
		"big":{"type":["null","integer"],"format":"uint64"},"tags":{"type":["array","null"],"items":{"type":"string"}},
		"any":{},"pairs":{"type":"array","items":{"type":"object","properties":{"a":{}}}},"on":{"type":"boolean"},
		"all":{"type":"array","items":true}}}`), &schema); err == nil {
		t.Error("a schema that is no object is read as one")
	}
	delete(schema.Properties, "all")
	for query, want := range map[string]string{
		"n=5": `{"n":5}`, "big=18446744073709551615": `{"big":18446744073709551615}`,
		"tags=a,b&tags=c": `{"tags":["a","b","c"]}`, `tags=["a,b"]`: `{"tags":["a,b"]}`,
		`any={"x":12345678901234567890}`: `{"any":{"x":12345678901234567890}}`,
		`pairs={"a":1}&pairs={"a":2}`:    `{"pairs":[{"a":1},{"a":2}]}`, "on=true": `{"on":true}`,
		"n=five": "", "n=1&n=2": "", "none=1": "", "on=maybe": "", "tags=[": "", "any=": "", "big=-1": "",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		payload, wrong := PayloadOf(values, func(name string) (FieldKind, bool) {
			kind, ok := schema.Properties[name]
			return kind, ok
		})
		if string(payload) != want || (want == "") != (wrong != nil) {
			t.Errorf("%s: %s, %v, want %s", query, payload, wrong, want)
		}
	}
}
