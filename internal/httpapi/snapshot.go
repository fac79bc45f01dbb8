package httpapi

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"longshore/job"
)

// AppendSnapshot appends to dst what Encode makes of a snapshot, which nearly all
// answers are, with the usual fields written by hand.
func AppendSnapshot(dst []byte, s *job.Snapshot) ([]byte, error) {
	w := snapshotWriter{Buffer: *bytes.NewBuffer(dst)}
	w.Grow(640 + len(s.Result)) // what most need
	w.text(`{"id":`, string(s.ID))
	w.text(`,"type":`, s.Type)
	w.text(`,"state":`, string(s.State))
	w.flag(`,"done":`, s.Done)
	w.number(`,"rev":`, s.Rev)
	w.text(`,"lane":`, string(s.Lane))
	w.text(`,"priority":`, string(s.Priority))
	if s.Queue != "" {
		w.text(`,"queue":`, s.Queue)
	}
	w.number(`,"attempt":`, int64(s.Attempt))
	w.number(`,"max_attempts":`, int64(s.MaxAttempts))
	w.flag(`,"cancel_requested":`, s.CancelRequested)
	if s.RetryOf != "" {
		w.text(`,"retry_of":`, string(s.RetryOf))
	}
	if s.RetriedAs != "" {
		w.text(`,"retried_as":`, string(s.RetriedAs))
	}
	if s.Schedule != nil {
		w.other(`,"schedule":`, s.Schedule)
	}
	if len(s.After) > 0 {
		w.other(`,"after":`, s.After)
	}
	if s.Hold != nil {
		w.other(`,"hold":`, s.Hold)
	}
	if s.LimitKey != "" {
		w.text(`,"limit_key":`, s.LimitKey)
	}
	if s.Limit != "" {
		w.text(`,"limit":`, s.Limit)
	}
	if s.DeleteInput != "" {
		w.text(`,"delete_input":`, s.DeleteInput)
	}
	w.time(`,"input_deleted_at":`, s.InputDeletedAt)
	w.batch(s)
	if s.Tenant != "" {
		w.text(`,"tenant":`, s.Tenant)
	}
	if s.Subject != "" {
		w.text(`,"subject":`, s.Subject)
	}
	if len(s.Labels) > 0 {
		w.other(`,"labels":`, s.Labels)
	}
	if s.Traceparent != "" {
		w.text(`,"traceparent":`, s.Traceparent)
	}
	w.outcome(s)
	w.time(`,"created_at":`, &s.CreatedAt)
	w.time(`,"run_at":`, s.RunAt)
	w.time(`,"started_at":`, s.StartedAt)
	w.time(`,"finished_at":`, s.FinishedAt)
	w.time(`,"expires_at":`, s.ExpiresAt)
	w.links(s.Links)
	w.WriteString("}\n")
	return w.Bytes(), w.err
}

// A snapshotWriter writes members, each with what stands before its value. It
// keeps the first error.
type snapshotWriter struct {
	bytes.Buffer
	err error
}

func (w *snapshotWriter) outcome(s *job.Snapshot) {
	switch {
	case s.Overall == nil:
		w.WriteString(`,"overall":null`)
	case *s.Overall == 0 || *s.Overall == 1:
		w.number(`,"overall":`, int64(*s.Overall))
	default:
		w.other(`,"overall":`, *s.Overall)
	}
	if s.WaitingFor != "" {
		w.text(`,"waiting_for":`, string(s.WaitingFor))
	}
	if s.Progress != nil {
		w.other(`,"progress":`, s.Progress)
	}
	if len(s.Result) > 0 {
		w.WriteString(`,"result":`)
		w.note(json.Compact(&w.Buffer, s.Result))
	}
	if len(s.Outputs) > 0 {
		w.other(`,"outputs":`, s.Outputs)
	}
	if s.Error != nil {
		w.other(`,"error":`, s.Error)
	}
	if len(s.Errors) > 0 {
		w.other(`,"errors":`, s.Errors)
	}
	if u := s.Usage; u != nil {
		w.number(`,"usage":{"wall_ms":`, u.WallMS)
		if u.CPUMS != 0 {
			w.number(`,"cpu_ms":`, u.CPUMS)
		}
		if u.PeakRSSBytes != 0 {
			w.number(`,"peak_rss_bytes":`, u.PeakRSSBytes)
		}
		w.WriteByte('}')
	}
	if s.Function != nil {
		w.other(`,"function":`, s.Function)
	}
}

func (w *snapshotWriter) links(l *job.Links) {
	if l == nil {
		return
	}
	w.text(`,"links":{"self":`, l.Self)
	for _, link := range [...]struct{ before, path string }{
		{`,"events":`, l.Events}, {`,"cancel":`, l.Cancel}, {`,"result":`, l.Result},
	} {
		if link.path != "" {
			w.text(link.before, link.path)
		}
	}
	w.WriteByte('}')
}

func (w *snapshotWriter) note(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *snapshotWriter) text(before, value string) {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			w.other(before, value)
			return
		}
	}
	w.WriteString(before)
	w.WriteByte('"')
	w.WriteString(value)
	w.WriteByte('"')
}

func (w *snapshotWriter) number(before string, value int64) {
	w.WriteString(before)
	w.Write(strconv.AppendInt(w.AvailableBuffer(), value, 10))
}

func (w *snapshotWriter) flag(before string, value bool) {
	w.WriteString(before)
	w.Write(strconv.AppendBool(w.AvailableBuffer(), value))
}

func (w *snapshotWriter) time(before string, value *time.Time) {
	if value == nil {
		return
	}
	w.WriteString(before)
	w.WriteByte('"')
	text, err := value.AppendText(w.AvailableBuffer())
	w.note(err)
	w.Write(text)
	w.WriteByte('"')
}

// other writes a value as encoding/json does.
func (w *snapshotWriter) other(before string, value any) {
	text, err := Encode(value)
	w.note(err)
	w.WriteString(before)
	w.Write(bytes.TrimSuffix(text, []byte("\n")))
}

// batch writes what a job of a batch, or a batch itself, has.
func (w *snapshotWriter) batch(s *job.Snapshot) {
	if s.Batch != "" {
		w.text(`,"batch":`, string(s.Batch))
	}
	if s.Name != "" {
		w.text(`,"batch_name":`, s.Name)
	}
	if s.Jobs != nil {
		w.other(`,"jobs":`, s.Jobs)
	}
}
