package handlers

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
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, format := range []string{formatAuto, formatCommon, formatCombined} {
			p := logParser{format: format}
			var l, again logLine
			warns(line)
			if !p.parse(line, &l) {
				continue
			}
			if len(l.address) == 0 || bytes.IndexByte(l.address, ' ') >= 0 || l.status < 0 || l.status > 999 || l.bytes < 0 ||
				!bytes.HasPrefix(line, l.address) || !bytes.Contains(line, l.request) {
				t.Fatalf("%s: %q gives %+v", format, line, l)
			}
			method, path := splitRequest(l.request)
			if (method == nil) != (path == nil) || len(method)+len(path) > len(l.request) {
				t.Fatalf("request %q gives %q, %q", l.request, method, path)
			}
			if !p.parse(line, &again) || l.unix != again.unix { // the day is remembered now
				t.Fatalf("%q read twice differs", line)
			}
			readable(l.request)
			readable(l.agent)
		}
	})
}

func TestLogTime(t *testing.T) {
	t.Parallel()
	const layout = "[02/Jan/2006:15:04:05 -0700]"
	p := &logParser{}
	for day := time.Date(1968, 12, 30, 0, 0, 0, 0, time.UTC); day.Year() < 2101; day = day.Add(100*time.Hour + 1234*time.Second) {
		for _, zone := range []int{0, 5*3600 + 1800, -8 * 3600} {
			want := day.In(time.FixedZone("", zone))
			got, ok := p.time([]byte(want.Format(layout)))
			if !ok || got != want.Unix() {
				t.Fatalf("%s: got %d, %v; want %d", want.Format(layout), got, ok, want.Unix())
			}
		}
	}
	for _, s := range []string{
		"[00/Jan/2020:00:00:00 +0000]", "[30/Feb/2020:00:00:00 +0000]", "[29/Feb/2021:00:00:00 +0000]", "[1 /Jan/2020:00:00:00 +0000]",
		"[01/jan/2020:00:00:00 +0000]", "[01/Jan/2020:24:00:00 +0000]", "[01/Jan/2020:00:60:00 +0000]", "[01/Jan/2020:00:00:61 +0000]",
		"[01/Jan/2020:00:00:00 0000 ]", "[01/Jan/2020 00:00:00 +0000]", "[01/Jan/20x0:00:00:00 +0000]", "[01/Jan/2020:00:00:00 +00:0]",
	} {
		if _, ok := p.time([]byte(s)); ok {
			t.Errorf("%s: taken as a time", s)
		}
	}
}

func TestReadable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`plain`: "plain", `\"a\\\"`: `"a\"`, `\xd0\xb6`: "ж", `\x0a`: `\x0a`, `\xff`: `\xff`, `\x2`: `\x2`, `\q\`: `\q\`,
		`\xD0\xB6 \x1b`: `\xD0\xB6 \x1b`,
	} {
		if got := readable([]byte(in)); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	long := bytes.Repeat([]byte("é"), 200)
	if got := readable(append([]byte("x"), long...)); len(got) > maxShown+len("…") || got[len(got)-3:] != "…" || got[len(got)-5:len(got)-3] != "é" {
		t.Errorf("long value cut to %q", got)
	}
}
