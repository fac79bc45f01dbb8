package alerts

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/answer"
	"longshore/internal/loop"
)

// Config of a Desk. All of it is needed but Receivers, and then Signed and Plain.
type Config struct {
	Redis  redis.UniversalClient
	Prefix string // of keys
	Log    *slog.Logger
	// Age is how long the oldest job of a queue may wait; 0 = 5 min.
	Age time.Duration
	// Receivers are told what is wrong.
	Receivers []Receiver
	// Signed sends webhooks, Plain a text to who knows no signatures.
	Signed, Plain Poster
	// Look sees what there is. since is until when failed jobs were counted; schedules says whether these
	// are to be looked at. What can't be seen stays nil, and is told in the error.
	Look func(ctx context.Context, now, since time.Time, schedules bool) (Seen, error)
}

// A Desk finds out what is wrong, and tells it.
type Desk struct {
	Config
	store  store
	sender *sender
}

const (
	usualAge = 5 * time.Minute
	// usualQuiet is how long something must be gone until it is over, or a tenth of Age where that is
	// less: what comes back within it is one alert, and not many.
	usualQuiet = 30 * time.Second
	lookPeriod = 30 * time.Second // of one look, all its calls together
	testWait   = 25 * time.Second
)

// New returns a Desk; Run makes it look and send.
func New(c Config) *Desk {
	if c.Age <= 0 {
		c.Age = usualAge
	}
	s := store{c.Redis, c.Prefix + ":alerts"}
	return &Desk{Config: c, store: s, sender: newSender(s, c)}
}

// Run looks, by turns with all other processes, and sends, until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if len(d.Receivers) > 0 {
		wg.Go(func() { d.sender.run(ctx) })
	}
	return loop.Background(ctx, d.Log, lookEvery, "look for what is to be told", d.look)
}

// look is one turn, if it is ours.
func (d *Desk) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookPeriod)
	defer cancel()
	l, err := d.store.begin(ctx)
	if err != nil || l == nil {
		return err
	}
	minute := strconv.FormatInt(l.now.Unix()/60, 10)
	since := time.UnixMilli(l.number("fs"))
	if since.After(l.now) || l.now.Sub(since) > calm { // the clock went back, or nobody has looked for long
		since = l.now.Add(-time.Minute)
	}
	until := l.now.Add(-time.Second) // what ends meanwhile is the next look's
	seen, failed := d.Look(ctx, until, since, l.fields["minute"] != minute)
	seen.Now = l.now
	set := map[string]string{}
	if seen.Failures != nil {
		set["fs"] = strconv.FormatInt(until.UnixMilli()+1, 10)
	}
	if seen.Schedules != nil {
		set["minute"] = minute
		if missed := d.missed(l, seen.Schedules); missed != l.fields["missed"] {
			set["missed"] = missed
		}
	}
	v := judge(l.now, l.held(), l.ended(), seen.Conditions(d.Age), seen.looked, l.receivers(),
		min(usualQuiet, d.Age/10))
	if v.untold != l.number("untold") {
		set["untold"] = strconv.FormatInt(v.untold, 10)
	}
	for field, value := range v.set {
		set[field] = value
	}
	// How far failures were counted alone isn't worth a write each time: nothing was there.
	if len(v.set) == 0 && len(set) == 1 && set["fs"] != "" && l.fields["fs"] != "" &&
		until.Sub(since) < time.Minute {
		return failed
	}
	mine, err := d.store.apply(ctx, l.rev(), set, v.notes)
	if err != nil || !mine {
		return err // somebody else has looked since, or a test was asked for: the next look sees it all again
	}
	d.log(ctx, v)
	if len(v.notes) > 0 {
		d.sender.kick()
	}
	return failed
}

// log says what is told, also where nobody hears it: whoever looked says it once.
func (d *Desk) log(ctx context.Context, v verdict) {
	for _, m := range v.said {
		d.Log.WarnContext(ctx, "alert", "alert", m.Alert, "state", m.State, "summary", m.Summary)
	}
}

// missed finds which schedules have missed ticks since the last look, and answers what to remember.
func (d *Desk) missed(l *look, s *SeenSchedules) string {
	before, now := map[string]int64{}, map[string]int64{}
	known := json.Unmarshal([]byte(l.fields["missed"]), &before) == nil // else nobody has looked yet
	s.Missed = map[string]int64{}
	for i := range s.All {
		is := &s.All[i]
		if is.Missed == 0 {
			continue
		}
		name := ScheduleName(is)
		now[name] = is.Missed
		if n := is.Missed - before[name]; n > 0 && known {
			s.Missed[name] = n
		}
	}
	return encode(now)
}

// ended are the alerts that are over, the newest first.
func (l *look) ended() (list []answer.AlertMessage) {
	_ = json.Unmarshal([]byte(l.fields["ended"]), &list) // "" = none yet
	return list
}

// List tells what fires, what is over, and who is told.
func (d *Desk) List(ctx context.Context) (answer.AlertList, error) {
	l, err := d.store.all(ctx)
	if err != nil {
		return answer.AlertList{}, err
	}
	list := answer.AlertList{Firing: []answer.AlertMessage{}, Receivers: []answer.AlertReceiver{},
		Resolved: append([]answer.AlertMessage{}, l.ended()...), Untold: l.number("untold")}
	if ms := l.number("look"); ms > 0 {
		at := time.UnixMilli(ms).UTC()
		list.LookedAt = &at
	}
	for name, h := range l.held() {
		if h.Fired != 0 {
			list.Firing = append(list.Firing, h.message(name, firing))
		}
	}
	slices.SortFunc(list.Firing, byName)
	names := l.receivers()
	slices.SortFunc(names, func(a, b string) int {
		return strings.Compare(l.fields["r:"+a]+a, l.fields["r:"+b]+b)
	})
	for _, name := range names {
		list.Receivers = append(list.Receivers, l.receiver(name))
	}
	return list, nil
}

func byName(a, b answer.AlertMessage) int { return strings.Compare(a.Alert, b.Alert) }

// receiver is one as clients see it.
func (l *look) receiver(name string) answer.AlertReceiver {
	kind, host, _ := strings.Cut(l.fields["r:"+name], " ")
	r := answer.AlertReceiver{Host: host, Kind: kind, Sent: l.number("ok:" + name),
		Dropped: l.number("bad:" + name)}
	for field := range l.fields {
		if strings.HasPrefix(field, "n:"+name+":") {
			r.Waiting++
		}
	}
	last := l.last(name)
	if last.at > 0 {
		at := time.UnixMilli(last.at).UTC()
		r.LastAt, r.LastStatus, r.LastError = &at, last.status, last.code
	}
	return r
}

// A lastOutcome is how the last attempt at a receiver ended.
type lastOutcome struct {
	at     int64
	status int
	code   string // "" = it took the message
	id     string // the message
}

func (l *look) last(receiver string) (o lastOutcome) {
	parts := strings.Split(l.fields["o:"+receiver], " ")
	if len(parts) != 4 {
		return o
	}
	o.at, _ = strconv.ParseInt(parts[0], 10, 64)
	o.status, _ = strconv.Atoi(parts[1])
	o.code, o.id = strings.TrimPrefix(parts[2], "-"), parts[3]
	return o
}

// Test has a message sent to each receiver, whichever process has its URL, and tells what became of it.
func (d *Desk) Test(ctx context.Context) (answer.AlertTest, error) {
	tested := answer.AlertTest{Receivers: []answer.AlertTested{}}
	l, err := d.store.all(ctx)
	names := l.receivers()
	if err != nil || len(names) == 0 {
		return tested, err
	}
	id, notes := newMessage(), make([]note, 0, len(names))
	body := answer.AlertMessage{Alert: test, State: test, Since: time.Now().UTC().Truncate(time.Millisecond),
		Summary: "this is a test: alerts of this installation come here", WhatToDo: "nothing"}
	for _, name := range names {
		notes = append(notes, note{To: name, ID: id, Once: true, Body: body})
	}
	if _, err := d.store.apply(ctx, "*", nil, notes); err != nil {
		return tested, err
	}
	d.sender.kick()
	over, tick := time.After(testWait), time.NewTicker(200*time.Millisecond)
	defer tick.Stop()
	ends := map[string]answer.AlertTested{}
	for waits := true; waits && len(ends) < len(names); {
		select {
		case <-ctx.Done():
			waits = false
		case <-over:
			waits = false
		case <-tick.C:
		}
		l, err := d.store.all(context.WithoutCancel(ctx))
		if err != nil {
			continue // Redis is away for a moment, or the wait ends
		}
		for _, name := range names {
			if is := l.last(name); is.id == id {
				ends[name] = testedAs(is)
			}
		}
	}
	for _, name := range names {
		r, end := l.receiver(name), ends[name]
		if end.Outcome == "" {
			end.Outcome = "waiting"
		}
		end.Host, end.Kind = r.Host, r.Kind
		tested.Receivers = append(tested.Receivers, end)
	}
	return tested, nil
}

func testedAs(is lastOutcome) answer.AlertTested {
	end := answer.AlertTested{Outcome: "delivered", Status: is.status, Code: is.code}
	if is.code != "" {
		end.Outcome = "failed"
	}
	return end
}
