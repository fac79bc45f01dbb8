package worker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"longshore/handlers"
	"longshore/internal/sealing"
	"longshore/job"
)

// minHidden is how short a secret may be and still be looked for in texts: shorter ones stand in words.
const minHidden = 4

// unseal opens the secrets of the payload, for this run alone. From then on what the run says is told
// without them.
func (a *attempt) unseal() error {
	spec := &a.started.Spec
	if len(spec.Sealed) == 0 {
		return nil
	}
	open, err := a.worker.sys.Sealer.OpenPayload(a.started.Type, spec.Payload, spec.Sealed)
	if err != nil {
		return handlers.FailWith(job.SecretUnreadable, fmt.Errorf("a secret of the payload can't be opened: "+
			"the worker's ACCESS_SECRET isn't what it was sealed by: %w", err))
	}
	spec.Payload = open
	var texts []string
	_, _ = sealing.Edit(open, spec.Sealed, func(_ string, value []byte) ([]byte, error) {
		for _, text := range textsOf(value) {
			if len(text) >= minHidden {
				texts = append(texts, text)
			}
		}
		return value, nil
	}) // it was opened there
	if texts != nil {
		a.secrets = hider(texts)
	}
	a.log.hide = a.hide
	return nil
}

// hider puts something else in the place of some texts, the longest first: one may begin another.
func hider(texts []string) *strings.Replacer {
	slices.SortFunc(texts, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(texts))
	for _, text := range texts {
		pairs = append(pairs, text, sealing.Hidden)
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

// hide returns a text without the payload's secrets.
func (a *attempt) hide(text string) string {
	if a.secrets == nil {
		return text
	}
	return a.secrets.Replace(text)
}

// told is an error as it may be told.
func (a *attempt) told(err error) any {
	if a.secrets == nil {
		return err
	}
	return a.hide(err.Error())
}
