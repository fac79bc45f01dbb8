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
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return next(ctx, network, addr)
	}
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
		claims, _, err := claimer.Claim(t.Context(), job.Place{Lane: job.LaneIO, Priority: p}, 0, n)
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
		if c.Err != nil || c.Ticket != all[i] || c.Started.Attempt != 1 ||
			string(c.Started.Spec.Payload) != payloads[i%2] {
			t.Errorf("claim %d: %+v", i, c)
		}
		if e, err := q.store.Finish(t.Context(), c.Ticket.ID, c.Fence,
			jobstore.End{Outcome: jobstore.Succeeded}); err != nil || e.State != job.Succeeded {
			t.Errorf("finish %d: %+v, %v", i, e, err)
		}
	}
	if claims, err = claim(job.Default, 3); err != nil || len(claims) != 2 || claims[0].Ticket != all[3] ||
		string(claims[0].Started.Spec.Payload) != payloads[1] ||
		string(claims[1].Started.Spec.Payload) != payloads[0] {
		t.Errorf("then: %+v, %v", claims, err)
	}
	if running, err := q.store.RunningIn(t.Context()); err != nil ||
		running[job.Place{Lane: job.LaneIO, Priority: job.Default}] != 2 {
		t.Errorf("running: %v, %v", running, err)
	}
}

// TestClaimLeaves holds what is taken and not started: it is put aside for those who serve it,
// thrown away if it brings nothing any more, set aside if it can't be read.
func TestClaimLeaves(t *testing.T) {
	t.Parallel()
	q, rdb := testQueue(t)
	ticket := q.submit(t, 1, job.Default)[0]
	other := q.store.NewClaimer([]string{"test.other"})
	claims, _, err := other.Claim(t.Context(), job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, 2)
	if err != nil || len(claims) != 0 {
		t.Fatalf("claim of a type that is not served: %+v, %v", claims, err)
	}
	if aside := q.entries(t, job.Default, "pending:type:test.job"); len(aside) != 1 {
		t.Errorf("aside: %q", aside)
	}
	if snap, err := q.store.Get(t.Context(), ticket.ID); err != nil || snap.State != job.Queued ||
		snap.StartedAt != nil {
		t.Errorf("job is %+v, %v", snap, err)
	}
	more := q.submit(t, 3, job.High)
	if err := q.store.RequestCancel(t.Context(), more[0].ID); err != nil {
		t.Fatal(err)
	}
	rdb.Set(t.Context(), q.prefix+":{0}:j:"+more[1].ID.Raw(), "\x01nonsense", 0)
	mine := q.store.NewClaimer([]string{"test.job"})
	claims, _, err = mine.Claim(t.Context(), job.Place{Lane: job.LaneIO, Priority: job.High}, 0, 5)
	if err != nil || len(claims) != 1 || claims[0].Err != nil || claims[0].Ticket != more[2] {
		t.Errorf("claims: %+v, %v", claims, err)
	}
	if n, err := q.store.Quarantined(t.Context()); err != nil || n != 1 {
		t.Errorf("%d set aside, %v", n, err)
	}
	if n := len(rdb.Keys(t.Context(), "asynq:{"+q.prefix+"-io-high}:t:*").Val()); n != 0 {
		t.Errorf("%d tickets are left", n)
	}
}

// TestTogetherOrNotAtAll holds that creation brings a ticket of its own only
// for a job that is queued at once.
func TestTogetherOrNotAtAll(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	n := jobstore.NewJob{ID: job.NewID(time.Now()), Type: "test.job", Lane: job.LaneIO, Priority: job.Default,
		Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour, RunAt: time.Now().Add(time.Hour),
		ExpiresIn: 2 * time.Hour}
	c, err := q.store.Create(t.Context(), n)
	if err != nil || c.Ticket.Delivery != 0 {
		t.Errorf("scheduled: %+v, %v", c, err)
	}
	n.ID, n.RunAt = job.NewID(time.Now()), time.Time{}
	if c, err = q.store.Create(t.Context(), n); err != nil || c.Ticket.Delivery != 1 {
		t.Errorf("queued, with an expiry: %+v, %v", c, err)
	}
	if snap, err := q.store.Get(t.Context(), n.ID); err != nil || snap.ExpiresAt == nil ||
		snap.Type != "test.job" {
		t.Errorf("job %+v, %v", snap, err)
	}
	infos, err := q.Queues(t.Context())
	if err != nil || infos[1].Pending != 1 || len(infos[1].Oldest) != 1 || infos[1].Oldest[0].ID != n.ID {
		t.Errorf("queues %+v, %v", infos, err)
	}
}
