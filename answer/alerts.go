package answer

import "time"

// AlertMessage is the body of a message that an alert sends, and AlertList has its like.
type AlertMessage struct {
	Alert      string     `json:"alert" doc:"its name: what it is about, as age:io-default"`
	State      string     `json:"state" enum:"firing,resolved,test"`
	Since      time.Time  `json:"since" doc:"when it began"`
	ResolvedAt *time.Time `json:"resolved_at,omitempty" doc:"when it was over"`
	Count      int64      `json:"count,omitempty" doc:"how many, of what can be counted"`
	Summary    string     `json:"summary" doc:"what is wrong"`
	WhatToDo   string     `json:"what_to_do"`
}

// AlertList is the answer to GET /v1/alerts.
type AlertList struct {
	Firing    []AlertMessage  `json:"firing" doc:"what is wrong now, by name"`
	Resolved  []AlertMessage  `json:"resolved" doc:"what was wrong, the newest 20 ends first"`
	Receivers []AlertReceiver `json:"receivers" doc:"who is told: those of ALERT_URLS"`
	LookedAt  *time.Time      `json:"looked_at,omitempty" doc:"when a process looked last; each 5 s one does"`
	Untold    int64           `json:"untold,omitempty" doc:"conditions that were left out, so many alerts were firing"`
}

// An AlertReceiver is one of ALERT_URLS. Its URL is not told: it may hold a secret.
type AlertReceiver struct {
	Host       string     `json:"host"`
	Kind       string     `json:"kind" enum:"webhook,slack"`
	Waiting    int        `json:"waiting" doc:"messages that are to be sent"`
	Sent       int64      `json:"sent" doc:"messages that it took"`
	Dropped    int64      `json:"dropped" doc:"messages that were given up: refused for good, tried too often, or over 100 that waited"`
	LastAt     *time.Time `json:"last_at,omitempty" doc:"the last attempt"`
	LastStatus int        `json:"last_status,omitempty" doc:"its HTTP status"`
	LastError  string     `json:"last_error,omitempty" doc:"its code, as those of callbacks; absent = taken"`
}

// AlertTest is the answer to POST /v1/alerts/test.
type AlertTest struct {
	Receivers []AlertTested `json:"receivers" doc:"empty: there are none"`
}

// AlertTested is what became of a test message.
type AlertTested struct {
	Host    string `json:"host"`
	Kind    string `json:"kind" enum:"webhook,slack"`
	Outcome string `json:"outcome" enum:"delivered,failed,waiting" doc:"waiting: no process has told yet, within 25 s"`
	Status  int    `json:"status,omitempty" doc:"HTTP's"`
	Code    string `json:"code,omitempty" doc:"why it failed, as of callbacks"`
}
