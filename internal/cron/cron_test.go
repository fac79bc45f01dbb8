package cron_test

import (
	"strings"
	"testing"
	"time"

	"longshore/internal/cron"
)

func mustParse(t *testing.T, text string) *cron.Expression {
	t.Helper()
	e, err := cron.Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return e
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	in, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// between lists the times from since on, up to and with until.
func between(t *testing.T, text, in, since, until string) []string {
	t.Helper()
	e, at, end := mustParse(t, text), moment(t, since).Add(-time.Nanosecond), moment(t, until)
	var list []string
	for len(list) < 1000 {
		next, ok := e.Next(at, zone(t, in))
		if !ok || next.After(end) {
			break
		}
		if !next.After(at) {
			t.Fatalf("%s: %v is not after %v", text, next, at)
		}
		at = next
		list = append(list, next.UTC().Format("02T15:04Z"))
	}
	return list
}

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, in, since, until, want string }{
		{"*/20 * * * *", "UTC", "2027-03-01T00:00:00Z", "2027-03-01T01:00:00Z",
			"01T00:00Z 01T00:20Z 01T00:40Z 01T01:00Z"},
		{"0 9 * * MON-fri", "UTC", "2027-03-05T00:00:00Z", "2027-03-09T00:00:00Z", "05T09:00Z 08T09:00Z"},
		{"0 0 1-7,15 * 7", "UTC", "2027-03-05T00:00:00Z", "2027-03-22T00:00:00Z",
			"05T00:00Z 06T00:00Z 07T00:00Z 14T00:00Z 15T00:00Z 21T00:00Z"},
		{"0 0 1 */2 *", "UTC", "2027-01-02T00:00:00Z", "2027-05-02T00:00:00Z", "01T00:00Z 01T00:00Z"},
		{"0 0 */2 * 1", "UTC", "2027-03-01T00:00:00Z", "2027-03-30T00:00:00Z",
			"01T00:00Z 15T00:00Z 29T00:00Z"}, // both
		{"@weekly", "UTC", "2027-03-01T00:00:00Z", "2027-03-15T00:00:00Z", "07T00:00Z 14T00:00Z"},
		{"0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-03-01T00:00:00Z", "29T00:00Z"},
		// A night without half past two, and one with two of half past one.
		{"30 2 * * *", "America/New_York", "2027-03-14T00:00:00Z", "2027-03-14T23:00:00Z", "14T07:00Z"},
		{"30 1 * * *", "America/New_York", "2027-11-07T00:00:00Z", "2027-11-07T23:00:00Z", "07T05:30Z"},
		{"0,15,30 2 * * *", "America/New_York", "2027-03-14T00:00:00Z", "2027-03-14T23:00:00Z", "14T07:00Z"},
		{"0,30 2,3 * * *", "America/New_York", "2027-03-14T00:00:00Z", "2027-03-14T23:00:00Z",
			"14T07:00Z 14T07:30Z"},
		{"0,30 1,2 * * *", "America/New_York", "2027-11-07T00:00:00Z", "2027-11-07T23:00:00Z",
			"07T05:00Z 07T05:30Z 07T07:00Z 07T07:30Z"},
		// Each hour: it follows the clock.
		{"*/15 * * * *", "Europe/London", "2027-10-30T23:55:00Z", "2027-10-31T03:05:00Z",
			"31T00:00Z 31T00:15Z 31T00:30Z 31T00:45Z 31T01:00Z 31T01:15Z 31T01:30Z 31T01:45Z 31T02:00Z 31T02:15Z 31T02:30Z 31T02:45Z 31T03:00Z"},
		{"30 0-23 * * *", "Europe/Berlin", "2027-03-28T00:00:00Z", "2027-03-28T03:00:00Z",
			"28T00:30Z 28T01:30Z 28T02:30Z"},
		// Half an hour is turned; a whole day is missing; midnight is.
		{"15 2 * * *", "Australia/Lord_Howe", "2027-10-02T00:00:00Z", "2027-10-03T12:00:00Z", "02T15:30Z"},
		{"0 12 30 12 *", "Pacific/Apia", "2011-12-20T00:00:00Z", "2012-01-02T00:00:00Z", "30T10:00Z"},
		{"0 0 * * *", "Africa/Cairo", "2027-04-29T00:00:00Z", "2027-04-30T23:00:00Z", "29T22:00Z 30T21:00Z"},
	} {
		if got := strings.Join(between(t, c.text, c.in, c.since, c.until), " "); got != c.want {
			t.Errorf("%s in %s: %s, want %s", c.text, c.in, got, c.want)
		}
	}
}

// Every expression that is wrong is refused with the place of what is.
func TestWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                        "at character 1: it is empty",
		"   ":                     "at character 1: it is empty",
		"* * * *":                 "at character 8: expected five fields",
		"0 * * * * *":             "at character 11: expected five fields (minute, hour, day, month, weekday), found 6; there are no seconds",
		"60 * * * *":              `at character 1: minute: expected 0 to 59, found 60`,
		"0 24 * * *":              `at character 3: hour: expected 0 to 23, found 24`,
		"0 0 0 * *":               `at character 5: day of the month: expected 1 to 31, found 0`,
		"0 0 * 13 *":              `at character 7: month: expected 1 to 12`,
		"0 0 * * 8":               `at character 9: day of the week: expected 0 to 7`,
		"0 0 * * MONDAY":          `at character 9: day of the week: expected a number or a name, as MON, found "MONDAY"`,
		"5/15 * * * *":            "at character 2: minute: a step needs * or a range before it: 5-59/15?",
		"0 22-2 * * *":            "at character 3: hour: the range 22-2 runs backwards",
		"1,,2 * * * *":            "at character 3: minute: expected a value, a range or *",
		"1, * * * *":              "at character 3: minute: expected a value",
		",1 * * * *":              "at character 1: minute: expected a value",
		"*/0 * * * *":             "at character 3: minute: a step is 1 to 60, found 0",
		"*/61 * * * *":            "at character 3: minute: a step is 1 to 60",
		"*/x * * * *":             `at character 3: minute: expected a number as step, found "x"`,
		"*/ * * * *":              `at character 3: minute: expected a number as step, found ""`,
		"1-2-3 * * * *":           `at character 3: minute: expected a number, found "2-3"`,
		"-1 * * * *":              `at character 1: minute: expected a number, found ""`,
		"1- * * * *":              `at character 3: minute: expected a number, found ""`,
		"+1 * * * *":              `found "+1"`,
		"0 0 ? * *":               `at character 5: day of the month: expected a number, found "?"`,
		"0 0 L * *":               `found "L"`,
		"0 0 15W * *":             `found "15W"`,
		"0 0 * * 1#2":             `at character 9: day of the week: expected a number or a name, as MON, found "1#2"`,
		"H * * * *":               `found "H"`,
		"** * * * *":              `found "**"`,
		"0 0 * FEB-XYZ *":         `at character 11: month: expected a number or a name, as FEB, found "XYZ"`,
		"@reboot":                 `at character 1: there is no "@reboot"`,
		"@every 5m":               "expected five fields",
		"TZ=UTC 0 * * * *":        "at character 1: a time zone has a field of its own",
		"CRON_TZ=UTC 0 * * * *":   "at character 1: a time zone has a field of its own",
		"0 0 30 2 *":              "at character 5: it never comes",
		"0 0 31 4 *":              "it never comes",
		"0 0 31 2,4,6,9,11 *":     "it never comes",
		"0 0 29 2 */7":            "it never comes", // a Sunday that is a 29th of February
		"00000 * * * *":           `found "00000"`,
		"1\n2 * * * *":            `found "1\n2"`,
		strings.Repeat("1,", 200): "at character 257: it is longer than 256 bytes",
	} {
		begun := time.Now()
		_, err := cron.Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
		if took := time.Since(begun); took > 10*time.Second { // of 10 ms, on a machine that does much else
			t.Errorf("%q took %v", text, took)
		}
	}
}
