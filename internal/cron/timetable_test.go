package cron_test

import (
	"testing"
	"time"

	"longshore/internal/cron"
)

// run steps through all that is due, and tells what was made.
func run(t *testing.T, table cron.Timetable, next, now time.Time) (made []time.Time, missed int,
	following time.Time) {
	t.Helper()
	for range 1000 {
		if next.IsZero() || table.Due(next).After(now) {
			return made, missed, next
		}
		step := table.Step(next, now)
		if step.Make {
			made = append(made, step.Tick)
		}
		if missed += step.Missed; !step.Following.IsZero() && !step.Following.After(step.Tick) {
			t.Fatalf("from %v to %v", step.Tick, step.Following)
		}
		next = step.Following
	}
	t.Fatal("no end of steps")
	return
}

func TestCatchUp(t *testing.T) {
	t.Parallel()
	minutely := mustParse(t, "* * * * *").In(time.UTC)
	nightly := mustParse(t, "0 3 * * *").In(time.UTC)
	begun := moment(t, "2027-03-01T03:00:00Z")
	at := func(text string) time.Time { return moment(t, "2027-03-"+text) }
	for name, c := range map[string]struct {
		times        cron.Times
		now          time.Time
		catchUp      cron.CatchUp
		made, missed int
		last         time.Time
	}{
		"three hours off, last": {minutely, at("01T06:00:45Z"), cron.CatchUpLast, 1, 180, at("01T06:00:00Z")},
		"three hours off, all":  {minutely, at("01T06:00:45Z"), cron.CatchUpAll, 100, 81, at("01T06:00:00Z")},
		"three hours off, none": {minutely, at("01T06:00:45Z"), cron.CatchUpNone, 0, 181, time.Time{}},
		// The newest tick is not late.
		"three hours off, none, in time": {minutely, at("01T06:00:20Z"), cron.CatchUpNone, 1, 180,
			at("01T06:00:00Z")},
		"a deploy at night, none": {nightly, at("01T03:09:00Z"), cron.CatchUpNone, 1, 0, begun},
		"a longer one, none":      {nightly, at("01T03:11:00Z"), cron.CatchUpNone, 0, 1, time.Time{}},
		"a longer one, last":      {nightly, at("01T03:11:00Z"), cron.CatchUpLast, 1, 0, begun},
		"a few, all": {nightly, at("04T12:00:00Z"), cron.CatchUpAll, 4, 0,
			at("04T03:00:00Z")},
		"each second, for a month": {cron.Every{From: begun, Period: time.Second}, at("31T03:00:00Z"),
			cron.CatchUpAll, 100,
			30*24*3600 + 1 - 100, at("31T03:00:00Z")},
		"each second, for a moment": {cron.Every{From: begun, Period: time.Second},
			begun.Add(400 * time.Millisecond), cron.CatchUpNone, 1,
			0, begun},
	} {
		t.Run(name, func(t *testing.T) {
			table := cron.Timetable{Times: c.times, CatchUp: c.catchUp}
			made, missed, following := run(t, table, begun, c.now)
			if len(made) != c.made || missed != c.missed || c.made > 0 && !made[len(made)-1].Equal(c.last) {
				t.Errorf("made %d (%v), missed %d, want %d and %d", len(made), made, missed, c.made, c.missed)
			}
			if !following.After(c.now) {
				t.Errorf("%v follows, at %v", following, c.now)
			}
		})
	}
}

// A schedule that was left alone for years is no work for minutes.
func TestYearsAreBounded(t *testing.T) {
	t.Parallel()
	begun := moment(t, "2017-03-01T03:00:00Z")
	made, missed, _ := run(t, cron.Timetable{Times: mustParse(t, "* * * * *").In(zone(t, "Europe/Berlin"))},
		begun,
		begun.AddDate(10, 0, 0))
	if len(made) != 1 || missed < 365*24*60 || missed > 367*24*60 {
		t.Errorf("made %d, missed %d", len(made), missed)
	}
}

func TestStartAndEnd(t *testing.T) {
	t.Parallel()
	begun := moment(t, "2027-03-01T03:00:00Z")
	table := cron.Timetable{Times: mustParse(t, "0 3 * * *").In(time.UTC), Start: begun,
		End: begun.AddDate(0, 0, 1)}
	if first := table.First(begun.AddDate(0, 0, -9)); !first.Equal(begun) {
		t.Errorf("the first is %v", first)
	}
	made, missed, following := run(t, table, begun, begun.AddDate(0, 0, 9))
	if len(made) != 1 || missed != 1 || !following.IsZero() {
		t.Errorf("made %v, missed %d, %v follows", made, missed, following)
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	begun := moment(t, "2027-03-01T03:00:00Z")
	table := cron.Timetable{Times: cron.Every{From: begun, Period: time.Minute}, Jitter: 30 * time.Second,
		Name: "a"}
	other := table
	other.Name = "b"
	different := 0
	for at := begun; at.Before(begun.Add(time.Hour)); at = table.First(at) {
		late := table.Due(at).Sub(at)
		if late < 0 || late >= 30*time.Second {
			t.Fatalf("late by %v", late)
		}
		if table.Due(at) != other.Due(at) {
			different++
		}
	}
	if different < 50 {
		t.Errorf("only %d of 60 ticks of two schedules differ", different)
	}
}

func TestEvery(t *testing.T) {
	t.Parallel()
	begun := moment(t, "2027-03-01T03:00:00Z")
	table := cron.Timetable{Times: cron.Every{From: begun, Period: time.Minute}}
	for late, want := range map[time.Duration]time.Duration{0: time.Minute, -1: 0, 1: time.Minute,
		-time.Minute:     0,
		-time.Minute - 1: -time.Minute, time.Minute: 2 * time.Minute, 90 * time.Second: 2 * time.Minute} {
		if got := table.First(begun.Add(late)).Sub(begun); got != want {
			t.Errorf("after %v: %v, want %v", late, got, want)
		}
	}
}
