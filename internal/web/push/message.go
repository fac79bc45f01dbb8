package push

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/strictjson"
	"longshore/job"
)

// The messages of /v1/socket are JSON, one object each; docs/push.md tells of
// them. A client sends
//
//	{"type":"subscribe","jobs":[{"id":"…","after":3},…]}
//	{"type":"unsubscribe","jobs":[{"id":"…"},…]}
//	{"type":"token","token":"…"}                a page's new token, before the old one ends
//
// and gets
//
//	{"type":"state","job":{…}}           the newest snapshot, where its rev is not after
//	{"type":"end","id":"…","rev":7}      the job has ended, the subscription too
//	{"type":"error","id":"…","code":"not_found","detail":"…"}
//
//	{"type":"expiring","at":"…"}         the page's token ends in 30 s
//	{"type":"token","expires_at":"…"}    another one counts now
//
// An error without id is about the client's last message.
const (
	subscribe   = "subscribe"
	unsubscribe = "unsubscribe"
	renew       = "token"
)

type stateMessage struct {
	Type string       `json:"type"`
	Job  job.Snapshot `json:"job"`
}

type endMessage struct {
	Type string `json:"type"`
	ID   job.ID `json:"id"`
	Rev  int64  `json:"rev"`
}

type expiringMessage struct {
	Type string    `json:"type"`
	At   time.Time `json:"at"`
}

type renewedMessage struct {
	Type      string    `json:"type"`
	ExpiresAt time.Time `json:"expires_at"`
}

type errorMessage struct {
	Type   string            `json:"type"`
	ID     job.ID            `json:"id,omitempty"`
	Code   httpapi.Code      `json:"code"`
	Detail string            `json:"detail,omitempty"`
	Errors []httpapi.Pointer `json:"errors,omitempty"`
}

// A socketMessage is what a client wants.
type socketMessage struct {
	verb  string
	jobs  []job.Rev // each once
	token string    // of renew
}

// parseSocketMessage reads a client's message strictly: unknown fields,
// duplicate keys and anything behind the value are refused.
func parseSocketMessage(text []byte) (socketMessage, *httpapi.Error) {
	var raw struct {
		Type  string  `json:"type"`
		Token *string `json:"token"`
		Jobs  []struct {
			ID    string `json:"id"`
			After int64  `json:"after"`
		} `json:"jobs"`
	}
	if err := strictjson.Check(text); err != nil {
		return socketMessage{}, httpapi.NewError(httpapi.Invalid, err.Error())
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return socketMessage{}, httpapi.NewError(httpapi.Invalid,
			`expected {"type":"subscribe","jobs":[{"id":"…","after":0}]}`).Wrap(err)
	}
	var wrong []httpapi.Pointer
	bad := func(pointer, detail string) {
		wrong = append(wrong, httpapi.Pointer{Pointer: pointer, Detail: detail})
	}
	if raw.Type == renew {
		if raw.Token == nil || raw.Jobs != nil {
			return socketMessage{}, httpapi.InvalidAt("/token", "expected a token, and no jobs")
		}
		return socketMessage{verb: renew, token: *raw.Token}, nil
	}
	if raw.Token != nil {
		bad("/token", "unknown field")
	}
	if raw.Type != subscribe && raw.Type != unsubscribe {
		bad("/type", "expected subscribe, unsubscribe or token")
	}
	if len(raw.Jobs) == 0 || len(raw.Jobs) > maxWatched {
		bad("/jobs", fmt.Sprintf("expected 1 to %d jobs", maxWatched))
		return socketMessage{}, httpapi.NotValid(wrong...)
	}
	m := socketMessage{verb: raw.Type, jobs: make([]job.Rev, 0, len(raw.Jobs))}
	seen := make(map[job.ID]bool, len(raw.Jobs))
	for i, j := range raw.Jobs {
		id, err := job.ParseID(j.ID)
		if err != nil {
			bad(fmt.Sprintf("/jobs/%d/id", i), err.Error())
		}
		if j.After < 0 {
			bad(fmt.Sprintf("/jobs/%d/after", i), errRev.Error())
		}
		if !seen[id] {
			seen[id] = true
			m.jobs = append(m.jobs, job.Rev{ID: id, Rev: j.After})
		}
	}
	if wrong != nil {
		return socketMessage{}, httpapi.NotValid(wrong...)
	}
	return m, nil
}
