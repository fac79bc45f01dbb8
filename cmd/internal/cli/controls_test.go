package cli

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"longshore/client"
	"longshore/internal/httpapi"
)

// Each control that says how a job is to be run is a flag, with the table's words.
func TestControlFlags(t *testing.T) {
	t.Parallel()
	for i, c := range httpapi.Controls {
		name := strings.ReplaceAll(c.Name, "_", "-")
		var s client.Submission
		f := pflag.NewFlagSet("submit", pflag.ContinueOnError)
		addControls(f, &s)
		flag := f.Lookup(name)
		if (flag != nil) != (c.In&httpapi.InBody != 0) {
			t.Errorf("--%s: %v", name, flag)
		}
		if flag == nil {
			continue
		}
		good, bad := "https://a.example/", []string{""}
		switch {
		case c.Kind == httpapi.KindTime:
			good, bad = "2030-01-02T03:04:05Z", []string{"", "soon"}
		case c.Kind == httpapi.KindDuration:
			good, bad = "90s", []string{"", "soon", "0s", "-5s"}
		case c.Kind == httpapi.KindCount:
			good, bad = "7", []string{"", "soon", "0", "-1", "101"}
		case c.Kind == httpapi.KindLabels:
			good, bad = "batch=x,user=7", []string{"soon", "a=1,a=2", "B=1"}
		case c.Kind == httpapi.KindJobs:
			good, bad = "019eb1a0-1111-7abc-8abc-0123456789ab", []string{"", "so on", ",", "019eb1a0-1111-7abc-8abc-0123456789ab,x y"}
		case c.MaxLength > 0 && !c.ASCII:
			bad = []string{"", strings.Repeat("x", c.MaxLength+1), "two\nlines"}
		case c.Enum != nil:
			good, bad = c.Enum[0], []string{"", "soon"}
		}
		if controlled(&s) || !strings.HasPrefix(flag.Usage, c.Doc) {
			t.Errorf("--%s: given before it was, or says %q", name, flag.Usage)
		}
		if err := f.Parse([]string{"--" + name + "=" + good}); err != nil {
			t.Errorf("--%s=%s: %v", name, good, err)
		}
		if text, _ := controls.Text(&s, i); text != good || !controlled(&s) {
			t.Errorf("--%s=%s became %q", name, good, text)
		}
		for _, text := range bad {
			if f.Parse([]string{"--" + name + "=" + text}) == nil {
				t.Errorf("--%s=%s is taken", name, text)
			}
		}
	}
}
