package bucket_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/blob/bucket"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bucket.Location{
		"s3://b-1":      {Bucket: "b-1", PartSize: 5 << 20},
		"s3://b-1/":     {Bucket: "b-1", PartSize: 5 << 20},
		"s3://b-1/a/b/": {Bucket: "b-1", Prefix: "a/b/", PartSize: 5 << 20},
		"s3://b-1?region=eu-central-1&part_size=64MiB": {Bucket: "b-1", Region: "eu-central-1",
			PartSize: 64 << 20},
		"s3://b-1/x?endpoint=http://127.0.0.1:9000": {Bucket: "b-1", Prefix: "x/",
			Endpoint: "http://127.0.0.1:9000", PathStyle: true, PartSize: 5 << 20},
		"s3://b-1/x?endpoint=https%3A%2F%2Fh%2Fp&path_style=false": {Bucket: "b-1", Prefix: "x/",
			Endpoint: "https://h/p", PartSize: 5 << 20},
	} {
		got, err := bucket.ParseURL(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
	for text, says := range map[string]string{
		"":                                      "expected",
		"file:///x":                             "expected",
		"s3:hunter2":                            "expected",
		"s3://b-1#hunter2":                      "expected",
		"s3://%zz/hunter2":                      "expected",
		"s3:///hunter2":                         "bucket",
		"s3://x":                                "bucket",
		"s3://b-1/a/../hunter2":                 "prefix",
		"s3://b-1/a//hunter2":                   "prefix",
		"s3://b-1/" + strings.Repeat("x", 257):  "prefix",
		"s3://key:hunter2@b-1":                  "AWS_ACCESS_KEY_ID",
		"s3://b-1?endpoint=hunter2":             "endpoint",
		"s3://b-1?endpoint=ftp://hunter2":       "endpoint",
		"s3://b-1?endpoint=https://u:hunter2@h": "endpoint",
		"s3://b-1?path_style=hunter2":           "path_style",
		"s3://b-1?part_size=1MiB":               "part_size",
		"s3://b-1?part_size=hunter2":            "part_size",
		"s3://b-1?region=a&region=hunter2":      "twice",
		"s3://b-1?secret=hunter2":               "parameter",
		"s3://b-1?hunter2":                      "parameter",
	} {
		_, err := bucket.ParseURL(text)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want an error that says %q", text, err, says)
		}
	}
}
