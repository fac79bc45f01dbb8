package bucket_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestRules looks at rules of an owner. versitygw has none for what is old, so the proxy says some.
func TestRules(t *testing.T) {
	t.Parallel()
	var cors, old atomic.Pointer[string]
	server, through := between(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		for name, text := range map[string]*atomic.Pointer[string]{"cors": &cors, "lifecycle": &old} {
			if text := text.Load(); text != nil && r.URL.Query().Has(name) {
				if strings.HasPrefix(*text, "<Error>") {
					w.WriteHeader(http.StatusForbidden)
				}
				io.WriteString(w, *text)
				return
			}
		}
		server.ServeHTTP(w, r)
	})
	s := open(t, through)
	for _, r := range open(t, server.URL("p")).Rules(t.Context()) {
		if r.Bad || !strings.Contains(r.Detail, "no rule") && !strings.Contains(r.Detail, "no such rules") {
			t.Errorf("of a plain bucket: %+v", r)
		}
	}
	const (
		denied = `<Error><Code>AccessDenied</Code></Error>`
		put    = `<CORSConfiguration><CORSRule><AllowedOrigin>https://app.example</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>` +
			`<AllowedHeader>x-amz-*</AllowedHeader></CORSRule></CORSConfiguration>`
		week = `<LifecycleConfiguration><Rule><ID>one</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>` +
			`<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>`
	)
	for _, tt := range []struct {
		cors, old string
		bad       []string // parts of what is wrong, in their order
		good      string
	}{
		{put, week, nil, "pages of https://app.example may"},
		{put, week, nil, "after 7 days"},
		{denied, denied, nil, "GetLifecycleConfiguration"},
		{strings.ReplaceAll(put, "x-amz-*", "content-type"), week, []string{"x-amz-checksum-sha256"}, "after 7"},
		{strings.ReplaceAll(put, "PUT", "GET"), week, []string{"let no page send"}, "after 7"},
		{put, strings.ReplaceAll(week, ">7<", ">1<"), []string{"after 1 day"}, "may send"},
		{put, strings.ReplaceAll(week, "Enabled", "Disabled"), []string{"no rule ends"}, "may send"},
		{put, strings.ReplaceAll(week, "<Prefix></Prefix>", "<Prefix>p/jobs/x</Prefix>"), []string{"no rule ends"}, "may send"},
		{put, strings.ReplaceAll(week, "<Prefix></Prefix>", "<Prefix>other/</Prefix>"), []string{"no rule ends"}, "may send"},
		{put, strings.ReplaceAll(week, "<Prefix></Prefix>", "<Tag><Key>a</Key><Value>b</Value></Tag>"), []string{"no rule ends"}, ""},
		{put, strings.ReplaceAll(week, "<AbortI", "<Expiration><Days>3</Days></Expiration><AbortI"), []string{`rule "one" deletes`}, "after 7"},
	} {
		cors.Store(&tt.cors)
		old.Store(&tt.old)
		good := ""
		for _, r := range s.Rules(t.Context()) {
			switch {
			case !r.Bad:
				good += r.Detail + "\n"
			case len(tt.bad) > 0 && strings.Contains(r.Detail, tt.bad[0]) && r.Fix != "":
				tt.bad = tt.bad[1:]
			default:
				t.Errorf("%s %s: %+v", tt.cors, tt.old, r)
			}
		}
		if len(tt.bad) > 0 || !strings.Contains(good, tt.good) {
			t.Errorf("%s %s: lacks %q, good is %q", tt.cors, tt.old, tt.bad, good)
		}
	}
}
