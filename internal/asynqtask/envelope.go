package asynqtask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"longshore/internal/strictjson"
)

// member is the one member of an envelope.
const member = "asynq"

type envelope struct {
	JSON     json.RawMessage   `json:"json,omitempty"`
	Base64   []byte            `json:"base64,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	ID       string            `json:"id,omitempty"`
	Deadline int64             `json:"deadline,omitempty"`
	Retried  int               `json:"retried,omitempty"`
}

// wrap is the job's payload of a task.
func (t Task) wrap() ([]byte, error) {
	e := envelope{Headers: t.Headers, Retried: t.Retried}
	if !Drawn(t.ID) {
		e.ID = t.ID
	}
	if !t.Deadline.IsZero() {
		e.Deadline = t.Deadline.Unix()
	}
	object, own := lasting(t.Payload)
	if object && !own && e.ID == "" && e.Deadline == 0 && e.Retried == 0 && len(e.Headers) == 0 {
		return t.Payload, nil
	}
	if object {
		e.JSON = t.Payload
	} else {
		e.Base64 = t.Payload
	}
	text, err := json.Marshal(map[string]envelope{member: e})
	if err != nil {
		return nil, fmt.Errorf("encode the payload: %w", err)
	}
	return text, nil
}

// lasting reports whether bytes are a JSON object that stays as it is on its way through clients, web and
// the job store, and whether it has a member as an envelope has.
func lasting(payload []byte) (object, own bool) {
	err := strictjson.Fields(payload, func(name, _ []byte) error {
		own = own || string(name) == member
		return nil
	})
	if err != nil {
		return false, false
	}
	// a client's encoder writes it without blanks, and <, > and & in another way; and a number that is no
	// float64 is refused where payloads are checked
	text, err := json.Marshal(json.RawMessage(payload))
	var fields map[string]any
	if err != nil || !bytes.Equal(text, payload) || json.Unmarshal(payload, &fields) != nil {
		return false, false
	}
	return true, own
}

// Unwrap is the task that a job's payload was made of: its payload, headers, deadline, how often it had been
// retried, and its id where somebody had chosen it. Of any other payload it is a task with that payload.
func Unwrap(payload []byte) (Task, error) {
	inside, is := opened(payload)
	if !is {
		return Task{Payload: payload}, nil
	}
	var e envelope
	from := json.NewDecoder(bytes.NewReader(inside))
	from.DisallowUnknownFields()
	switch err := from.Decode(&e); {
	case err != nil:
		return Task{}, fmt.Errorf("the envelope of a task can't be read: %w", err)
	case e.JSON != nil && e.Base64 != nil:
		return Task{}, errors.New("the envelope of a task has two payloads")
	}
	t := Task{Payload: e.Base64, Headers: e.Headers, ID: e.ID, Retried: max(e.Retried, 0)}
	if e.JSON != nil {
		t.Payload = e.JSON
	}
	if e.Deadline != 0 {
		t.Deadline = time.Unix(e.Deadline, 0)
	}
	return t, nil
}

// opened is what an envelope has in it: is says whether the payload is one.
func opened(payload []byte) (inside []byte, is bool) {
	members := 0
	err := strictjson.Fields(payload, func(name, value []byte) error {
		if members++; string(name) == member {
			inside = value
		}
		return nil
	})
	return inside, err == nil && members == 1 && inside != nil
}
