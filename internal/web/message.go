package web

import (
	"bytes"
	"encoding/json"
	"fmt"

	"longshore/internal/httpapi"
	"longshore/job"
	"longshore/tasks"
)

// The messages of /v1/socket are JSON, one object each; docs/push.md tells of
// them. A client sends
//
//	{"type":"subscribe","jobs":[{"id":"…","after":3},…]}
//	{"type":"unsubscribe","jobs":[{"id":"…"},…]}
//
// and gets
//
//	{"type":"state","job":{…}}           the newest snapshot, where its rev is not after
//	{"type":"end","id":"…","rev":7}      the job has ended, the subscription too
//	{"type":"error","id":"…","code":"not_found","detail":"…"}
//
// An error without id is about the client's last message.
const (
	subscribe   = "subscribe"
	unsubscribe = "unsubscribe"
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

type errorMessage struct {
	Type   string            `json:"type"`
	ID     job.ID            `json:"id,omitempty"`
	Code   httpapi.Code      `json:"code"`
	Detail string            `json:"detail,omitempty"`
	Errors []httpapi.Pointer `json:"errors,omitempty"`
}

// A socketMessage is what a client wants.
type socketMessage struct {
	verb string
	jobs []job.Rev // each once
}

// parseSocketMessage reads a client's message strictly: unknown fields,
// duplicate keys and anything behind the value are refused.
func parseSocketMessage(text []byte) (socketMessage, *httpapi.Error) {
	var raw struct {
		Type string `json:"type"`
		Jobs []struct {
			ID    string `json:"id"`
			After int64  `json:"after"`
		} `json:"jobs"`
	}
	if err := tasks.CheckJSON(text); err != nil {
		return socketMessage{}, httpapi.NewError(httpapi.Invalid, err.Error())
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return socketMessage{}, httpapi.NewError(httpapi.Invalid, `expected {"type":"subscribe","jobs":[{"id":"…","after":0}]}`).Wrap(err)
	}
	wrong := httpapi.NewError(httpapi.Invalid, notValid)
	if raw.Type != subscribe && raw.Type != unsubscribe {
		wrong.Errors = append(wrong.Errors, httpapi.Pointer{Pointer: "/type", Detail: "expected subscribe or unsubscribe"})
	}
	if len(raw.Jobs) == 0 || len(raw.Jobs) > maxWatched {
		wrong.Errors = append(wrong.Errors, httpapi.Pointer{Pointer: "/jobs", Detail: fmt.Sprintf("expected 1 to %d jobs", maxWatched)})
		return socketMessage{}, wrong
	}
	m := socketMessage{verb: raw.Type, jobs: make([]job.Rev, 0, len(raw.Jobs))}
	seen := make(map[job.ID]bool, len(raw.Jobs))
	for i, j := range raw.Jobs {
		id, err := job.ParseID(j.ID)
		if err != nil {
			wrong.Errors = append(wrong.Errors, httpapi.Pointer{Pointer: fmt.Sprintf("/jobs/%d/id", i), Detail: err.Error()})
		}
		if j.After < 0 {
			wrong.Errors = append(wrong.Errors, httpapi.Pointer{Pointer: fmt.Sprintf("/jobs/%d/after", i), Detail: errRev.Error()})
		}
		if !seen[id] {
			seen[id] = true
			m.jobs = append(m.jobs, job.Rev{ID: id, Rev: j.After})
		}
	}
	if len(wrong.Errors) > 0 {
		wrong.Errors = wrong.Errors[:min(len(wrong.Errors), httpapi.MaxPointers)]
		return socketMessage{}, wrong
	}
	return m, nil
}
