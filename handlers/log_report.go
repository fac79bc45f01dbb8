package handlers

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"

	"longshore/job"
)

// A logReport is the result of log.analyze.
type logReport struct {
	Lines          int64   `json:"lines"`                     // all, well-formed or not
	Malformed      int64   `json:"malformed"`                 // not counted in anything below but warnings
	MalformedLines []int64 `json:"malformed_lines,omitempty"` // numbers of the first maxMalformed of them

	UniqueAddresses      int64 `json:"unique_addresses"`
	UniqueAddressesExact bool  `json:"unique_addresses_exact"` // else an estimate, 0.4 % standard error

	Bytes  int64            `json:"bytes"`
	Status map[string]int64 `json:"status"`
	// "other" for what is no request, and past maxMethods names
	Methods      map[string]int64 `json:"methods"`
	Errors       int64            `json:"errors"`        // status 400 and above
	ServerErrors int64            `json:"server_errors"` // status 500 and above
	Warnings     int64            `json:"warnings"`      // lines that contain WARN

	TopPaths      []topEntry `json:"top_paths"` // with their queries
	TopAddresses  []topEntry `json:"top_addresses"`
	TopReferrers  []topEntry `json:"top_referrers"`   // without "-"
	TopUserAgents []topEntry `json:"top_user_agents"` // without "-"

	// Approximate has the lists whose counts are too low by that much at most,
	// because there were more different values than are kept.
	Approximate map[string]int64 `json:"approximate,omitempty"`
	// Cut says that lists are shorter than asked for.
	Cut string `json:"cut,omitempty"`

	// Hours counts lines by the hour (UTC) that the key begins; where
	// HoursPerBucket is over 1, by so many hours.
	Hours          map[string]int64 `json:"hours"`
	HoursPerBucket int64            `json:"hours_per_bucket"`

	Encoding string `json:"encoding,omitempty"` // that was decoded

	First string `json:"first,omitempty"` // the earliest time, RFC 3339 in UTC
	Last  string `json:"last,omitempty"`  // the latest
}

type topEntry struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

// report sums up. The lists have n entries each, or fewer where the result
// would grow over job.MaxDocument.
func (a *logAnalysis) report(n int) (*logReport, error) {
	r := &logReport{
		Lines: a.lines, Malformed: a.malformed, MalformedLines: a.malformedLines,
		Bytes: a.bytes, Status: map[string]int64{}, Methods: map[string]int64{},
		Warnings: a.warnings, Hours: a.hours.histogram(), HoursPerBucket: a.hours.width,
	}
	r.UniqueAddresses, r.UniqueAddressesExact = a.unique()
	for status, count := range a.status {
		if count == 0 {
			continue
		}
		r.Status[fmt.Sprintf("%03d", status)] = count
		if status >= 400 {
			r.Errors += count
		}
		if status >= 500 {
			r.ServerErrors += count
		}
	}
	for method, count := range a.methods {
		r.Methods[method] = *count
	}
	if a.first <= a.last {
		r.First, r.Last = rfc3339(a.first), rfc3339(a.last)
	}
	lists := a.lists(r)
	for _, list := range lists {
		*list.to = list.from.values(n)
		if list.from.slack > 0 {
			if r.Approximate == nil {
				r.Approximate = map[string]int64{}
			}
			r.Approximate[list.name] = list.from.slack
		}
	}
	return r, r.fit(lists, n)
}

// A topList is one list of a report and where it comes from.
type topList struct {
	name string
	from *counter
	to   *[]topEntry
}

func (a *logAnalysis) lists(r *logReport) []topList {
	return []topList{
		{"top_paths", a.paths, &r.TopPaths},
		{"top_addresses", a.addresses, &r.TopAddresses},
		{"top_referrers", a.referrers, &r.TopReferrers},
		{"top_user_agents", a.agents, &r.TopUserAgents},
	}
}

// fit shortens all lists alike until the report is small enough for a result.
func (r *logReport) fit(lists []topList, n int) error {
	for {
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode report: %w", err)
		}
		if len(text) <= job.MaxDocument || n == 0 {
			return nil
		}
		n = min(n-1, int(float64(n)*0.98*job.MaxDocument/float64(len(text))))
		for _, list := range lists {
			*list.to = (*list.to)[:min(n, len(*list.to))]
		}
		r.Cut = "the lists end after " + strconv.Itoa(n) + " entries, for a result has " +
			strconv.Itoa(job.MaxDocument) + " bytes at most"
	}
}

// values returns the top n as they are shown.
func (c *counter) values(n int) []topEntry {
	top := c.top(n)
	entries := make([]topEntry, len(top))
	for i, e := range top {
		entries[i] = topEntry{readable(c.key(e)), e.count}
	}
	return entries
}

// maxShown is where a value in a list is cut, in bytes.
const maxShown = 256

// readable undoes the escapes of a log's field (\" \\ \xhh) where that gives
// printable text, and cuts what is long.
func readable(field []byte) string {
	plain := unescape(field)
	if !utf8.Valid(plain) || containsControl(plain) {
		plain = field
	}
	if len(plain) <= maxShown {
		return string(plain)
	}
	cut := maxShown
	for cut > maxShown-utf8.UTFMax && !utf8.RuneStart(plain[cut]) {
		cut--
	}
	return string(plain[:cut]) + "…"
}

func containsControl(s []byte) bool {
	for _, r := range string(s) {
		if unicode.IsControl(r) {
			return true
		}
	}
	return false
}

func unescape(s []byte) []byte {
	plain := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			plain = append(plain, s[i])
			continue
		}
		switch next := s[i+1]; {
		case next == '"' || next == '\\':
			plain = append(plain, next)
			i++
		case next == 'x' && i+3 < len(s) && hexDigit(s[i+2]) < 16 && hexDigit(s[i+3]) < 16:
			plain = append(plain, hexDigit(s[i+2])<<4|hexDigit(s[i+3]))
			i += 3
		default:
			plain = append(plain, '\\')
		}
	}
	return plain
}

// hexDigit returns a digit's value, 255 for anything else.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return math.MaxUint8
}
