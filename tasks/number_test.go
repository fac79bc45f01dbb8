package tasks

import (
	"errors"
	"strings"
	"testing"
	"time"

	"longshore/job"
)

func TestPlainInteger(t *testing.T) {
	t.Parallel()
	for literal, want := range map[string]string{
		"100": "100", "1e2": "100", "1E+2": "100", "100.0": "100", "1.50e1": "15", "-2e0": "-2", "0.0": "0",
		"1e18": "1000000000000000000", "1.5": "", "1e-1": "", "1e99": "", "1e999999999": "",
		"1e0000000000002": "100", "1." + strings.Repeat("0", 100): "", "1e20": "",
	} {
		got, ok := plainInteger(literal)
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v, want %q", literal, got, ok, want)
		}
	}
	const text = `{"a":1e2,"b":"1e2 \" 1e2","c":[1.5,2.0,-3E0,true,null],"1.0":{"d":1.0e1}}`
	const want = `{"a":100,"b":"1e2 \" 1e2","c":[1.5,2,-3,true,null],"1.0":{"d":10}}`
	if got := string(plainIntegers([]byte(text))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What a decoder says in the words of Go is told in those of JSON, with a pointer.
func TestDecodeWords(t *testing.T) {
	t.Parallel()
	type inner struct {
		Small int8 `json:"small"`
	}
	type payload struct {
		N     int            `json:"n,omitempty"`
		U     uint16         `json:"u,omitempty"`
		In    inner          `json:"in"`
		List  []int          `json:"list,omitempty"`
		Flag  bool           `json:"flag,omitempty"`
		Map   map[string]int `json:"map,omitempty"`
		Ratio float64        `json:"ratio,omitempty"`
		At    time.Time      `json:"at"`
		Bytes []byte         `json:"bytes,omitempty"`
	}
	d := Definition[payload]{Type: "test.words", Lane: job.LaneIO}
	for text, want := range map[string]string{
		`{"n":"x"}`: "/n: expected integer", `{"n":1.5}`: "/n: expected integer",
		`{"u":-1}`: "/u: expected integer", `{"u":70000}`: "/u: expected integer",
		`{"in":{"small":300}}`: "/in/small: expected integer", `{"in":[]}`: "/in: expected object",
		`{"list":{}}`:    "/list: expected array",
		`{"list":["x"]}`: "/list", `{"flag":0}`: "/flag: expected boolean",
		`{"map":7}`: "/map: expected object", `{"ratio":"x"}`: "/ratio: expected number",
		`{"at":"soon"}`: "RFC 3339", `{"bytes":"%"}`: "base64", `{"no/pe":1}`: "/no~1pe: unknown field",
		`[]`: "expected object",
	} {
		_, err := d.Decode([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", text, err, want)
			continue
		}
		for _, word := range []string{"json:", "Go ", "struct", "int8", "uint16", "tasks.", "unmarshal"} {
			if strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v has a word of Go, %q", text, err, word)
			}
		}
		var problems Problems
		if !errors.As(err, &problems) {
			t.Errorf("%s: %v has no pointer", text, err)
		}
	}
	p, err := d.Decode([]byte(`{"n":1e2,"u":5.0,"in":{"small":-1.20e2},"list":[1.0,2e0],"ratio":1.0}`))
	if err != nil || p.N != 100 || p.U != 5 || p.In.Small != -120 || p.List[1] != 2 || p.Ratio != 1 {
		t.Errorf("whole numbers of any form: %+v, %v", p, err)
	}
}
