package api

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// The limit of a filter is of characters, as it says, and as the document says.
func TestTypeFilterCountsCharacters(t *testing.T) {
	t.Parallel()
	for text, fits := range map[string]bool{
		strings.Repeat("é", maxTypeName): true, strings.Repeat("é", maxTypeName+1): false,
		strings.Repeat("a", maxTypeName): true, strings.Repeat("a", maxTypeName+1): false,
	} {
		var l listing
		r := httptest.NewRequest("GET", "/v1/jobs?type="+url.QueryEscape(text), nil)
		if err := listParams.Read(r, &l); (err == nil) != fits || l.filter.Type != text {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, p := range listParams.Describe() {
		if p.Name == "type" && (p.Schema.MaxLength == nil || *p.Schema.MaxLength != maxTypeName) {
			t.Error("the document doesn't tell the limit")
		}
	}
}
