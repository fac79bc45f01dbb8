package asynqtask

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Task is a task as asynq's messages have it.
type Task struct {
	Type    string
	ID      string
	Queue   string
	Payload []byte
	Headers map[string]string
	Retry   int // how often it may be retried
	Retried int // how often it was
	// Timeout is of one attempt, in whole seconds, and Deadline when all must have ended; zero = none.
	Timeout   time.Duration
	Deadline  time.Time
	UniqueKey string // that it holds a lock by; "" = none
	Group     string // that it waits to be aggregated in; "" = none
	Retention time.Duration
	LastError string // of the attempt before; "" = none failed
}

// ErrMessage says that bytes are no message of asynq's.
var ErrMessage = errors.New("no message of asynq's")

// The fields of asynq's TaskMessage, by their numbers in its asynq.proto.
const (
	fieldType      = 1
	fieldPayload   = 2
	fieldID        = 3
	fieldQueue     = 4
	fieldRetry     = 5
	fieldRetried   = 6
	fieldError     = 7
	fieldTimeout   = 8
	fieldDeadline  = 9
	fieldUniqueKey = 10
	fieldRetention = 12
	fieldGroup     = 14
	fieldHeaders   = 15
)

// maxSeconds bounds times of a message, so that they are durations and years of four digits.
const maxSeconds = math.MaxInt64 / int64(time.Second)

// Decode reads a message, from whomever it is. Fields that it doesn't know it leaves out. The error wraps
// ErrMessage.
func Decode(message []byte) (Task, error) {
	var t Task
	for rest := message; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return Task{}, fmt.Errorf("%w: %w", ErrMessage, protowire.ParseError(n))
		}
		rest = rest[n:]
		n, err := t.field(number, kind, rest)
		if err != nil {
			return Task{}, fmt.Errorf("%w: field %d: %w", ErrMessage, number, err)
		}
		rest = rest[n:]
	}
	return t, nil
}

// field reads the value of one field and returns how many bytes it has.
func (t *Task) field(number protowire.Number, kind protowire.Type, from []byte) (int, error) {
	switch kind {
	case protowire.BytesType:
		value, n := protowire.ConsumeBytes(from)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		return n, t.setBytes(number, value)
	case protowire.VarintType:
		value, n := protowire.ConsumeVarint(from)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		return n, t.setNumber(number, int64(value)) // two's complement, as protobuf writes int64
	}
	n := protowire.ConsumeFieldValue(number, kind, from)
	return n, protowire.ParseError(min(n, 0))
}

var errText = errors.New("text is not UTF-8")

func (t *Task) setBytes(number protowire.Number, value []byte) error {
	texts := map[protowire.Number]*string{fieldType: &t.Type, fieldID: &t.ID, fieldQueue: &t.Queue,
		fieldError: &t.LastError, fieldUniqueKey: &t.UniqueKey, fieldGroup: &t.Group}
	switch to := texts[number]; {
	case to != nil && !utf8.Valid(value):
		return errText
	case to != nil:
		*to = string(value)
	case number == fieldPayload:
		t.Payload = slices.Clone(value)
	case number == fieldHeaders:
		return t.setHeader(value)
	}
	return nil
}

// setHeader reads an entry of a map: a message of two fields.
func (t *Task) setHeader(entry []byte) error {
	var pair [2]string
	for len(entry) > 0 {
		number, kind, n := protowire.ConsumeTag(entry)
		if n < 0 {
			return protowire.ParseError(n)
		}
		entry = entry[n:]
		if kind != protowire.BytesType || number > 2 {
			if n = protowire.ConsumeFieldValue(number, kind, entry); n < 0 {
				return protowire.ParseError(n)
			}
			entry = entry[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(entry)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if !utf8.Valid(value) {
			return errText
		}
		pair[number-1], entry = string(value), entry[n:]
	}
	if t.Headers == nil {
		t.Headers = map[string]string{}
	}
	t.Headers[pair[0]] = pair[1]
	return nil
}

func (t *Task) setNumber(number protowire.Number, value int64) error {
	switch number {
	case fieldRetry, fieldRetried:
		if value < 0 || value > math.MaxInt32 {
			return errors.New("count is out of range")
		}
		if number == fieldRetry {
			t.Retry = int(value)
		} else {
			t.Retried = int(value)
		}
	case fieldTimeout, fieldRetention, fieldDeadline:
		if value < -maxSeconds || value > maxSeconds {
			return errors.New("time is out of range")
		}
		switch {
		case number == fieldTimeout:
			t.Timeout = time.Duration(value) * time.Second
		case number == fieldRetention:
			t.Retention = time.Duration(value) * time.Second
		case value != 0: // asynq's word for none
			t.Deadline = time.Unix(value, 0)
		}
	}
	return nil
}

// Encode writes the message as asynq would, its map in order.
func (t Task) Encode() []byte {
	to := make([]byte, 0, 128+len(t.Payload))
	texts := func(number protowire.Number, value string) {
		if value != "" {
			to = protowire.AppendString(protowire.AppendTag(to, number, protowire.BytesType), value)
		}
	}
	numbers := func(number protowire.Number, value int64) {
		if value != 0 {
			to = protowire.AppendVarint(protowire.AppendTag(to, number, protowire.VarintType), uint64(value))
		}
	}
	texts(fieldType, t.Type)
	if len(t.Payload) > 0 {
		to = protowire.AppendBytes(protowire.AppendTag(to, fieldPayload, protowire.BytesType), t.Payload)
	}
	texts(fieldID, t.ID)
	texts(fieldQueue, t.Queue)
	numbers(fieldRetry, int64(t.Retry))
	numbers(fieldRetried, int64(t.Retried))
	texts(fieldError, t.LastError)
	numbers(fieldTimeout, int64(t.Timeout/time.Second))
	if !t.Deadline.IsZero() {
		numbers(fieldDeadline, t.Deadline.Unix())
	}
	texts(fieldUniqueKey, t.UniqueKey)
	numbers(fieldRetention, int64(t.Retention/time.Second))
	texts(fieldGroup, t.Group)
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		var entry []byte
		entry = protowire.AppendString(protowire.AppendTag(entry, 1, protowire.BytesType), name)
		entry = protowire.AppendString(protowire.AppendTag(entry, 2, protowire.BytesType), t.Headers[name])
		to = protowire.AppendBytes(protowire.AppendTag(to, fieldHeaders, protowire.BytesType), entry)
	}
	return to
}
