package jobstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// A head is what all jobs of one policy share: "queue max_attempts timeout retention
// failed_retention tenant type". Records have its number, 8 bytes that are made of its
// text: after a flush or a restore it means no other, whatever is cached.
type head struct {
	queue, kind        string
	maxAttempts        int
	timeout, retention time.Duration
	failed             time.Duration // retention of a job that failed: the same, today
	tenant, family     string
}

// familyOf is the number of a tenant's type: its jobs are listed and counted together.
func familyOf(tenant, kind string) string {
	sum := sha256.Sum256([]byte(tenant + "\x00" + kind))
	return string(sum[:8])
}

// headText writes the head of a new job.
func headText(n *NewJob) string {
	h := head{queue: n.Place().Name(), maxAttempts: n.MaxAttempts, timeout: n.Timeout,
		retention: n.Retention, failed: n.Retention, tenant: n.Owner.Of(), kind: n.Type}
	return h.text()
}

func (h *head) text() string {
	return h.queue + " " + strconv.Itoa(h.maxAttempts) + " " + ms(h.timeout) + " " + ms(h.retention) + " " +
		ms(h.failed) + " " + h.tenant + " " + h.kind
}

func parseHead(text string) (h head, err error) {
	w := strings.Split(text, " ")
	if len(w) != 7 {
		return h, errors.New("head")
	}
	n := numbers{}
	h = head{queue: w[0], maxAttempts: int(n.parse(w[1])),
		timeout:   time.Duration(n.parse(w[2])) * time.Millisecond,
		retention: time.Duration(n.parse(w[3])) * time.Millisecond, kind: w[6], tenant: w[5],
		family: familyOf(w[5], w[6])}
	h.failed = time.Duration(n.parse(w[4])) * time.Millisecond
	return h, n.err("head")
}

// heads caches those of an installation. What is made of its text never changes.
type heads struct {
	mu      sync.RWMutex
	byCode  map[string]head   // number → head
	written map[string]string // text → number, family, text: what create sends
}

// maxCached is how many heads a process keeps: more than most installations have.
const maxCached = 4096

// said is a job's head as create sends it.
func (h *heads) said(n *NewJob) string {
	text := headText(n)
	h.mu.RLock()
	said := h.written[text]
	h.mu.RUnlock()
	if said != "" {
		return said
	}
	said = saidOf(text, familyOf(n.Owner.Of(), n.Type))
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.written) >= maxCached || h.written == nil {
		h.written = map[string]string{}
	}
	h.written[text] = said
	return said
}

// saidOf is the text of a head behind its number and its family.
func saidOf(text, family string) string {
	sum := sha256.Sum256([]byte(text))
	return string(sum[:8]) + family + text
}

func (h *heads) get(code string) (head, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	found, ok := h.byCode[code]
	return found, ok
}

func (h *heads) put(code string, found head) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.byCode) >= maxCached || h.byCode == nil {
		h.byCode = map[string]head{}
	}
	h.byCode[code] = found
}

// headOf is the head of a record that lies in a partition. Errors: Redis's, or that the table hasn't it.
func (s *Store) headOf(ctx context.Context, part int, r *record) (head, error) {
	if r.has(flagN) {
		return parseHead(r.text)
	}
	if h, ok := s.heads.get(r.head); ok {
		return h, nil
	}
	said, err := s.rdb.HGet(ctx, s.bases[part]+"heads", r.head).Result()
	switch {
	case errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "WRONGTYPE"):
		return head{}, errRecord("head is not in the table")
	case err != nil:
		return head{}, err
	case len(said) < 9:
		return head{}, errRecord("head is cut short")
	}
	h, err := parseHead(said[8:])
	if err != nil {
		return h, errRecord(err.Error())
	}
	s.heads.put(r.head, h)
	return h, nil
}

// numbers parses and remembers whether any was none.
type numbers struct{ bad bool }

func (n *numbers) parse(s string) int64 {
	v, err := strconv.ParseInt(s, 10, 64)
	n.bad = n.bad || err != nil
	return v
}

func (n *numbers) err(where string) error {
	if n.bad {
		return errors.New(where)
	}
	return nil
}

// readableHead is headOf where a record that can't be read is passed over: ok is false. Errors: Redis's.
func (s *Store) readableHead(ctx context.Context, id job.ID, r *record) (h head, ok bool, err error) {
	h, err = s.headOf(ctx, s.part(id), r)
	if bad := errRecord(""); errors.As(err, &bad) {
		return head{}, false, nil
	}
	return h, err == nil, err
}
