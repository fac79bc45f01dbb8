package jobstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/batch"
	"longshore/internal/printable"
	"longshore/job"
)

// A Started is a job that a worker may run.
type Started struct {
	Type            string
	Attempt         int // this one, from 1
	MaxAttempts     int
	Timeout         time.Duration
	Losses          int  // young runs lost in a row before this start
	CancelRequested bool // since the first of several calls with this fence
	// Wait is from when it could have run, by its creation and its time, to this start.
	Wait    time.Duration
	Reached float64 // of the whole, by the upload and earlier attempts: job.Progress has it
	Spec    Spec
	After   []job.After // how those before it have ended
	// Function is the number of the deployed function's version that the job was accepted for,
	// or has run by; 0 = none.
	Function int64
	// Traceparent is whose trace the job is of; "" = none. With TraceApart runs are traces of their own.
	Traceparent string
	TraceApart  bool
}

// Start takes the job of a ticket under a fence. The same fence again is the
// same start and renews the lease. suspect says that the job may be one that
// has cost workers before. Errors: ErrStale, ErrSuspect,
// job.ErrNotFound, job.ErrDamaged; any other leaves the outcome unknown.
func (s *Store) Start(ctx context.Context, t job.Ticket, fence string, suspect bool) (Started, error) {
	most := 0
	if suspect {
		most = poisonLosses
	}
	return s.StartWithin(ctx, t, fence, most)
}

// StartWithin is Start for a job that has lost most young runs in a row at the
// most, or too few to be a suspect: see Suspects.
func (s *Store) StartWithin(ctx context.Context, t job.Ticket, fence string, most int) (Started, error) {
	reply, err := s.starts.Do(ctx, s.base(t.ID), t.ID.Raw(), t.Delivery, readFence(fence), ms(s.lease),
		strconv.Itoa(most), "")
	if err != nil {
		return Started{}, err
	}
	if err := status(t.ID, reply); err != nil {
		return Started{}, err
	}
	st, _, err := s.decodeStarted(ctx, t.ID, text(reply[1]), [3]string(texts(reply[2:5])))
	return st, err
}

// decodeStarted reads a record that was just started, and what is in keys of its own: payload, progress and
// what it is after.
func (s *Store) decodeStarted(ctx context.Context, id job.ID, core string,
	beside [3]string) (st Started, r record, err error) {
	spec, progress, after := beside[0], beside[1], beside[2]
	if r, err = parseRecord(core); err != nil {
		return st, r, fmt.Errorf("%s: %w: %w", id, job.ErrDamaged, err)
	}
	h, err := s.headOf(ctx, s.part(id), &r)
	if bad := errRecord(""); errors.As(err, &bad) {
		return st, r, fmt.Errorf("%s: %w: %w", id, job.ErrDamaged, err)
	} else if err != nil {
		return st, r, err
	}
	st = Started{Type: h.kind, Attempt: r.attempts + 1, MaxAttempts: h.maxAttempts, Timeout: h.timeout,
		Losses: r.losses, CancelRequested: r.has(flagC), Function: r.function,
		Traceparent: r.traceparent(), TraceApart: r.traceApart() || r.batch != ""}
	if since := max(r.created, r.runAt); since > 0 && r.started >= since {
		st.Wait = time.Duration(r.started-since) * time.Millisecond
	}
	st.After = afterOf(after)
	if progress != "" {
		if p, err := decodeProgress(progress); err == nil { // else damaged, and about to be written anew
			st.Reached = p.Reached
		}
	}
	if st.Spec, err = r.spec(spec); err != nil {
		err = fmt.Errorf("%s: %w", id, err)
	}
	return st, r, err
}

func decodeSpec(body string) (Spec, error) {
	spec := Spec{Payload: json.RawMessage("{}")}
	if body == "" {
		return spec, nil
	}
	if err := json.Unmarshal([]byte(body), &spec); err != nil {
		return spec, fmt.Errorf("spec: %w", job.ErrDamaged)
	}
	if len(spec.Sealed) > 0 {
		var kept sealedSpec
		if err := json.Unmarshal([]byte(body), &kept); err != nil {
			return spec, fmt.Errorf("spec: %w", job.ErrDamaged)
		}
		spec.Payload = kept.Payload
	}
	if len(spec.Payload) == 0 {
		spec.Payload = json.RawMessage("{}")
	}
	return spec, nil
}

// A Beat says that one run or upload lives, and how far it is.
type Beat struct {
	ID       job.ID
	Fence    string
	Renew    bool          // the lease
	For      time.Duration // the lease's length, for an upload in pieces; 0 = the store's
	Progress *job.Progress // nil = no news
}

// A BeatReply answers one Beat.
type BeatReply struct {
	Cancel bool  // stop it
	Err    error // ErrLost: it is somebody else's, or ended
	// Unanswered means that its part of a Cluster said nothing: the lease may have been renewed, or not.
	Unanswered bool
}

// Beats carries a whole process's beats in one round trip. The error is the first of those
// without an answer: where one master of a Cluster is gone, the others' jobs live on.
func (s *Store) Beats(ctx context.Context, beats []Beat) ([]BeatReply, error) {
	calls := make([]*batch.Call, len(beats))
	for i, b := range beats {
		progress, lease := "", "0"
		if b.Progress != nil {
			body, err := encodeProgress(b.Progress)
			if err != nil {
				return nil, err
			}
			progress = body
		}
		if b.Renew {
			lease = ms(cmp.Or(b.For, s.lease))
		}
		calls[i] = &batch.Call{Key: s.base(b.ID), Args: []any{b.ID.Raw() + readFence(b.Fence), lease,
			progress}}
	}
	err := batch.ReadAll(ctx, s.rdb, s.beatCalls, bulkSize, calls)
	replies := make([]BeatReply, len(beats))
	for i, c := range calls {
		if c.Err != nil {
			replies[i] = BeatReply{Err: c.Err, Unanswered: true}
			continue
		}
		replies[i] = BeatReply{Cancel: text(c.Reply[0]) == "cancel", Err: status(beats[i].ID, c.Reply)}
	}
	return replies, err
}

// beatCalls is one call of the short way, and one of the long way for what that leaves.
func (s *Store) beatCalls(ctx context.Context, rdb redis.UniversalClient, calls []*batch.Call) {
	all := func(c *batch.Call) ([]any, error) { return c.Args, nil }
	s.longCalls(ctx, rdb, s.scripts.beatLong, s.shortCalls(ctx, rdb, s.scripts.beat, calls, 3), all)
}

// shortCalls runs a short way of many items, with so many texts each, and returns those that it leaves.
func (s *Store) shortCalls(ctx context.Context, rdb redis.UniversalClient, script *redis.Script,
	calls []*batch.Call, width int) (left []*batch.Call) {
	if len(calls) == 0 {
		return nil
	}
	args := make([]any, 0, width*len(calls))
	for _, c := range calls {
		args = append(args, c.Args[:width]...)
	}
	replies, err := script.Run(ctx, rdb, []string{calls[0].Key}, args...).Int64Slice()
	if err == nil && len(replies) != len(calls) {
		err = fmt.Errorf("script answered %d of %d items", len(replies), len(calls))
	}
	for i, c := range calls {
		switch {
		case err != nil:
			c.Err = err
		case replies[i] == 1:
			c.Reply = []any{"ok"}
		default:
			left = append(left, c)
		}
	}
	return left
}

// An Outcome is the way a run or an upload ended.
type Outcome string

// The outcomes.
const (
	Succeeded Outcome = "succeeded"
	Failed    Outcome = "failed"
	Retry     Outcome = "retry" // failed; again after Delay unless that was the last attempt
	Canceled  Outcome = "canceled"
	Release   Outcome = "release" // given back: no attempt, no loss; queued again after Delay
)

// An End is the end of a run or an upload.
type End struct {
	Outcome Outcome
	Delay   time.Duration // of Retry and Release
	Code    job.Code      // of Retry and Failed
	Message string
	Usage   job.Usage
	// Progress is the last and exact one; nil = as it is.
	Progress *job.Progress
	Result   json.RawMessage // of Succeeded
	Outputs  []job.Output    // of Succeeded; Blob names must lie under "<id>/<fence>/"
	// Function is the number of the deployed function's version that ran; 0 = what the
	// record has, NoFunction = none.
	Function int64
}

// Pauses between attempts: doubled each time, up to a longest one.
const (
	backoffFirst = time.Second
	backoffMost  = 5 * time.Minute
)

// Backoff is how long to wait after a failed attempt, with full jitter.
func Backoff(attempt int) time.Duration {
	most := backoffFirst << min(attempt-1, 20)
	return rand.N(min(most, backoffMost)) + time.Millisecond
}

// stored is what key r holds.
type stored struct {
	Result  json.RawMessage `json:"r,omitempty"`
	Outputs []storedOutput  `json:"o,omitempty"`
}

type storedOutput struct {
	Name        string `json:"n"`
	Blob        string `json:"b"`
	Size        int64  `json:"s"`
	SHA256      string `json:"h"`
	ContentType string `json:"t"`
}

// Ended is what an end led to. A cancel request wins over any outcome.
type Ended struct {
	State  job.State
	Ticket job.Ticket // which is in its queue, if State is queued
	// Callback says that the job has one, which is due if this has ended it.
	Callback bool
}

// Finish ends the run that holds the fence. It may be repeated until it is
// answered. ErrLost means that the run doesn't count.
func (s *Store) Finish(ctx context.Context, id job.ID, fence string, e End) (Ended, error) {
	result, progress := "", ""
	if len(e.Result) > 0 || len(e.Outputs) > 0 {
		st := stored{Result: e.Result}
		for _, o := range e.Outputs {
			st.Outputs = append(st.Outputs, storedOutput{o.Name, o.Blob, o.Size, o.SHA256, o.ContentType})
		}
		body, err := json.Marshal(st)
		if err != nil {
			return Ended{}, err
		}
		result = string(body)
	}
	if e.Progress != nil {
		body, err := encodeProgress(e.Progress)
		if err != nil {
			return Ended{}, err
		}
		progress = body
	}
	reply, err := s.finishes.Do(ctx, s.base(id), id.Raw()+readFence(fence), encodeUsage(e.Usage), progress,
		result, string(e.Outcome), ms(e.Delay), string(e.Code), oneLine(e.Message),
		functionBytes(e.Function))
	if err != nil {
		return Ended{}, err
	}
	if err := status(id, reply); err != nil {
		return Ended{}, err
	}
	if len(reply) < 3 {
		return Ended{State: job.Succeeded}, nil // the usual end, said in a word
	}
	ended := Ended{State: job.State(text(reply[1])), Callback: integer(reply[3]) == 1}
	ended.Ticket, _ = ticketOf(reply[2])
	return ended, nil
}

// NoFunction says that a job that was accepted for a deployed function ran by none: by a folder,
// which goes before.
const NoFunction = -1

// functionBytes is a function's number as part F has it; "" of none.
func functionBytes(n int64) string {
	switch n {
	case 0:
		return ""
	case NoFunction:
		return "\x00\x00\x00\x00"
	}
	return string(binary.BigEndian.AppendUint32(nil, uint32(min(n, 1<<32-1))))
}

// finishCalls takes runs that succeeded the short way, and all others, and what that leaves, the long way.
func (s *Store) finishCalls(ctx context.Context, rdb redis.UniversalClient, calls []*batch.Call) {
	var short, long []*batch.Call
	for _, c := range calls {
		if c.Args[4] == string(Succeeded) && c.Args[8] == "" {
			short = append(short, c)
		} else {
			long = append(long, c)
		}
	}
	long = append(long, s.shortCalls(ctx, rdb, s.scripts.finish, short, 4)...)
	s.longCalls(ctx, rdb, s.scripts.finishLong, long,
		func(c *batch.Call) ([]any, error) { return c.Args, nil })
}

// oneLine keeps a message short, and fit for a terminal: it may quote what a client sent.
func oneLine(message string) string {
	const most = 1000
	line := printable.Line(message[:min(len(message), 4*most)])
	if len(line) <= most && len(message) <= 4*most {
		return line
	}
	return strings.ToValidUTF8(line[:min(len(line), most)], "") + "…"
}

// Postpone puts a queued job back that can't run here: no attempt is consumed.
func (s *Store) Postpone(ctx context.Context, t job.Ticket, delay time.Duration) error {
	c := s.call(t.ID, t.Delivery, ms(delay))
	if err := batch.RunAll(ctx, s.rdb, s.scripts.postpone, 1, []*batch.Call{c}); err != nil {
		return err
	}
	return status(t.ID, c.Reply)
}

// RequestCancel ends a job that doesn't run, and asks the worker of a running
// one to stop it. For a job that has ended it does nothing.
func (s *Store) RequestCancel(ctx context.Context, id job.ID) error {
	return s.RequestCancelBy(ctx, id, "")
}

// Cancel is RequestCancel and the job as it is afterwards.
func (s *Store) Cancel(ctx context.Context, id job.ID) (job.Snapshot, error) {
	if err := s.RequestCancel(ctx, id); err != nil {
		return job.Snapshot{}, err
	}
	return s.Get(ctx, id)
}
