//go:build linux

package machine

import (
	"os"
	"strings"
	"testing"
)

// TestSabotagesFit keeps the negative controls in step with the sources that they change.
func TestSabotagesFit(t *testing.T) {
	t.Parallel()
	for _, s := range Sabotages {
		dir := t.TempDir()
		file, err := s.Overlay("../../..", dir)
		if err != nil {
			t.Error(err)
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), s.File) {
			t.Errorf("%s: overlay %s, %v", s.Name, text, err)
		}
	}
}
