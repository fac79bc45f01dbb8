package accesslog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// fields is what a line has, as text.
func fields(l *Line) string {
	return fmt.Sprintf("%s|%d|%s|%d|%d|%s|%s", l.Address, l.Unix, l.Request, l.Status, l.Bytes, l.Referrer,
		l.Agent)
}

// descriptions are formats that goaccess's documentation has, and others.
func descriptions(testing.TB) []string {
	return []string{
		`%h %^[%d:%t %^] "%r" %s %b "%R" "%u"`,
		`%v:%^ %h %^[%d:%t %^] "%r" %s %b "%R" "%u"`,
		`%h %~ %d %t %m %U %q %s`,
		`%x %h "%r"`,
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	const time = "971211336" // 10 October 2000, 20:55:36 UTC
	for name, c := range map[string]struct{ format, date, time, line, want string }{
		"common": {Common, "", "",
			`192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 5`, `192.0.2.1|` + time +
				`|GET /a HTTP/1.0|200|5||`},
		"vhost, auto": {Auto, "", "",
			`shop.example:443 2001:db8::1 - ada [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.1" 200 5 "r" "u"`,
			`2001:db8::1|` + time + `|GET /a HTTP/1.1|200|5|r|u`},
		"vhost of v6": {VHostCombined, "", "",
			`[::1]:80 192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.1" 200 - "-" "u"`,
			`192.0.2.1|` + time + `|GET /a HTTP/1.1|200|0|-|u`},
		"vhost by name": {"VCOMBINED", "", "",
			`shop host.example - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.1" 200 5 "-" "u"`,
			`host.example|` + time + `|GET /a HTTP/1.1|200|5|-|u`},
		"vhost common": {VHostCommon, "", "",
			`shop 192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.1" 200 5`, `192.0.2.1|` + time +
				`|GET /a HTTP/1.1|200|5||`},
		"vhost twice": {Auto, "", "",
			`shop shop 192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.1" 200 5`, ""},
		"vhost, no address": {Auto, "", "", `a b c d e [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.1" 200 5`, ""},
		"caddy": {Auto, "", "",
			`{"level":"info","ts":971211336.789,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"192.0.2.9","remote_port":"5","client_ip":"192.0.2.1","proto":"HTTP/2.0","method":"POST","host":"h","uri":"/a?b","headers":{"User-Agent":["u \"1\""],"Referer":["r"]}},"bytes_read":0,"user_id":"","duration":0.1,"size":5,"status":201,"resp_headers":{}}`, `192.0.2.1|` + time + `|POST /a?b HTTP/1.1|201|5|r|u "1"`},
		"caddy, other times": {JSON, "", "",
			`{"ts":"2000/10/10 20:55:36.789","request":{"remote_addr":"[2001:db8::1]:99","method":"GET","uri":"/a"},"status":200,"size":5}`, `2001:db8::1|` + time + `|GET /a HTTP/1.1|200|5||`},
		"nginx": {Auto, "", "",
			`{"time_iso8601":"2000-10-10T13:55:36-07:00","remote_addr":"192.0.2.1","request":"GET /a HTTP/1.1","status":"200","body_bytes_sent":"5","http_referer":"-","http_user_agent":"u"}`, `192.0.2.1|` + time + `|GET /a HTTP/1.1|200|5|-|u`},
		"nginx, parts": {JSON, "", "",
			` {"time_local":"10/Oct/2000:13:55:36 -0700","remote_addr":"192.0.2.1","request_method":"GET","request_uri":"/a","status":200,"bytes_sent":5}`, `192.0.2.1|` + time + `|GET /a HTTP/1.1|200|5||`},
		"nginx, msec": {JSON, "", "",
			`{"msec":"971211336.123","remote_addr":"192.0.2.1","request":"GET /a HTTP/1.1","status":200}`,
			`192.0.2.1|` + time + `|GET /a HTTP/1.1|200|0||`},
		"traefik": {Auto, "", "",
			`{"ClientHost":"192.0.2.1","DownstreamContentSize":5,"DownstreamStatus":200,"RequestMethod":"GET","RequestPath":"/a","StartUTC":"2000-10-10T20:55:36.789Z","request_User-Agent":"u","time":"2000-10-10T20:55:36Z"}`, `192.0.2.1|` + time + `|GET /a HTTP/1.1|200|5||u`},
		"json, milliseconds": {Auto, "", "",
			`{"timestamp":971211336789,"ip":"192.0.2.1","method":"GET","path":"/a","status":200,"size":5}`,
			`192.0.2.1|` + time + `|GET /a HTTP/1.1|200|5||`},
		"json of no request": {Auto, "", "", `{"level":"info","ts":971211336.7,"msg":"serving"}`, ""},
		"json cut":           {Auto, "", "", `{"ts":971211336.7,"ip":"192.0.2.1","status":200`, ""},
		"json list":          {JSON, "", "", `[{"ts":971211336.7}]`, ""},
		"described": {descriptions(t)[0], "", "",
			`192.0.2.1 - - [10/Oct/2000:20:55:36 +0000] "GET /\"a\" HTTP/1.0" 200 5 "r" "u"`, `192.0.2.1|` +
				time + `|GET /\"a\" HTTP/1.0|200|5|r|u`},
		"described vhost": {descriptions(t)[1], "", "",
			`shop:80 192.0.2.1 - - [10/Oct/2000:20:55:36 +0000] "GET /a HTTP/1.0" 200 - "r" "u"`,
			`192.0.2.1|` + time + `|GET /a HTTP/1.0|200|0|r|u`},
		"cloudfront": {"%d\t%t\t%^\t%b\t%h\t%m\t%v\t%U\t%s\t%R\t%u\t%q\t%^", "%Y-%m-%d", "%H:%M:%S",
			"2000-10-10\t20:55:36\tX\t5\t192.0.2.1\tGET\tv\t/a\t200\tr\tu\tb=1\trest\tand more",
			`192.0.2.1|` + time + `|GET /a?b=1 HTTP/1.1|200|5|r|u`},
		"w3c": {`%d %t %^ %m %U %q %^ %^ %h %u %R %s %^`, "%Y-%m-%d", "",
			`2000-10-10 20:55:36 10.0.0.1 GET /a - 80 - 192.0.2.1 u r 200 0 0 12`, `192.0.2.1|` + time +
				`|GET /a HTTP/1.1|200|0|r|u`},
		"elb": {`%^ %dT%t.%^ %v %h:%^ %^ %^ %T %^ %s %^ %^ %b "%r" "%u"`, "%Y-%m-%d", "",
			`https 2000-10-10T20:55:36.789Z lb 192.0.2.1:5 10.0.0.1:80 0.0 0.1 0.2 200 200 7 5 "GET /a HTTP/1.1" "u" x y`, `192.0.2.1|` + time + `|GET /a HTTP/1.1|200|5||u`},
		"time in one": {`%x.%^ %^ %h:%^ "%r" %s`, "%FT%T", "",
			`2000-10-10T20:55:36.789Z lb 192.0.2.1:5 "GET /a HTTP/1.1" 200`, `192.0.2.1|` + time +
				`|GET /a HTTP/1.1|200|0||`},
		"iso by itself": {`%x %h "%r"`, "", "", `2000-10-10T13:55:36-07:00 192.0.2.1 "GET /a HTTP/1.1" 200 x`,
			`192.0.2.1|` + time + `|GET /a HTTP/1.1|-1|0||`},
		"squid": {`%x.%^ %~%L %h %^/%s %b %m %U`, "%s", "",
			`971211336.789     95 192.0.2.1 TCP_MISS/200 5 GET /a`, `192.0.2.1|` + time +
				`|GET /a HTTP/1.1|200|5||`},
		"blanks": {`%h %~%d %t %s "%r"`, "%F", "",
			`192.0.2.1    2000-10-10 20:55:36 404 "GET /a HTTP/1.1"`, `192.0.2.1|` + time +
				`|GET /a HTTP/1.1|404|0||`},
		"percent sign": {`100%% %h %d %t "%r"`, "%d.%m.%y", "%I:%M:%S %p",
			`100% 192.0.2.1 10.10.00 08:55:36 PM "GET /a HTTP/1.1"`, `192.0.2.1|` + time +
				`|GET /a HTTP/1.1|-1|0||`},
		"text between": {`100%% %h %d, %t, "%r"`, "%d. %B %Y", "%I:%M:%S %p",
			`100% 192.0.2.1 10. october 2000, 08:55:36 pm, "GET /a HTTP/1.1"`, `192.0.2.1|` + time +
				`|GET /a HTTP/1.1|-1|0||`},
		"other text": {descriptions(t)[0], "", "",
			`192.0.2.1 - - (10/Oct/2000:20:55:36 +0000) "GET / HTTP/1.0" 200 5 "r" "u"`, ""},
		"no such day": {descriptions(t)[0], "", "",
			`192.0.2.1 - - [31/Feb/2000:20:55:36 +0000] "GET / HTTP/1.0" 200 5 "r" "u"`, ""},
	} {
		f, err := ParseFormat(c.format, c.date, c.time)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p := NewParser(f)
		var l Line
		for range 2 {
			got := ""
			if p.Parse([]byte(c.line), &l) {
				got = fields(&l)
			}
			if got != c.want {
				t.Errorf("%s: got %q, want %q", name, got, c.want)
			}
		}
	}
}

func TestFormatsRefused(t *testing.T) {
	t.Parallel()
	for format, why := range map[string]string{
		"apache":              "neither",
		"%h %d %t":            "%r or %U",
		"%d %t %r":            "%h",
		"%h %t %r":            "the date",
		"%h%d %r":             "between %h and %d",
		"%h %h %d %r":         "twice",
		"%h %d %r %":          "at its end",
		"%h %d %r %Z":         "not known",
		"%h %d %x %r":         "by itself",
		"%h %t %x %r":         "by itself",
		"~h %d %r":            "%h",
		"%h %~%d %^%r":        "between %^ and %r",
		"":                    "percent signs",
		Common:                "percent signs",
		"%h %d %t %r|%d%Q":    "conversion",
		"%h %d %t %r|%Y-%m-%": "conversion",
	} {
		format, date, own := strings.Cut(format, "|")
		if !own && why == "percent signs" {
			date = "%d"
		}
		if _, err := ParseFormat(format, date, ""); !errors.Is(err, ErrFormat) ||
			!strings.Contains(err.Error(), why) {
			t.Errorf("%q, %q: %v, want %q", format, date, err, why)
		}
	}
}

func FuzzFormat(f *testing.F) {
	for _, format := range descriptions(f) {
		f.Add(format, "%Y-%m-%dT%T%z", "",
			[]byte(`192.0.2.1 - - [10/Oct/2000:20:55:36 +0000] "GET / HTTP/1.0" 200 5 "r" "u"`))
	}
	f.Add("%h %~%t %~%x %U", "", "", []byte("a 1 2 3"))
	f.Add("%h %x %r", "%s%*%f%p%e%Z%n", "%I", []byte("a 1 2"))
	f.Fuzz(func(t *testing.T, format, date, time string, line []byte) {
		parsed, err := ParseFormat(format, date, time)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		var l Line
		if NewParser(parsed).Parse(line, &l) && (len(l.Address) == 0 || l.Status > 999 || l.Status < -1 ||
			l.Bytes < 0) {
			t.Fatalf("%q gives %+v", line, l)
		}
	})
}
