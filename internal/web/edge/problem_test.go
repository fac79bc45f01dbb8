package edge

import "testing"

func TestPointer(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"body": "", "body.a": "/a", "body.a[2].b": "/a/2/b", "body.x/y~z": "/x~1y~0z", "query.wait": "?wait",
		"path.id":       "/path/id",
		"header.Prefer": "/headers/Prefer",
	} {
		if got := pointer(location); got != want {
			t.Errorf("%s: %q, want %q", location, got, want)
		}
	}
}
