package longshore

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/config"
	"longshore/job"
)

// TestStatesAreDrawn compares the drawing in docs/states.md with the state machine.
func TestStatesAreDrawn(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	var drawn []string
	for _, m := range regexp.MustCompile(`(?m)^ +(\S+) --> (\S+)`).FindAllStringSubmatch(string(text), -1) {
		drawn = append(drawn, m[1]+" "+m[2])
	}
	var coded []string
	for _, from := range append([]job.State{""}, job.States...) {
		for _, to := range from.Moves() {
			coded = append(coded, word(from)+" "+word(to))
		}
		if from.Terminal() {
			coded = append(coded, word(from)+" [*]")
		}
	}
	slices.Sort(drawn)
	slices.Sort(coded)
	if diff := cmp.Diff(coded, drawn); diff != "" {
		t.Errorf("docs/states.md is not job/state.go (-code +drawing):\n%s", diff)
	}
	for _, state := range job.States {
		if !strings.Contains(string(text), "\n| `"+string(state)+"` |") {
			t.Errorf("docs/states.md does not explain %s", state)
		}
	}
}

func word(s job.State) string {
	if s == "" {
		return "[*]"
	}
	return string(s)
}

// TestSettingsAreListed compares docs/settings.md with those that
// the programs read.
func TestSettingsAreListed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, s := range config.Table() {
		value := s.Default
		if value != "" && !strings.ContainsRune(value, ' ') {
			value = "`" + value + "`"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", s.Name, strings.Join(s.Programs, ", "),
			value, s.Meaning))
	}
	want := strings.Join(rows, "\n")
	if !strings.Contains(string(text), "|---|---|---|---|\n"+want+"\n") {
		t.Errorf(
			"docs/settings.md does not list the settings as package config has them; its rows should be:\n%s", want)
	}
}

// TestNamedTestsAreThere holds documents to their word: each test that they name exists.
func TestNamedTestsAreThere(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, src := range sources(t) {
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(src.text, -1) {
			there[string(m[1])] = true
		}
	}
	for _, page := range []string{"docs/access.md", "docs/isolation.md", "docs/journal/traps.md"} {
		more, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, more...)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllSubmatch(text, -1)
	if len(named) < 40 {
		t.Errorf("docs/security.md names %d tests; its table of findings has more", len(named))
	}
	for _, m := range named {
		if !there[string(m[1])] {
			t.Errorf("the documents name %s, which isn't there", m[1])
		}
	}
}

// TestLinksLead follows each link of the documents that leads to a file of ours.
func TestLinksLead(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	followed := 0
	for _, page := range append(pages, "README.md", "CONTRIBUTING.md", "SECURITY.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllSubmatch(text, -1) {
			followed++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), string(m[1]))); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if followed < 40 {
		t.Errorf("followed %d links; the documents have more", followed)
	}
}
