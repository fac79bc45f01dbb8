package handlers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/handlers/handlerstest"
	"longshore/internal/loggen"
	"longshore/internal/stream"
	"longshore/job"
)

// A real log whose facts were counted with awk.
func TestAnalyzeRealLog(t *testing.T) {
	t.Parallel()
	log, err := os.ReadFile("../../shared/data/access.log")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no ../shared/data/access.log here")
	}
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"lines": 10000.0, "malformed": 0.0, "unique_addresses": 1753.0, "unique_addresses_exact": true,
		"bytes": 2747282740.0, "status": map[string]any{"200": 9126.0, "206": 45.0, "301": 164.0,
			"304": 445.0, "403": 2.0, "404": 213.0, "416": 2.0, "500": 3.0},
		"methods": map[string]any{"GET": 9952.0, "HEAD": 42.0, "OPTIONS": 1.0, "POST": 5.0},
		"errors":  220.0, "server_errors": 3.0, "warnings": 0.0,
		"top_paths":     []any{entry("/favicon.ico", 807), entry("/style2.css", 546)},
		"top_addresses": []any{entry("66.249.73.135", 482), entry("46.105.14.53", 364)},
		"top_referrers": []any{
			entry("http://semicomplete.com/presentations/logstash-puppetconf-2012/", 689),
			entry("http://www.semicomplete.com/projects/xdotool/", 656),
		},
		"hours_per_bucket": 1.0,
		"first":            "2015-05-17T10:05:00Z", "last": "2015-05-20T21:05:59Z",
	}
	for name, input := range map[string][]byte{"plain": log, "gzip": pack(t, stream.Gzip, log),
		"zstd": pack(t, stream.Zstd, log)} {
		got, _ := succeed(t, "log.analyze", `{"top":2}`, input)
		hours, _ := got["hours"].(map[string]any)
		if len(hours) != 84 || hours["2015-05-17T10:00:00Z"] != 74.0 {
			t.Errorf("%s: %d hours, %v in the first; want 84, 74", name, len(hours),
				hours["2015-05-17T10:00:00Z"])
		}
		delete(got, "hours")
		delete(got, "top_user_agents")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func entry(value string, count float64) map[string]any {
	return map[string]any{"value": value, "count": count}
}

const oddLog = `192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326
192.0.2.1 - ada [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326 "http://example.com/" "Mozilla/4.08 [en] (Win98; I ;Nav)"
192.0.2.2 - - [10/Oct/2000:20:00:00 +0000] "GET /q?x=\"1\" HTTP/1.1" 404 - "-" "say \"WARN\" \\"
192.0.2.2 - - [10/Oct/2000:20:00:00 +0000] "GET /q?x=\x221\x22 HTTP/1.1" 500 0 "-" "-"
2001:db8::1 - a b [x [10/Oct/2000:21:00:00 +0000] "-" 408 0 "-" "-"
example.com - - [10/Oct/2000:21:00:01 +0000] "\x16\x03\x01" 400 157 "" ""
192.0.2.3 - - [10/Oct/2000:21:00:01 +0000] "PROPFIND /dav HTTP/2" 207 5 "-" "cut

not a log line
192.0.2.4 - - [31/Feb/2000:21:00:01 +0000] "GET / HTTP/1.1" 200 5 "-" "-"
192.0.2.4 - - [10/Oct/2000:21:00:01 +0000] "GET / HTTP/1.1" 20 5 "-" "-"
192.0.2.4 - - [10/Oct/2000:21:00:01 +0000] "GET / HTTP/1.1" 200 x "-" "-"
192.0.2.4 - - [10/Oct/2000:21:00:01 +0000] "GET /cut HT`

func TestAnalyzeOddLines(t *testing.T) {
	t.Parallel()
	want := map[string]any{
		"lines": 13.0, "malformed": 6.0, "malformed_lines": []any{8.0, 9.0, 10.0, 11.0, 12.0, 13.0},
		"unique_addresses": 5.0, "unique_addresses_exact": true, "bytes": 2*2326.0 + 157 + 5,
		"status":  map[string]any{"200": 2.0, "207": 1.0, "400": 1.0, "404": 1.0, "408": 1.0, "500": 1.0},
		"methods": map[string]any{"GET": 4.0, "PROPFIND": 1.0, "other": 2.0},
		"errors":  4.0, "server_errors": 1.0, "warnings": 1.0,
		"top_paths": []any{entry("/a", 2), entry("/dav", 1), entry(`/q?x="1"`, 1),
			entry(`/q?x="1"`, 1)},
		"top_addresses": []any{entry("192.0.2.1", 2), entry("192.0.2.2", 2), entry("192.0.2.3", 1),
			entry("2001:db8::1", 1), entry("example.com", 1)},
		"top_referrers": []any{entry("http://example.com/", 1)},
		"top_user_agents": []any{entry("Mozilla/4.08 [en] (Win98; I ;Nav)", 1), entry("cut", 1),
			entry(`say "WARN" \`, 1)},
		"hours":            map[string]any{"2000-10-10T20:00:00Z": 4.0, "2000-10-10T21:00:00Z": 3.0},
		"hours_per_bucket": 1.0, "first": "2000-10-10T20:00:00Z", "last": "2000-10-10T21:00:01Z",
	}
	for _, input := range []string{oddLog, strings.ReplaceAll(oddLog, "\n", "\r\n"), oddLog + "\n"} {
		got, _ := succeed(t, "log.analyze", `{}`, []byte(input))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestAnalyzeFormat(t *testing.T) {
	t.Parallel()
	common := `192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326` + "\n"
	combined := strings.TrimSuffix(common, "\n") + ` "-" "curl"` + "\n"
	extended := strings.TrimSuffix(combined, "\n") + ` "203.0.113.9" 0.004` + "\n"
	for format, malformed := range map[string]float64{"auto": 0, "common": 2, "combined": 1} {
		got, _ := succeed(t, "log.analyze", `{"format":"`+format+`"}`, []byte(common+combined+extended))
		if got["malformed"] != malformed {
			t.Errorf("%s: %v malformed, want %v", format, got["malformed"], malformed)
		}
	}
}

func TestAnalyzeEmpty(t *testing.T) {
	t.Parallel()
	for _, input := range [][]byte{nil, pack(t, stream.Gzip, nil)} {
		got, _ := succeed(t, "log.analyze", `{}`, input)
		if _, ok := got["first"]; ok || got["lines"] != 0.0 || got["unique_addresses"] != 0.0 ||
			got["top_paths"] == nil {
			t.Errorf("empty log: %v", got)
		}
	}
}

func TestAnalyzeLongLine(t *testing.T) {
	t.Parallel()
	line := `192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326` + "\n"
	got, _ := succeed(t, "log.analyze", `{}`, []byte(line+strings.Repeat("x", 5<<20)+"\n"+line))
	if got["lines"] != 3.0 || got["malformed"] != 1.0 || got["bytes"] != 2*2326.0 {
		t.Errorf("got %v", got)
	}
}

func TestAnalyzeBadInput(t *testing.T) {
	t.Parallel()
	packed := pack(t, stream.Gzip, someLog(t, 100_000))
	fail(t, "log.analyze", `{}`, packed[:len(packed)-1], job.CorruptInput)
	fail(t, "log.analyze", `{}`, pack(t, stream.Gzip, make([]byte, 64<<20)), job.OutputLimit)
}

// What the generator says it wrote is what the analysis finds, exactly as long
// as its bounds hold.
func TestAnalyzeGenerated(t *testing.T) {
	t.Parallel()
	o := loggen.Options{Seed: 9, Lines: 60_000}
	r := loggen.New(o)
	log, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	totals := r.Totals()
	got, _ := succeed(t, "log.analyze", `{"top":3}`, log)
	status := map[string]any{}
	for code, n := range totals.Status {
		status[code] = float64(n)
	}
	for field, want := range map[string]any{
		"lines": float64(totals.Lines), "malformed": float64(totals.Malformed),
		"warnings": float64(totals.Warnings), "bytes": float64(totals.Bytes), "status": status,
		"first": totals.First.Format(time.RFC3339), "last": totals.Last.Format(time.RFC3339),
	} {
		if diff := cmp.Diff(want, got[field]); diff != "" {
			t.Errorf("%s (-want +got)\n%s", field, diff)
		}
	}
	addresses := map[string]bool{}
	for line := range strings.Lines(string(log)) {
		if address, rest, ok := strings.Cut(line, " "); ok && strings.Contains(rest, "] \"") &&
			!strings.HasSuffix(line, "he\n") {
			addresses[address] = true
		}
	}
	delete(addresses, "192.0.2.77") // of broken lines only
	if got["unique_addresses"] != float64(len(addresses)) {
		t.Errorf("unique addresses: %v, want %d", got["unique_addresses"], len(addresses))
	}
}

// Beyond the bounds the result says so, and stays close to the truth.
func TestAnalyzeManyValues(t *testing.T) {
	t.Parallel()
	const addresses, heavy = 200_000, 30_000
	var b bytes.Buffer
	for i := range addresses {
		fmt.Fprintf(&b, "2001:db8::%x:%x - - [10/Oct/2000:13:55:36 +0000] \"GET /only/%d HTTP/1.0\" 200 1\n",
			i>>16, i&0xffff, i)
		if i < heavy {
			fmt.Fprintf(&b, "192.0.2.%d - - [10/Oct/2000:13:55:36 +0000] \"GET /heavy/%d HTTP/1.0\" 200 1\n",
				i%3, i%3)
		}
	}
	got, _ := succeed(t, "log.analyze", `{"top":3}`, b.Bytes())
	if n, ok := got["unique_addresses"].(float64); !ok || got["unique_addresses_exact"] != false ||
		n < addresses*0.98 || n > addresses*1.02 {
		t.Errorf("unique addresses: %v, exact %v; want about %d, not exact", n, got["unique_addresses_exact"],
			addresses)
	}
	slack, _ := got["approximate"].(map[string]any)
	if _, ok := slack["top_user_agents"]; ok || len(slack) != 2 {
		t.Errorf("approximate: %v, want top_paths and top_addresses", slack)
	}
	for _, list := range []string{"top_paths", "top_addresses"} {
		entries, _ := got[list].([]any)
		missing, _ := slack[list].(float64)
		for _, e := range entries {
			value, _ := e.(map[string]any)["value"].(string)
			count, _ := e.(map[string]any)["count"].(float64)
			if !strings.HasPrefix(value, "/heavy/") && !strings.HasPrefix(value, "192.0.2.") ||
				count > heavy/3 || count+missing < heavy/3 {
				t.Errorf("%s: %v ×%v (at most %v missing), want a heavy one ×%d", list, value, count, missing,
					heavy/3)
			}
		}
	}
}

// The result fits its limit whatever is asked for.
func TestAnalyzeResultSize(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	for i := range 2000 {
		at := time.Date(1995, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 100 * time.Hour)
		long := strings.Repeat("<é&>", 200) + fmt.Sprint(i)
		fmt.Fprintf(&b, "host%d - - [%s] \"M%c%c /%d%s HTTP/1.0\" %03d 1 \"http://%s\" \"%s\"\n",
			i, at.Format("02/Jan/2006:15:04:05 -0700"), 'A'+i%26, 'A'+i/26%26, i, long, i%1000, long, long)
	}
	r, files := handlerstest.NewRun("log.analyze", b.Bytes())
	text, err := run(t, t.Context(), "log.analyze", `{"top":1000}`, r, files)
	if err != nil || len(text) > job.MaxDocument {
		t.Fatalf("result has %d bytes, %v", len(text), err)
	}
	var got struct {
		Cut            string           `json:"cut"`
		TopPaths       []any            `json:"top_paths"`
		TopAddresses   []any            `json:"top_addresses"`
		Hours          map[string]int64 `json:"hours"`
		HoursPerBucket int              `json:"hours_per_bucket"`
		Methods        map[string]int64 `json:"methods"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Cut == "" || len(got.TopPaths) == 0 || len(got.TopPaths) != len(got.TopAddresses) {
		t.Errorf("cut %q, %d paths, %d addresses; want lists of one length and a word", got.Cut,
			len(got.TopPaths), len(got.TopAddresses))
	}
	var events int64
	for _, n := range got.Hours {
		events += n
	}
	if events != 2000 || len(got.Hours) > 744 || got.HoursPerBucket != 384 {
		t.Errorf("%d events in %d buckets of %d hours, want 2000 in at most 744 of 384", events,
			len(got.Hours), got.HoursPerBucket)
	}
	if len(got.Methods) > 65 || got.Methods["other"] == 0 {
		t.Errorf("%d methods, %d other", len(got.Methods), got.Methods["other"])
	}
}
