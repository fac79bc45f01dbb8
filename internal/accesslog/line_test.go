package accesslog

import (
	"bytes"
	"testing"
	"time"
)

func FuzzLogLine(f *testing.F) {
	for _, line := range []string{
		`192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326`,
		`192.0.2.1 - a b [10/Oct/2000:13:55:36 +0530] "GET /\"a HTTP/1.0" 304 - "\\" "\x22" "more" 0.1`,
		`h - - [29/Feb/2000:23:59:60 +0000] "-" 408 0 "-" "cut`,
		`h i [x] [10/Oct/2000:13:55:36 -0700] "" 200 1 "`,
		"", " ", "[", `"`,
		`v:443 203.0.113.7 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 1 "-" "-"`,
		`{"ts":971211336.5,"request":{"remote_ip":"::1","method":"GET","uri":"/"},"status":200,"size":3}`,
		`{"time_local":"10/Oct/2000:13:55:36 -0700","remote_addr":"h","request":"GET / HTTP/1.1","status":"200"}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, format := range append(descriptions(f), Auto, Common, Combined, VHostCommon, VHostCombined,
			JSON) {
			p := parser(t, format)
			var l, again Line
			Warns(line)
			if !p.Parse(line, &l) {
				continue
			}
			if len(l.Address) == 0 || bytes.IndexByte(l.Address, ' ') >= 0 || l.Status < -1 ||
				l.Status > 999 || l.Bytes < 0 {
				t.Fatalf("%s: %q gives %+v", format, line, l)
			}
			if p.format.kind < kindJSON && line[0] != '{' && (!bytes.Contains(line, l.Address) ||
				!bytes.Contains(line, l.Request)) {
				t.Fatalf("%s: %q gives %+v", format, line, l)
			}
			method, path := SplitRequest(l.Request)
			if (method == nil) != (path == nil) || len(method)+len(path) > len(l.Request) {
				t.Fatalf("request %q gives %q, %q", l.Request, method, path)
			}
			if !p.Parse(line, &again) || l.Unix != again.Unix { // the day is remembered now
				t.Fatalf("%q read twice differs", line)
			}
		}
	})
}

func parser(t testing.TB, format string) *Parser {
	t.Helper()
	f, err := ParseFormat(format, "", "")
	if err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return NewParser(f)
}

func TestLogTime(t *testing.T) {
	t.Parallel()
	const layout = "[02/Jan/2006:15:04:05 -0700]"
	p := parser(t, Auto)
	for day := time.Date(1968, 12, 30, 0, 0, 0, 0, time.UTC); day.Year() < 2101; day = day.Add(100*time.Hour +
		1234*time.Second) {
		for _, zone := range []int{0, 5*3600 + 1800, -8 * 3600} {
			want := day.In(time.FixedZone("", zone))
			got, ok := p.time([]byte(want.Format(layout)))
			if !ok || got != want.Unix() {
				t.Fatalf("%s: got %d, %v; want %d", want.Format(layout), got, ok, want.Unix())
			}
		}
	}
	for _, s := range []string{
		"[00/Jan/2020:00:00:00 +0000]", "[30/Feb/2020:00:00:00 +0000]", "[29/Feb/2021:00:00:00 +0000]",
		"[1 /Jan/2020:00:00:00 +0000]", "[01/jan/2020:00:00:00 +0000]", "[01/Jan/2020:24:00:00 +0000]",
		"[01/Jan/2020:00:60:00 +0000]", "[01/Jan/2020:00:00:61 +0000]", "[01/Jan/2020:00:00:00 0000 ]",
		"[01/Jan/2020 00:00:00 +0000]", "[01/Jan/20x0:00:00:00 +0000]", "[01/Jan/2020:00:00:00 +00:0]",
	} {
		if _, ok := p.time([]byte(s)); ok {
			t.Errorf("%s: taken as a time", s)
		}
	}
}
