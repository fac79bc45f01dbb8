package jobstore

import (
	"testing"

	"longshore/job"
)

// TestTrace keeps a caller's trace in the record, through all that becomes of the job.
func TestTrace(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"
	s := turnedStore(t)
	for _, one := range []struct {
		traceparent, want string
		apart             bool
	}{
		{parent + "1", parent + "1", false}, {parent + "0", parent + "0", false}, {parent + "1", parent + "1", true},
		{"", "", true}, {"nonsense", "", false},
	} {
		n := simple()
		n.Traceparent, n.TraceApart = one.traceparent, one.apart
		n.Batch, n.Function, n.IdempotencyKey, n.Digest = "", 7, string(n.ID), "d"
		n.ID = DrawID(n.ID.Time(), n.Owner, n.IdempotencyKey)
		ticket := mustCreate(t, s.Store, n)
		st, err := s.Start(t.Context(), ticket, NewFence(), false)
		if err != nil || st.Traceparent != one.want || st.TraceApart != (one.apart && one.want != "") ||
			st.Function != 7 {
			t.Fatalf("%+v: %+v, %v", one, st, err)
		}
		if _, err := s.Create(t.Context(), n); err != nil {
			t.Error(err)
		}
		if snap := s.state(t, n.ID); snap.Traceparent != one.want || snap.State != job.Running ||
			snap.Function.Version != 7 {
			t.Errorf("%+v: %+v", one, snap)
		}
	}
}
