package queue

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/job"
)

// deafOnce loses the reply of the next script call: Redis has run it.
type deafOnce struct{ armed bool }

func (h *deafOnce) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h *deafOnce) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && h.armed && cmd.Name() == "evalsha" {
			h.armed = false
			err = errors.New("reply lost")
			cmd.SetErr(err)
		}
		return err
	}
}

func (h *deafOnce) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(ctx, cmds) }
}

// TestClaimIsRepeated holds that a claim whose reply was lost starts no job for
// nobody: the next claim brings the same jobs under the same fences.
func TestClaimIsRepeated(t *testing.T) {
	t.Parallel()
	q, rdb := testQueue(t)
	all := q.submit(t, 5, job.Default)
	claimer := q.store.NewClaimer([]string{"test.job"})
	claim := func(p job.Priority, n int) ([]jobstore.Claim, error) {
		claims, _, err := claimer.Claim(t.Context(), job.LaneIO, p, n, true)
		return claims, err
	}
	if _, err := claim(job.High, 1); err != nil { // the script is loaded
		t.Fatal(err)
	}
	h := &deafOnce{armed: true}
	rdb.AddHook(h)
	if _, err := claim(job.Default, 3); err == nil || h.armed {
		t.Fatal("the reply was not lost")
	}
	claims, err := claim(job.High, 1) // whatever it asks for
	if err != nil || len(claims) != 3 {
		t.Fatalf("repeated: %d claims, %v", len(claims), err)
	}
	for i, c := range claims {
		if c.Err != nil || c.Ticket != all[i] || c.Started.Attempt != 1 || string(c.Started.Spec.Payload) != payloads[i%2] {
			t.Errorf("claim %d: %+v", i, c)
		}
		if e, err := q.store.Finish(t.Context(), c.Ticket.ID, c.Fence, jobstore.End{Outcome: jobstore.Succeeded}); err != nil || e.State != job.Succeeded {
			t.Errorf("finish %d: %+v, %v", i, e, err)
		}
	}
	if claims, err = claim(job.Default, 3); err != nil || len(claims) != 2 || claims[0].Ticket != all[3] ||
		string(claims[0].Started.Spec.Payload) != payloads[1] || string(claims[1].Started.Spec.Payload) != payloads[0] {
		t.Errorf("then: %+v, %v", claims, err)
	}
	if active, err := q.Active(t.Context()); err != nil || len(active) != 2 {
		t.Errorf("active: %v, %v", active, err)
	}
}

// TestClaimRefuses holds what is claimed and not started: it stays active until
// the caller has decided.
func TestClaimRefuses(t *testing.T) {
	t.Parallel()
	q, rdb := testQueue(t)
	ticket := q.submit(t, 1, job.Default)[0]
	other := q.store.NewClaimer([]string{"test.other"})
	claims, _, err := other.Claim(t.Context(), job.LaneIO, job.Default, 2, false)
	if err != nil || len(claims) != 1 || !errors.Is(claims[0].Err, jobstore.ErrUnserved) || claims[0].Ticket != ticket {
		t.Fatalf("claim of a type that is not served: %+v, %v", claims, err)
	}
	if states, err := q.Look(t.Context(), []job.Ticket{ticket}); err != nil || states[0] != jobstore.TicketActive {
		t.Errorf("ticket is %v, %v", states, err)
	}
	if snap, err := q.store.Get(t.Context(), ticket.ID); err != nil || snap.State != job.Queued || snap.StartedAt != nil {
		t.Errorf("job is %+v, %v", snap, err)
	}
	// A job that ended meanwhile and a damaged one are thrown away or reported, and hurt no other.
	more := q.submit(t, 3, job.High)
	if err := q.store.RequestCancel(t.Context(), more[0].ID); err != nil {
		t.Fatal(err)
	}
	for _, key := range rdb.Keys(t.Context(), q.prefix+":*:j:"+string(more[1].ID)).Val() {
		rdb.HSet(t.Context(), key, "m", "nonsense")
	}
	mine := q.store.NewClaimer([]string{"test.job"})
	claims, _, err = mine.Claim(t.Context(), job.LaneIO, job.High, 5, true)
	if err != nil || len(claims) != 2 || !errors.Is(claims[0].Err, job.ErrDamaged) || claims[1].Err != nil || claims[1].Ticket != more[2] {
		t.Errorf("claims: %+v, %v", claims, err)
	}
}

// TestTogetherOrNotAtAll holds that creation brings a ticket of its own only
// for a job that is queued at once.
func TestTogetherOrNotAtAll(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	n := jobstore.NewJob{ID: job.NewID(time.Now()), Type: "test.job", Lane: job.LaneIO, Priority: job.Default,
		Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour, RunAt: time.Now().Add(time.Hour), ExpiresIn: 2 * time.Hour}
	c, err := q.store.Create(t.Context(), n)
	if err != nil || c.Sent || c.Ticket.Delivery != 0 {
		t.Errorf("scheduled: %+v, %v", c, err)
	}
	n.ID, n.RunAt = job.NewID(time.Now()), time.Time{}
	if c, err = q.store.Create(t.Context(), n); err != nil || !c.Sent {
		t.Errorf("queued, with an expiry: %+v, %v", c, err)
	}
	if snap, err := q.store.Get(t.Context(), n.ID); err != nil || snap.ExpiresAt == nil || snap.Type != "test.job" {
		t.Errorf("job %+v, %v", snap, err)
	}
	infos, err := q.Queues(t.Context())
	if err != nil || infos[1].Pending != 1 || infos[1].Latency < 0 || infos[1].Latency > time.Minute {
		t.Errorf("queues %+v, %v", infos, err)
	}
}
