package webhook

import (
	"context"
	"net"
	"net/netip"
	"time"

	"longshore/internal/jobstore"
	"longshore/job"
)

// once makes one attempt, as a deliverer does.
func (s *Sender) once(ctx context.Context, id, to string, body []byte) Result {
	at, r := s.Find(ctx, to)
	if r.Code != "" {
		return r
	}
	return s.Post(ctx, id, to, at, body)
}

// A names is a resolver that knows what it was told.
type names map[string][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if list, ok := n[host]; ok {
		return append([]netip.Addr(nil), list...), nil
	}
	return nil, notFound(host)
}

func notFound(host string) error {
	return &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// A moody store does what it is told, and the next so many calls of a kind end in
// an error all the same.
type moody struct {
	*fakeStore
	claims, gets, holds, settles int
}

func (m *moody) out(n *int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if *n--; *n >= 0 {
		return errDown
	}
	return nil
}

func (m *moody) ClaimCallbacks(ctx context.Context, limit int,
	lease time.Duration) ([]jobstore.CallbackClaim, error) {
	claims, err := m.fakeStore.ClaimCallbacks(ctx, limit, lease)
	if err := m.out(&m.claims); err != nil {
		return nil, err
	}
	return claims, err
}

func (m *moody) Get(ctx context.Context, id job.ID) (job.Snapshot, error) {
	if err := m.out(&m.gets); err != nil {
		return job.Snapshot{}, err
	}
	return m.fakeStore.Get(ctx, id)
}

func (m *moody) HoldCallbacks(ctx context.Context, claims []jobstore.CallbackClaim,
	lease time.Duration) error {
	if err := m.out(&m.holds); err != nil {
		return err
	}
	return m.fakeStore.HoldCallbacks(ctx, claims, lease)
}

func (m *moody) SettleCallbacks(ctx context.Context, list []jobstore.CallbackSettlement) error {
	if err := m.out(&m.settles); err != nil {
		return err
	}
	return m.fakeStore.SettleCallbacks(ctx, list)
}
