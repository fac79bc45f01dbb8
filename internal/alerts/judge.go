package alerts

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"longshore/answer"
)

// States of messages.
const (
	firing   = "firing"
	resolved = "resolved"
	test     = "test"
)

const (
	// maxFiring is how many alerts may fire at once: more say no more.
	maxFiring = 100
	// maxEnded is how many that are over are kept.
	maxEnded = 20
	// tellAgain is the time between two messages of an alert whose count grows.
	tellAgain = 10 * time.Minute
)

// A Condition is something that a look found.
type Condition struct {
	Name string // of its alert: its kind, a colon, and what it is about; or the kind alone
	// Edge says that it is neither quite so nor quite over: an alert that fires goes on, none begins.
	Edge bool
	// After is how long it must have been so, at each look, before an alert begins.
	After time.Duration
	// Quiet is how long it must have been gone, at each look, before the alert is over; 0 = the usual time.
	Quiet time.Duration
	Since time.Time // when it began, if that is known
	Count int64     // how many; growing, it is told again after a while
	More  bool      // Count comes on top of what was counted before
	// Summary says what is wrong, Do what to do. Both are printable; empty at an Edge: what was said holds.
	Summary, Do string
}

func kindOf(name string) string {
	kind, _, _ := strings.Cut(name, ":")
	return kind
}

// A held is an alert as the store has it. Times are ms of Redis's clock.
type held struct {
	Since   int64    `json:"since"`
	Seen    int64    `json:"seen"`            // when a look found it first
	Fired   int64    `json:"fired,omitempty"` // 0 = it is about to
	Gone    int64    `json:"gone,omitempty"`  // since when no look found it
	Quiet   int64    `json:"quiet,omitempty"`
	Count   int64    `json:"count,omitempty"`
	Told    int64    `json:"told,omitempty"` // the count of the last message, and when that was
	ToldAt  int64    `json:"told_at,omitempty"`
	To      []string `json:"to,omitempty"` // receivers that were told
	Summary string   `json:"summary"`
	Do      string   `json:"do"`
}

func (h *held) message(name, state string) answer.AlertMessage {
	return answer.AlertMessage{Alert: name, State: state, Since: time.UnixMilli(h.Since).UTC(),
		Count: h.Count, Summary: h.Summary, WhatToDo: h.Do}
}

// A verdict is what follows from a look.
type verdict struct {
	set    map[string]string // fields of the store; "" = it goes
	notes  []note
	said   []answer.AlertMessage // each message once, whoever hears it
	untold int64                 // conditions that were left out
}

// judge compares what is held with what a look found. Alerts of kinds that were not looked at stay as they
// are.
func judge(now time.Time, all map[string]*held, ended []answer.AlertMessage, found []Condition,
	looked func(kind string) bool, receivers []string, usual time.Duration) verdict {
	v := verdict{set: map[string]string{}}
	at := now.UnixMilli()
	slices.Sort(receivers)
	before, names := map[string]string{}, map[string]bool{}
	for name, h := range all {
		before[name] = encode(h)
	}
	for _, c := range found {
		if names[c.Name] {
			continue
		}
		names[c.Name] = true
		h := all[c.Name]
		if h == nil {
			if c.Edge {
				continue
			}
			if len(all) >= maxFiring {
				v.untold++
				continue
			}
			h = &held{Seen: at, Since: at}
			if !c.Since.IsZero() {
				h.Since = c.Since.UnixMilli()
			}
			all[c.Name] = h
		}
		h.see(c, usual)
		if h.Fired == 0 && !c.Edge && at-h.Seen >= c.After.Milliseconds() {
			h.Fired, h.Told, h.ToldAt = at, h.Count, at
		}
	}
	for name, h := range all {
		if !names[name] && looked(kindOf(name)) && v.miss(name, h, at, &ended, receivers) {
			delete(all, name)
			continue
		}
		v.tell(name, h, at, receivers)
		if text := encode(h); text != before[name] {
			v.set["a:"+name] = text
		}
	}
	for name := range before {
		if all[name] == nil {
			v.set["a:"+name] = ""
		}
	}
	slices.SortStableFunc(v.notes, func(a, b note) int { return byName(a.Body, b.Body) })
	return v
}

// see takes in what a look found of an alert.
func (h *held) see(c Condition, usual time.Duration) {
	h.Gone = 0
	if c.Summary != "" { // else what was said holds
		h.Summary, h.Do = c.Summary, c.Do
	}
	if c.Quiet == 0 {
		c.Quiet = usual
	}
	h.Quiet = c.Quiet.Milliseconds()
	if c.More {
		h.Count += c.Count
	} else {
		h.Count = c.Count
	}
}

// miss says what becomes of an alert that a look did not find: true, it is over.
func (v *verdict) miss(name string, h *held, at int64, ended *[]answer.AlertMessage,
	receivers []string) bool {
	if h.Fired == 0 {
		return true
	}
	if h.Gone == 0 || h.Gone > at { // the clock went back
		h.Gone = at
	}
	if at-h.Gone < h.Quiet {
		return false
	}
	m := h.message(name, resolved)
	over := time.UnixMilli(h.Gone).UTC()
	m.ResolvedAt = &over
	*ended = slices.Insert(*ended, 0, m)
	*ended = (*ended)[:min(len(*ended), maxEnded)]
	v.set["ended"] = encode(*ended)
	v.said = append(v.said, m)
	v.owe(m, func(r string) bool { return slices.Contains(h.To, r) }, receivers)
	return true
}

// tell owes those receivers a message of an alert that fires who were not told, and all of them one
// whose count has grown.
func (v *verdict) tell(name string, h *held, at int64, receivers []string) {
	if h.Fired == 0 {
		return
	}
	again := h.Count > h.Told && (at-h.ToldAt >= tellAgain.Milliseconds() || h.ToldAt > at)
	if again {
		h.Told, h.ToldAt = h.Count, at
	}
	if again || h.Fired == at {
		v.said = append(v.said, h.message(name, firing))
	}
	was := h.To
	h.To = nil
	v.owe(h.message(name, firing), func(r string) bool {
		known := slices.Contains(was, r)
		if known || h.Gone == 0 { // who comes when it is nearly over hears nothing of it
			h.To = append(h.To, r)
		}
		return again || !known && h.Gone == 0
	}, receivers)
}

// owe owes some receivers one message, by one id.
func (v *verdict) owe(m answer.AlertMessage, whom func(string) bool, receivers []string) {
	id := newMessage()
	for _, r := range receivers {
		if whom(r) {
			v.notes = append(v.notes, note{To: r, ID: id, Body: m})
		}
	}
}

func newMessage() string { return "alert_" + rand.Text() }

func encode(of any) string {
	text, err := json.Marshal(of)
	if err != nil {
		return "{}" // can't be: texts, numbers and times
	}
	return string(text)
}
