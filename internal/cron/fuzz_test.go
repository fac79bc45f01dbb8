package cron

import (
	"errors"
	"strings"
	"testing"
	"time"

	robfig "github.com/robfig/cron/v3"
)

// matches reports whether a clock that shows a time shows one that is named.
func (e *Expression) matches(wall time.Time) bool {
	return e.minutes&(1<<wall.Minute()) != 0 && e.hours&(1<<wall.Hour()) != 0 &&
		e.months&(1<<wall.Month()) != 0 && e.day(wall)
}

// slowNext is Next as one would say it: a clock is watched minute by minute.
func (e *Expression) slowNext(after time.Time, in *time.Location, days int) (time.Time, bool) {
	at := after.Truncate(time.Minute).Add(-50 * time.Hour)
	shown := wallOf(at, aheadAt(at.In(in)))
	latest := shown
	for range (days + 3) * 24 * 60 {
		at = at.Add(time.Minute)
		was := shown
		shown = wallOf(at, aheadAt(at.In(in)))
		comes := e.matches(shown)
		if !e.wild() {
			comes = comes && shown.After(latest)
			for missing := was.Add(time.Minute); missing.Before(shown); missing = missing.Add(time.Minute) {
				comes = comes || e.matches(missing)
			}
		}
		if shown.After(latest) {
			latest = shown
		}
		if comes && at.After(after) {
			return at, true
		}
	}
	return time.Time{}, false
}

// FuzzNext holds Next against a clock that is watched, in zones that turn theirs in all ways, and against
// another library where the two agree on what an expression means.
func FuzzNext(f *testing.F) {
	zones := []string{"UTC", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu",
		"Africa/Cairo", "America/Havana", "Pacific/Apia", "America/Sao_Paulo"}
	for i, text := range []string{"* * * * *", "30 2 * * *", "30 1 * * *", "0 0 * * *", "*/15 * * * *",
		"0 0,2 1-7 * 1", "15 2 * 3,10 0", "59 23 31 12 *", "30 0 * * SUN", "5-50/15 0-23 */2 * 1-5"} {
		for _, unix := range []int64{1805000000, 1825606500, 1325200000, 1509000000, 1793400000} {
			f.Add(text, unix+int64(i)*1000, byte(i))
		}
	}
	f.Fuzz(func(t *testing.T, text string, unix int64, zone byte) {
		e, err := Parse(text)
		if err != nil {
			var wrong *SyntaxError
			if !errors.As(err, &wrong) || wrong.At < 1 || wrong.At > len(text)+1 {
				t.Fatalf("%q: a place that there isn't: %v", text, err)
			}
			return
		}
		after := time.Unix(unix%4_000_000_000, 0)
		if after.Year() < 1990 { // before, clocks stood between whole minutes
			return
		}
		in, err := time.LoadLocation(zones[int(zone)%len(zones)])
		if err != nil {
			t.Fatal(err)
		}
		const days = 8
		got, ok := e.Next(after, in)
		want, found := e.slowNext(after, in, days)
		if found && (!ok || !got.Equal(want)) || !found && ok && got.Before(after.AddDate(0, 0, days-1)) {
			t.Fatalf("%q after %v in %s: %v, want %v", text, after.UTC(), in, got, want)
		}
		if strings.Contains(text, "*/") || in != time.UTC {
			return
		}
		if theirs, err := robfig.ParseStandard(text); err == nil {
			if next := theirs.Next(after.UTC()); !next.IsZero() && !next.Equal(got) {
				t.Fatalf("%q after %v: %v, another library says %v", text, after.UTC(), got, next)
			}
		}
	})
}

func BenchmarkNext(b *testing.B) {
	in, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	for _, text := range []string{"* * * * *", "30 2 * * *", "0 0 29 2 *"} {
		b.Run(text, func(b *testing.B) {
			e, err := Parse(text)
			if err != nil {
				b.Fatal(err)
			}
			at := time.Unix(1_800_000_000, 0)
			for b.Loop() {
				at, _ = e.Next(at, in)
				if at.Year() > 2100 {
					at = time.Unix(1_800_000_000, 0)
				}
			}
		})
	}
}
