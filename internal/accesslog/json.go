package accesslog

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"
)

// The names that members have in the logs of nginx (by convention: its operator
// chooses them), Caddy and Traefik; the first one that is there counts.
var (
	jsonAddress = []string{"client_ip", "remote_ip", "remote_addr", "clientip", "client", "ip", "ClientHost",
		"ClientAddr"}
	jsonTime = []string{"ts", "time_iso8601", "time_local", "@timestamp", "timestamp", "time", "msec",
		"StartUTC"}
	jsonStatus   = []string{"status", "status_code", "response", "DownstreamStatus"}
	jsonBytes    = []string{"body_bytes_sent", "bytes_sent", "bytes", "size", "DownstreamContentSize"}
	jsonMethod   = []string{"method", "request_method", "verb", "RequestMethod"}
	jsonURL      = []string{"uri", "request_uri", "url", "path", "RequestPath"}
	jsonReferrer = []string{"http_referer", "http_referrer", "referer", "referrer", "Referer",
		"request_Referer"}
	jsonAgent = []string{"http_user_agent", "user_agent", "agent", "useragent", "User-Agent",
		"request_User-Agent"}
)

// json reads a line that is an object of JSON. It must have an address, a time
// and a status; what Caddy says of a request is in an object of its own.
func (p *Parser) json(line []byte, l *Line) bool {
	var all map[string]any
	if json.Unmarshal(line, &all) != nil {
		return false
	}
	inner, _ := all["request"].(map[string]any)
	headers, _ := inner["headers"].(map[string]any)
	look := func(names []string) any {
		for _, object := range [...]map[string]any{all, inner, headers} {
			for _, name := range names {
				if v, ok := object[name]; ok && v != nil {
					return v
				}
			}
		}
		return nil
	}
	*l = Line{Address: jsonHost(text(look(jsonAddress))), Referrer: text(look(jsonReferrer)),
		Agent: text(look(jsonAgent))}
	var ok bool
	if l.Unix, ok = p.jsonClock(look(jsonTime)); !ok || len(l.Address) == 0 {
		return false
	}
	status, ok := count(look(jsonStatus))
	if !ok || status > 999 {
		return false
	}
	l.Status = int(status)
	if l.Bytes, ok = count(look(jsonBytes)); !ok {
		l.Bytes = 0
	}
	if request, ok := all["request"].(string); ok {
		l.Request = []byte(request)
		return true
	}
	if url := text(look(jsonURL)); url != nil {
		l.Request = p.request(text(look(jsonMethod)), url)
	}
	return true
}

// text is a value as text; of a list, as headers are, it is the first one.
func text(v any) []byte {
	switch v := v.(type) {
	case string:
		return []byte(v)
	case []any:
		if len(v) > 0 {
			return text(v[0])
		}
	}
	return nil
}

// count is a number, which may be in quotes.
func count(v any) (int64, bool) {
	switch v := v.(type) {
	case float64:
		return whole(v)
	case string:
		return bytesOf([]byte(v))
	}
	return 0, false
}

// jsonHost is an address without its port.
func jsonHost(address []byte) []byte {
	if at, err := netip.ParseAddrPort(string(address)); err == nil {
		return []byte(at.Addr().String())
	}
	for _, c := range address {
		if c <= ' ' {
			return nil
		}
	}
	return address
}

// jsonLayouts are the ways in which these servers write a time as text.
var jsonLayouts = []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006/01/02 15:04:05",
	"2006-01-02 15:04:05", time.RFC1123}

func (p *Parser) jsonClock(v any) (int64, bool) {
	switch v := v.(type) {
	case float64:
		if !(v >= 0 && v < 1e19) {
			return 0, false
		}
		for range 3 {
			if v < 1e11 {
				break
			}
			v /= 1000
		}
		return int64(v), v < 1e11
	case string:
		if in := "[" + v + "]"; len(in) == len("[02/Jan/2006:15:04:05 -0700]") {
			if unix, ok := p.time([]byte(in)); ok {
				return unix, true
			}
		}
		for _, layout := range jsonLayouts {
			if t, err := time.Parse(layout, v); err == nil {
				return t.Unix(), true
			}
		}
		if x, err := strconv.ParseFloat(v, 64); err == nil {
			return p.jsonClock(x)
		}
	}
	return 0, false
}
