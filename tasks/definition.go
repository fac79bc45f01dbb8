package tasks

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// An InputRule says whether a type takes a file.
type InputRule string

// The input rules.
const (
	NoInput       InputRule = "none"
	InputOptional InputRule = "optional" // for functions: a Definition's job has one or none
	InputRequired InputRule = "required"
)

// A Definition describes one type of work with payload P, a struct whose
// fields carry json tags and, for the schema, those of huma: doc, default,
// enum, minimum, maximum, minLength, maxLength, minItems, maxItems, pattern.
// A field is required unless its json tag says omitempty.
type Definition[P any] struct {
	Type string // 1 to 64 of [A-Za-z0-9_.:-], as "log.analyze"; its first is a letter, a digit or _
	Doc  string // one sentence for the lists of types
	Lane job.Lane

	Timeout     time.Duration // of one attempt; 0 = DefaultTimeout
	MaxAttempts int           // 0 = DefaultMaxAttempts
	Input       InputRule     // "" = NoInput
	// DeleteInput says that inputs go before their jobs do: job.DeleteOnSuccess, job.DeleteAtEnd; "" = with them.
	DeleteInput string

	// ForbidOverlap promises that two attempts never run at the same moment.
	// It needs lane cpu, for only a process can be killed. Without it a worker
	// that lost its Redis runs on, and the fence picks the one result that counts.
	ForbidOverlap bool

	// NeedsChild reports whether a payload makes a job of lane cpu out of one of
	// lane io: work that can't be bounded inside the worker's process; nil = none
	// does. A program that knows the type only from Redis puts such a job into
	// Lane; it is run in a child all the same.
	NeedsChild func(P) bool

	// Check refuses payloads that the schema can't; nil = none. Its error is
	// shown to the client.
	Check func(P) error
}

// AnyPayload is the schema of a type that says nothing about its payload.
const AnyPayload = `{"type":"object","additionalProperties":true}`

// Defaults of a Definition.
const (
	DefaultTimeout     = 30 * time.Minute
	MaxTimeout         = 24 * time.Hour
	DefaultMaxAttempts = 3
	MaxMaxAttempts     = httpapi.MaxAttempts
)

// Info is a Definition without its Go type, as it is published and listed.
type Info struct {
	Type          string          `json:"type"`
	Doc           string          `json:"doc"`
	Lane          job.Lane        `json:"lane"`
	TimeoutMS     int64           `json:"timeout_ms"`
	MaxAttempts   int             `json:"max_attempts"`
	RetentionMS   int64           `json:"retention_ms,omitempty"` // of its jobs; 0 = the installation's
	Input         InputRule       `json:"input"`
	DeleteInput   string          `json:"delete_input,omitempty"` // when an input goes before its job
	ForbidOverlap bool            `json:"forbid_overlap,omitempty"`
	Schema        json.RawMessage `json:"schema"` // JSON Schema of the payload
	// Sandbox says how far a function's program is kept from the rest of its machine:
	// full, partial or none; "" for Go code.
	Sandbox string `json:"sandbox,omitempty"`
	// Version is the number of a deployed function that a job is accepted for; 0 of all others.
	Version int64 `json:"version,omitempty"`

	check func(payload []byte) error // nil for a type known only from Redis
	child func(payload []byte) bool  // … or whose definition has no NeedsChild
	// simple are the fields of its Go type, by their names in JSON, that a simple
	// value always fits; nil if there is more to check than the schema.
	simple map[string]reflect.Kind
}

// Published reports whether the type is known from what a worker, or a deployment, has told,
// and not from Go code of this program.
func (i Info) Published() bool { return i.check == nil }

// LaneFor is the lane of a job with this payload.
func (i Info) LaneFor(payload []byte) job.Lane {
	if i.child != nil && i.child(payload) {
		return job.LaneCPU
	}
	return i.Lane
}

// MayNeedChild reports whether some of the type's jobs run in child processes.
func (i Info) MayNeedChild() bool { return i.Lane == job.LaneCPU || i.child != nil }

// Timeout is the time limit of one attempt.
func (i Info) Timeout() time.Duration { return time.Duration(i.TimeoutMS) * time.Millisecond }

// reserved reports whether a name steers a submission. As such names share the query
// string with a payload's fields, no field may have one.
func reserved(name string) bool {
	switch name {
	case "type", "payload", "input", "wait":
		return true
	}
	_, ok := httpapi.FindControl(name, httpapi.InQuery)
	return ok
}

// Info checks the definition and returns it without its Go type.
func (d Definition[P]) Info() (Info, error) {
	payload := payloadTypeOf(reflect.TypeFor[P]())
	if payload.err != nil {
		return Info{}, fmt.Errorf("task %q: %w", d.Type, payload.err)
	}
	info := Info{
		Type: d.Type, Doc: d.Doc, Lane: d.Lane,
		TimeoutMS:   cmp.Or(d.Timeout, DefaultTimeout).Milliseconds(),
		MaxAttempts: cmp.Or(d.MaxAttempts, DefaultMaxAttempts),
		Input:       cmp.Or(d.Input, NoInput), DeleteInput: d.DeleteInput, ForbidOverlap: d.ForbidOverlap,
		check: func(payload []byte) error {
			p, err := d.Decode(payload)
			if err != nil {
				return err
			}
			if d.Check != nil {
				return d.Check(p)
			}
			return nil
		},
	}
	if d.NeedsChild != nil {
		info.child = func(payload []byte) bool {
			p, err := d.Decode(payload)
			return err == nil && d.NeedsChild(p) // what can't be decoded fails anywhere
		}
	}
	var err error
	if info.Schema, err = json.Marshal(payload.schema); err != nil {
		return Info{}, fmt.Errorf("task %s: schema: %w", d.Type, err)
	}
	if d.Check == nil {
		info.simple = simpleFields(reflect.TypeFor[P]())
	}
	return info, info.valid()
}

// valid lists everything that is wrong with a definition, published ones too.
func (i Info) valid() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("task %q: "+format, append([]any{i.Type}, args...)...))
	}
	if !job.IsType(i.Type) {
		bad("type must be %s", job.TypeNames)
	}
	if !slices.Contains(job.Lanes, i.Lane) && (i.Lane != job.LaneClaim || !i.Published()) {
		bad("lane must be one of %v", job.Lanes)
	}
	if i.ForbidOverlap && i.Lane != job.LaneCPU {
		bad("ForbidOverlap needs lane cpu: a goroutine can't be killed")
	}
	if t := i.Timeout(); t <= 0 || t > MaxTimeout {
		bad("timeout must be between 1 ms and %v", MaxTimeout)
	}
	if i.MaxAttempts < 1 || i.MaxAttempts > MaxMaxAttempts {
		bad("max attempts must be between 1 and %d", MaxMaxAttempts)
	}
	if i.Input != NoInput && i.Input != InputOptional && i.Input != InputRequired {
		bad("input must be %q, %q or %q", NoInput, InputOptional, InputRequired)
	}
	if !slices.Contains([]string{"", job.DeleteOnSuccess, job.DeleteAtEnd}, i.DeleteInput) {
		bad("delete input must be %q or %q", job.DeleteOnSuccess, job.DeleteAtEnd)
	}
	if i.RetentionMS < 0 {
		bad("retention must not be negative")
	}
	schema, err := parseSchema(i.Schema)
	if err != nil {
		bad("%w", err)
		return errors.Join(errs...)
	}
	for name := range schema.Properties {
		if reserved(name) {
			bad("payload field %q collides with a parameter of the same name", name)
		}
	}
	return errors.Join(errs...)
}

// Decode returns the payload with the schema's defaults filled in for absent
// fields. Unknown fields are an error.
func (d Definition[P]) Decode(payload []byte) (P, error) {
	var p P
	if defaults := payloadTypeOf(reflect.TypeFor[P]()).defaults; defaults != nil {
		if err := json.Unmarshal(defaults, &p); err != nil {
			return p, fmt.Errorf("defaults of %s: %w", d.Type, err)
		}
	}
	err := decodeStrict(payload, &p)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && strings.HasPrefix(wrong.Value, "number ") {
		// a decoder goes on after such an error: p has nothing else
		err = decodeStrict(plainIntegers(payload), &p)
	}
	if err != nil {
		return p, fmt.Errorf("payload of %s: %w", d.Type, decodeProblem(err))
	}
	return p, nil
}

func decodeStrict(payload []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	return dec.Decode(to)
}
