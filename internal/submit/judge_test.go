package submit

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/tasks"
)

// TestRefusalsAreCheap holds that payloads which would compile to gigabytes are
// refused by their size, and that nothing is compiled of a request that is
// refused for something else.
func TestRefusalsAreCheap(t *testing.T) {
	t.Parallel()
	infos, err := tasks.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := tasks.NewCatalog(infos...)
	if err != nil {
		t.Fatal(err)
	}
	submitter := NewSubmitter(Config{Catalog: catalog})
	stages := func(stage string, n int) string {
		return `{"stages":[{"lines":{}},` + strings.TrimSuffix(strings.Repeat(stage+",", n), ",") + `]}`
	}
	pattern := func(p string) string {
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return `{"replace":{"pattern":` + string(text) + `}}`
	}
	for name, c := range map[string]struct{ payload, places string }{
		"repeats": {stages(pattern(strings.Repeat(".{0,999}", 124)), 30), "/payload/stages/1/replace"},
		"cases": {stages(pattern("(?i)"+strings.Repeat("[\x01-\U0001e942]", 90)), 30),
			"/payload/stages/1/replace"},
		"tables": {stages(pattern("["+strings.Repeat(`\pL`, 330)+"]"), 30),
			"/payload/stages/1/replace"},
		"together": {stages(pattern("a{900}b{900}"), 30), "/payload/stages/6/replace"},
		"jq": {stages(`{"map":"`+strings.Repeat("[", 400)+strings.Repeat("]", 400)+`"}`, 30),
			"/payload/stages"},
		"deep jq": {stages(`{"map":"`+strings.Repeat("[", 4000)+strings.Repeat("]", 4000)+`"}`, 1),
			"/payload/stages/1/map"},
		// what is wrong with it costs a compilation
		"late mistake": {stages(`{"map":"nothing("}`, 1) + " ", "/input"},
		"wrong kinds": {stages(`{"map":"`+strings.Repeat("[", 400)+strings.Repeat("]", 400)+
			`"},{"lines":{}}`, 10), "/payload/stages/2"},
	} {
		r := Request{Type: "text.transform", Payload: json.RawMessage(c.payload),
			Input: strings.NewReader("")}
		if c.places == "/input" {
			r.Input = nil
		}
		began := time.Now()
		_, _, err := submitter.check(r)
		took := time.Since(began)
		var e *httpapi.Error
		if !errors.As(err, &e) || e.Status != 422 || len(e.Errors) == 0 || e.Errors[0].Pointer != c.places {
			t.Errorf("%s: %v, %+v", name, err, e)
		}
		if took > 10*time.Second {
			t.Errorf("%s: refused after %v", name, took)
		}
		t.Logf("%s: %d bytes refused in %v", name, len(c.payload), took)
	}
}
