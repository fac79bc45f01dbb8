package sealing

import (
	"encoding/json"
	"slices"
	"strings"
)

// minHidden is how short a secret may be and still be looked for in texts: shorter ones stand in words.
const minHidden = 4

// Hider hides the values at some places of a payload that was opened, in texts that may quote them; nil =
// there is nothing to hide.
func Hider(payload []byte, places []string) *strings.Replacer {
	var texts []string
	_, _ = Edit(payload, places, func(_ string, value []byte) ([]byte, error) {
		for _, text := range textsOf(value) {
			if len(text) >= minHidden {
				texts = append(texts, text)
			}
		}
		return value, nil
	}) // it was opened there
	if texts == nil {
		return nil
	}
	return hider(texts)
}

// hider puts something else in the place of some texts, the longest first: one may begin another.
func hider(texts []string) *strings.Replacer {
	slices.SortFunc(texts, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(texts))
	for _, text := range texts {
		pairs = append(pairs, text, Hidden)
	}
	return strings.NewReplacer(pairs...)
}

// minLine is how long a line of a secret must be to be looked for by itself.
const minLine = 8

// plainlyQuoted is a text within JSON as most programs write it: Go's encoding/json escapes more.
func plainlyQuoted(v string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // a text: can't fail
	return strings.TrimSuffix(b.String(), "\n")[1 : b.Len()-2]
}

// textsOf are the texts that a value may be told by: itself as JSON, and the texts in it.
func textsOf(value []byte) []string {
	var texts []string
	if len(value) > 0 && value[0] != '"' { // a text's quotes stay: without them a line of JSON would be none
		texts = append(texts, string(value))
	}
	var tree any
	if json.Unmarshal(value, &tree) != nil {
		return texts
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			quoted, _ := json.Marshal(v) // a text: can't fail
			texts = append(texts, v, string(quoted[1:len(quoted)-1]), plainlyQuoted(v))
			for line := range strings.SplitSeq(v, "\n") { // output is told line by line
				if line = strings.TrimSpace(line); line != v && len(line) >= minLine {
					texts = append(texts, line)
				}
			}
		case []any:
			for _, one := range v {
				walk(one)
			}
		case map[string]any:
			for _, one := range v {
				walk(one)
			}
		}
	}
	walk(tree)
	return texts
}
