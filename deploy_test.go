package longshore

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"longshore/config"
)

// TestDeploySettings looks for settings in docs/deploy.md that there are not.
func TestDeploySettings(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SSL_CERT_FILE"} // of others
	for _, s := range config.Table() {
		known = append(known, s.Name)
	}
	found := regexp.MustCompile(`\b[A-Z]+(_[A-Z]+)+\b`).FindAllString(string(text), -1)
	if len(found) < 10 {
		t.Errorf("docs/deploy.md names only %d settings", len(found))
	}
	for _, name := range found {
		if !slices.Contains(known, name) {
			t.Errorf("docs/deploy.md names %s, which is no setting", name)
		}
	}
}
