package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"longshore/internal/printable"
	"longshore/job"
)

// Places are where a submission may say something.
type Places uint8

// The places. A form's parameters and the metadata of an upload in pieces are read as
// a query is.
const (
	InBody     Places = 1 << iota // the JSON of one job
	InLine                        // the JSON of one job of a batch
	InQuery                       // a parameter
	InHeader                      // a header, see Control.Header
	InBatch                       // the JSON of a batch
	InSchedule                    // the JSON of a schedule, whose jobs have it
)

// A Kind is what a control's values are like.
type Kind string

// The kinds, and the type of the field that holds one.
const (
	KindText     Kind = "text"     // string
	KindTime     Kind = "time"     // time.Time, as RFC 3339
	KindDuration Kind = "duration" // time.Duration, as ParseDuration reads it
	KindCount    Kind = "count"    // int, as ParseCount reads it
	KindLabels   Kind = "labels"   // job.Labels: an object in JSON, else as job.ParseLabels reads it
	KindJobs     Kind = "jobs"     // []job.ID: an array in JSON, else with commas
)

// Bounds of labels, for who describes them.
const (
	MaxLabels     = job.MaxLabels
	MaxLabelValue = job.MaxLabelValue // bytes
	MaxAfter      = 100               // jobs that one may be after
	MaxHold       = 200               // bytes
	MaxLimitKey   = 256               // bytes
	MaxName       = 64                // bytes
	MaxUniqueKey  = 256               // bytes
	MaxQueue      = 32                // bytes
)

// A Control is one thing that a submission may say beside its type, its payload and
// its input. Absent ones mean the type's policy.
type Control struct {
	Name   string // in JSON, in a query, and with dashes as a flag of the command line
	Field  string // of a submission's Go type
	Kind   Kind
	In     Places
	Header string // its name there
	Doc    string

	Enum      []string // the values that a text may have; nil = any
	Format    string   // of a text, as JSON Schema names it; "" = none
	MaxLength int      // of a text in bytes; 0 = any
	ASCII     bool     // a text that goes as a header's value
	Max       int      // of a count
}

// MaxAttempts is the most that any job may have.
const MaxAttempts = 100

const (
	everywhere = InBody | InLine | InQuery
	always     = everywhere | InSchedule
)

// Controls is the one table of them: what reads, writes or describes submissions
// walks it. What a value does is the business of who takes the job in, as is whether
// the installation allows it.
var Controls = []Control{
	{Name: "priority", Field: "Priority", Kind: KindText, In: always,
		Doc: "rank within the type's lane", Enum: priorities()},
	{Name: "queue", Field: "Queue", Kind: KindText, In: always, MaxLength: MaxQueue,
		Doc: "the queue that it waits in, by default default: " + job.QueueNames},
	{Name: "run_at", Field: "RunAt", Kind: KindTime, In: everywhere,
		Doc: "do not start before this time"},
	{Name: "timeout", Field: "Timeout", Kind: KindDuration, In: always,
		Doc: "time limit of one attempt"},
	{Name: "expires_in", Field: "ExpiresIn", Kind: KindDuration, In: always | InBatch,
		Doc: "give up unless started within this time"},
	{Name: "max_attempts", Field: "MaxAttempts", Kind: KindCount, In: always, Max: MaxAttempts,
		Doc: "how often to try"},
	{Name: "retention", Field: "Retention", Kind: KindDuration, In: always | InBatch,
		Doc: "how long to keep the job after its end"},
	{Name: "callback_url", Field: "CallbackURL", Kind: KindText, In: always | InBatch, Format: "uri",
		Doc: "post the job, signed, to this address when it has ended: http or https, at most 2048 bytes"},
	{Name: "labels", Field: "Labels", Kind: KindLabels, In: everywhere | InBatch,
		Doc: "names and values to find the job by, at most 8: in JSON an object of strings, else user=7,batch=x"},
	{Name: "after", Field: "After", Kind: KindJobs, In: everywhere,
		Doc: "ids of jobs that have to end before it, or their names in the same batch, at most 100: in JSON an array, else with commas"},
	{Name: "on_failure", Field: "OnFailure", Kind: KindText, In: everywhere | InBatch, Enum: []string{"cancel", "run"},
		Doc: "what to do where one of these doesn't succeed: cancel, the default, or run"},
	{Name: "hold", Field: "Hold", Kind: KindText, In: everywhere, MaxLength: MaxHold,
		Doc: "why it is to wait until somebody releases it: one line, at most 200 bytes"},
	{Name: "batch", Field: "Batch", Kind: KindText, In: everywhere, Format: "uuid",
		Doc: "the batch that the job is to be of"},
	{Name: "batch_name", Field: "Name", Kind: KindText, In: everywhere, MaxLength: MaxName, ASCII: true,
		Doc: "what the job is called in its batch, for others to be after it: a repeat with the same name is the same job"},
	{Name: "limit_key", Field: "LimitKey", Kind: KindText, In: always, MaxLength: MaxLimitKey,
		Doc: "what limits of jobs at once tell it apart by, as a customer: one line, at most 256 bytes"},
	{Name: "unique_key", Field: "UniqueKey", Kind: KindText, In: everywhere, MaxLength: MaxUniqueKey,
		Doc: "there is one job of this key at a time: one line, at most 256 bytes"},
	{Name: "unique_until", Field: "UniqueUntil", Kind: KindText, In: everywhere,
		Enum: []string{"started", "ended", "removed"},
		Doc:  "how long that job has its unique_key: until it has started, ended, the default, or is removed"},
	{Name: "on_conflict", Field: "OnConflict", Kind: KindText, In: everywhere,
		Enum: []string{"return", "refuse", "replace"},
		Doc: "where a job has the unique_key: return that one, the default, refuse with duplicate, or replace " +
			"what it is to do, which implies unique_until=started"},
	{Name: "max_wait", Field: "MaxWait", Kind: KindDuration, In: everywhere,
		Doc: "with on_conflict=replace: put its start off for no longer than this from its creation, 1h by default"},
	{Name: "delete_input", Field: "DeleteInput", Kind: KindText, In: everywhere,
		Enum: []string{job.DeleteNever, job.DeleteOnSuccess, job.DeleteAtEnd},
		Doc: "delete the input once the job has succeeded, or has ended anyhow, and not with the job; the type's policy " +
			"by default, else never"},
	{Name: "filename", Field: "Filename", Kind: KindText, In: InQuery,
		Doc: "what the input is called"},
	{Name: "id", Field: "ID", Kind: KindText, In: InLine | InHeader, Header: HeaderJob, Format: "uuid",
		Doc: "the id the job shall have: a UUIDv7 of the last hour"},
	{Name: "idempotency_key", Field: "IdempotencyKey", Kind: KindText, In: InLine | InHeader,
		Header: HeaderIdempotencyKey, MaxLength: MaxKey, ASCII: true,
		Doc: "a repeat with the same key returns the first job"},
}

func priorities() []string {
	names := make([]string, len(job.Priorities))
	for i, p := range job.Priorities {
		names[i] = string(p)
	}
	return names
}

// ErrTime says what a time looks like.
var ErrTime = errors.New("expected a time as 2006-01-02T15:04:05Z (RFC 3339)")

// Fields are the places of the controls in T, a struct with a field of the right type
// for each.
type Fields[T any] struct{ index []int }

// FieldsOf finds them. It panics if there is one missing, so it is for a variable of
// the package that owns T.
func FieldsOf[T any]() Fields[T] {
	t := reflect.TypeFor[T]()
	f := Fields[T]{index: make([]int, len(Controls))}
	for i, c := range Controls {
		field, ok := t.FieldByName(c.Field)
		if !ok || len(field.Index) != 1 || !c.Kind.fits(field.Type) {
			panic(fmt.Sprintf("%v has no field %s for %s, a %s", t, c.Field, c.Name, c.Kind))
		}
		f.index[i] = field.Index[0]
	}
	return f
}

func (k Kind) fits(t reflect.Type) bool {
	switch k {
	case KindText:
		return t.Kind() == reflect.String
	case KindTime:
		return t == reflect.TypeFor[time.Time]()
	case KindDuration:
		return t == reflect.TypeFor[time.Duration]()
	case KindCount:
		return t == reflect.TypeFor[int]()
	case KindLabels:
		return t == reflect.TypeFor[job.Labels]()
	case KindJobs:
		return t == reflect.TypeFor[[]job.ID]()
	}
	return false
}

func (f Fields[T]) at(of *T, i int) reflect.Value {
	return reflect.ValueOf(of).Elem().Field(f.index[i])
}

// FindControl returns the number of a control that may stand in a place.
func FindControl(name string, in Places) (i int, ok bool) {
	for i := range Controls {
		if c := &Controls[i]; c.In&in != 0 && c.Name == name {
			return i, true
		}
	}
	return 0, false
}

// SetJSON reads a control's value from JSON that was checked. The error is for the
// client to read.
func (f Fields[T]) SetJSON(to *T, i int, value []byte) error {
	switch Controls[i].Kind {
	case KindText:
		text, err := TextOf(value)
		if err != nil {
			return err
		}
		return f.Set(to, i, text)
	case KindDuration:
		if value[0] == '"' {
			text, err := TextOf(value)
			if err != nil {
				return err
			}
			return f.Set(to, i, text)
		}
		d, err := secondsOf(value)
		if err != nil {
			return err
		}
		f.at(to, i).SetInt(int64(d))
		return nil
	case KindTime:
		text, err := TextOf(value)
		if err != nil {
			return ErrTime
		}
		return f.Set(to, i, text)
	case KindLabels:
		var l job.Labels
		if value[0] != '{' || json.Unmarshal(value, &l) != nil {
			return errors.New("expected an object of strings")
		}
		if err := l.Check(); err != nil {
			return err
		}
		f.setLabels(to, i, l)
		return nil
	case KindJobs:
		var ids []job.ID
		if value[0] != '[' || json.Unmarshal(value, &ids) != nil {
			return errors.New("expected an array of strings")
		}
		return f.setJobs(to, i, ids)
	default:
		return f.Set(to, i, string(value)) // a text's quotes are no part of a number
	}
}

// Set reads a control's value from a text: of a query, a header, a flag.
func (f Fields[T]) Set(to *T, i int, text string) error {
	c, field := &Controls[i], f.at(to, i)
	switch c.Kind {
	case KindText:
		if err := c.checkText(text); err != nil {
			return err
		}
		field.SetString(text)
	case KindTime:
		var at time.Time
		if at.UnmarshalText([]byte(text)) != nil {
			return ErrTime
		}
		*field.Addr().Interface().(*time.Time) = at
	case KindDuration:
		d, err := ParseDuration(text)
		if err != nil {
			return err
		}
		field.SetInt(int64(d))
	case KindCount:
		n, err := ParseCount(text)
		if err != nil || n > c.Max {
			return fmt.Errorf("%w to %d", ErrCount, c.Max)
		}
		field.SetInt(int64(n))
	case KindLabels:
		l, err := job.ParseLabels(text)
		if err != nil {
			return err
		}
		f.setLabels(to, i, l)
	case KindJobs:
		var ids []job.ID
		for one := range strings.SplitSeq(text, ",") {
			ids = append(ids, job.ID(strings.TrimSpace(one)))
		}
		return f.setJobs(to, i, ids)
	}
	return nil
}

// setJobs sets a field to ids, each once; without any it is as if none were said.
func (f Fields[T]) setJobs(to *T, i int, ids []job.ID) error {
	var each []job.ID
	for _, id := range ids {
		if _, err := job.ParseID(string(id)); err != nil && !IsName(string(id)) {
			return errors.New("expected jobs' ids")
		}
		if !slices.Contains(each, id) {
			each = append(each, id)
		}
		if len(each) > MaxAfter {
			return fmt.Errorf("expected at most %d ids", MaxAfter)
		}
	}
	f.at(to, i).Set(reflect.ValueOf(each))
	return nil
}

// IsName tells that a text may be the name of a job in its batch.
func IsName(text string) bool {
	_, err := job.ParseID(text)
	return err != nil && len(text) <= 64 && batchName.MatchString(text)
}

var batchName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// setLabels sets a field to labels; without any it is as if none were said.
func (f Fields[T]) setLabels(to *T, i int, l job.Labels) {
	if len(l) == 0 {
		l = nil
	}
	f.at(to, i).Set(reflect.ValueOf(l))
}

func (c *Control) checkText(text string) error {
	notASCII := func(r rune) bool { return r < ' ' || r > '~' }
	if c.ASCII && (len(text) > c.MaxLength || strings.ContainsFunc(text, notASCII)) {
		return fmt.Errorf("expected up to %d characters of ASCII", c.MaxLength)
	}
	if !c.ASCII && c.MaxLength > 0 && (len(text) > c.MaxLength || printable.Line(text) != text) {
		return fmt.Errorf("expected one line of up to %d bytes", c.MaxLength)
	}
	if c.Enum != nil && text != "" && !slices.Contains(c.Enum, text) {
		return errors.New(ExpectedOneOf(c.Enum))
	}
	return nil
}

// ExpectedOneOf says that a text is none of some.
func ExpectedOneOf(texts []string) string {
	last := len(texts) - 1
	return "expected " + strings.Join(texts[:last], ", ") + " or " + texts[last]
}

// Text writes a control's value as Set reads it; given is false of one that says nothing.
func (f Fields[T]) Text(of *T, i int) (text string, given bool) {
	field := f.at(of, i)
	if field.IsZero() {
		return "", false
	}
	switch Controls[i].Kind {
	case KindTime:
		return field.Interface().(time.Time).UTC().Format(time.RFC3339Nano), true
	case KindDuration:
		return FormatDuration(time.Duration(field.Int())), true
	case KindCount:
		return strconv.FormatInt(field.Int(), 10), true
	case KindLabels:
		return field.Interface().(job.Labels).String(), field.Len() > 0
	case KindJobs:
		ids := field.Interface().([]job.ID)
		texts := make([]string, len(ids))
		for i, id := range ids {
			texts[i] = string(id)
		}
		return strings.Join(texts, ","), len(ids) > 0
	default:
		return field.String(), true
	}
}

// AppendJSON appends the controls that may stand in a place, each as a further member
// of an object that is not empty.
func (f Fields[T]) AppendJSON(b []byte, of *T, in Places) ([]byte, error) {
	for i, c := range Controls {
		text, given := f.Text(of, i)
		if c.In&in == 0 || !given {
			continue
		}
		b = append(append(append(b, `,"`...), c.Name...), `":`...)
		if c.Kind == KindCount {
			b = append(b, text...)
			continue
		}
		var value any = text
		if c.Kind == KindLabels || c.Kind == KindJobs {
			value = f.at(of, i).Interface()
		}
		quoted, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		b = append(b, quoted...)
	}
	return b, nil
}

// CopyControls sets all controls of a submission to what another one says.
func CopyControls[T, F any](to *T, fields Fields[T], from *F, of Fields[F]) {
	for i := range Controls {
		fields.at(to, i).Set(of.at(from, i).Convert(fields.at(to, i).Type()))
	}
}

// ErrText says that a value is no text.
var ErrText = errors.New("expected string")

// TextOf returns what a string of JSON says that was checked.
func TextOf(value []byte) (string, error) {
	if value[0] != '"' {
		return "", ErrText
	}
	if inner := value[1 : len(value)-1]; !slices.Contains(inner, '\\') {
		return string(inner), nil
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return "", ErrText
	}
	return text, nil
}
