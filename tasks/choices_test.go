package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// checked is what a type with this schema of its property a says of a payload.
func checked(t *testing.T, property, a string) Problems {
	t.Helper()
	c, err := NewCatalog()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(map[string]string{"some.type": definition("some.type",
		`{"type":"object","properties":{"a":`+property+`}}`)}); err != nil {
		t.Fatal(err)
	}
	_, err = c.Check("some.type", []byte(`{"a":`+a+`}`))
	var problems Problems
	if err != nil && !errors.As(err, &problems) {
		t.Fatal(err)
	}
	return problems
}

// TestPatternsInPayloads holds that a text of the format regex is judged, not
// compiled: a payload of some kilobytes could be a program of gigabytes.
func TestPatternsInPayloads(t *testing.T) {
	t.Parallel()
	large := strings.Repeat(".{0,999}", 800)
	for _, test := range []struct {
		pattern string
		says    string // "" = it is taken
	}{
		{"^a+(b|c)$", ""},
		{"(", "pattern is not a regular expression of RE2"},
		{large, "pattern is too large"},
		{"(?i)" + strings.Repeat("[a-\U0001E942]", 80), "pattern is too large"},
	} {
		text, err := json.Marshal(test.pattern)
		if err != nil {
			t.Fatal(err)
		}
		for schema, a := range map[string]string{
			`{"type":"string","format":"regex"}`: string(text),
			`{"type":"array","items":{"type":"string","format":"regex"}}`: "[" +
				string(text) + "]",
			`{"type":"object","additionalProperties":{"type":"string","format":"regex"}}`: `{"x":` +
				string(text) + `}`,
		} {
			problems := checked(t, schema, a)
			if test.says == "" && problems != nil || test.says != "" &&
				(len(problems) != 1 || !strings.HasPrefix(problems[0].Detail, test.says)) {
				t.Errorf("%.30q by %.30s: %v, want %q", test.pattern, schema, problems, test.says)
			}
		}
	}
	// Those of one payload count together.
	many := strings.TrimSuffix(strings.Repeat(`"a{900}",`, 20), ",")
	if problems := checked(t, `{"type":"array","items":{"type":"string","format":"regex"}}`,
		"["+many+"]"); len(problems) == 0 {
		t.Error("20 patterns of 900 instructions are taken")
	}
}

// TestChoicesAreBounded holds that many values are not held against many
// alternatives.
func TestChoicesAreBounded(t *testing.T) {
	t.Parallel()
	var wide []string
	for i := range 1000 {
		wide = append(wide, fmt.Sprintf(`{"type":"string","enum":["v%d"]}`, i))
	}
	deep := `{"type":"string"}`
	for range 8 {
		deep = `{"oneOf":[` + deep + `,` + deep + `]}`
	}
	list := "[" + strings.TrimSuffix(strings.Repeat(`"x",`, 16_000), ",") + "]"
	for name, item := range map[string]string{
		"wide": `{"oneOf":[` + strings.Join(wide, ",") + `]}`, "deep": deep,
		"within": `{"type":"array","items":{"anyOf":[` + strings.Join(wide, ",") + `]}}`,
		"not":    `{"not":{"allOf":[` + strings.Join(wide, ",") + `]}}`,
	} {
		problems := checked(t, `{"type":"array","items":`+item+`}`, list)
		if len(problems) != 1 || !strings.Contains(problems[0].Detail, "comparisons") {
			t.Errorf("%s: %d problems, %.200v", name, len(problems), problems)
		}
	}
	few := `{"type":"array","items":{"oneOf":[{"type":"string"},{"type":"integer"}]}}`
	if problems := checked(t, few, list); problems != nil {
		t.Errorf("two alternatives: %.200v", problems)
	}
}
