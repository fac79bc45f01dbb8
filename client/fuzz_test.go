package client

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"longshore/internal/httpapi"
)

// FuzzRefusal reads answers that are no success: there is always an error with
// a text, and none that looks like a success.
func FuzzRefusal(f *testing.F) {
	f.Add(422, httpapi.TypeProblem, "",
		`{"code":"invalid","status":422,"errors":[{"pointer":"/n","detail":"x"}]}`)
	f.Add(503, "text/html; charset=utf-8", "120", "<html>")
	f.Add(429, httpapi.TypeProblem, "Fri, 31 Dec 1999 23:59:59 GMT", `{"code":""}`)
	f.Add(301, "", "-1", "")
	f.Fuzz(func(t *testing.T, status int, kind, after, body string) {
		if status < 300 || status > 599 {
			t.Skip()
		}
		err := refusal(&http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {kind}, "Retry-After": {after}},
			Body: io.NopCloser(strings.NewReader(body)),
		})
		if err == nil || err.Error() == "" {
			t.Errorf("refusal = %v", err)
		}
		if d := retryAfter(after); d < 0 {
			t.Errorf("Retry-After %q = %v", after, d)
		}
	})
}

func FuzzDigest(f *testing.F) {
	f.Add("sha-256=:" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + ":")
	f.Add("sha-512=:AA==:, sha-256=:AA==:")
	f.Fuzz(func(t *testing.T, text string) {
		if sum := sha256Of(http.Header{httpapi.HeaderReprDigest: {text}}); sum != nil && len(sum) != 32 {
			t.Errorf("a digest of %d bytes", len(sum))
		}
	})
}
