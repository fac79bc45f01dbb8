package sealing_test

import (
	"strings"
	"testing"

	"longshore/internal/sealing"
)

// TestHiddenTexts holds in which forms a secret is found in what a run says.
func TestHiddenTexts(t *testing.T) {
	t.Parallel()
	payload := `{"all":["root","root1234","a\"b&c<d","first line of it\nsecond line of it",{"pin":"71828182"}]}`
	hide := sealing.Hider([]byte(payload), []string{"/all/0", "/all/1", "/all/2", "/all/3", "/all/4"})
	for said, want := range map[string]string{
		"user root1234":              "user •••",
		"user root":                  "user •••",
		`{"v":"a\"b&c<d"}`:           `{"v":"•••"}`,
		`{"v":"a\"b\u0026c\u003cd"}`: `{"v":"•••"}`,
		`it is a"b&c<d.`:             "it is •••.",
		"second line of it":          "•••",
		"first line of it":           "•••",
		`{"v":"first line of it\nsecond line of it"}`: `{"v":"•••"}`,
		"pin 71828182":  "pin •••",
		"nothing of it": "nothing of it",
	} {
		if got := hide.Replace(said); got != want {
			t.Errorf("%s is told as %s, want %s", strings.TrimSpace(said), got, want)
		}
	}
}
