package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/loop"
	"longshore/internal/web/edge"
	"longshore/job"
)

const (
	// socketProtocol is the subprotocol of /v1/socket, in RFC 6455's sense.
	socketProtocol = "longshore.v1"

	// maxWatched is the most jobs that one socket may watch.
	maxWatched = 1000
	// jobsPerSlot is how many of them count as one that waits.
	jobsPerSlot = 16
	// maxMessage is the size limit of a client's message, in bytes.
	maxMessage = 64 << 10

	// A client may send messageBurst bytes at once, which is twice what subscribes to all jobs
	// that a socket may watch, and messageRate bytes a second from then on: we read no faster.
	// Each message costs messageCost beside its bytes.
	messageBurst = 128 << 10
	messageRate  = 16 << 10
	messageCost  = 64
)

// A socket is one WebSocket. Its own goroutine keeps its state and writes;
// another one reads.
type socket struct {
	handler *Handler
	conn    *websocket.Conn
	watch   *hub.Watcher // its After is what the client has been told of each job
	client  netip.Addr
	who     *access.Principal
	by      access.View // which jobs it sees
	slots   int         // that it takes among the waiters

	credential *lasting
}

// socket upgrades the connection and serves it until one side ends it.
func (h *Handler) socket(a *edge.Answer, r *http.Request) error {
	admitted := h.waiters.admit(a)
	sock := &socket{handler: h, client: a.Client, who: a.Who, by: a.View()}
	if admitted {
		sock.slots = 1
	}
	defer sock.releaseAll()
	edge.BoundSendBuffer(r.Context())
	conn, err := websocket.Accept(a, r, &websocket.AcceptOptions{
		Subprotocols: []string{socketProtocol}, InsecureSkipVerify: true, // the edge has checked the origin
		CompressionMode: websocket.CompressionDisabled, // it costs memory that most sockets never use
	})
	if err != nil {
		return nil //nolint:nilerr // Accept has answered
	}
	if !admitted {
		conn.Close(websocket.StatusTryAgainLater, "too many wait at this server, come back in some seconds")
		return nil
	}
	conn.SetReadLimit(maxMessage)
	sock.conn, sock.watch = conn, h.hub.Watch()
	defer sock.watch.Close()
	sock.serve(context.WithoutCancel(r.Context())) // net/http no longer looks after the connection
	return nil
}

// reserve takes as many slots as watching some jobs needs. It reports false, and takes
// no more, if there are none.
func (k *socket) reserve(jobs int) bool {
	for need := 1 + (jobs-1)/jobsPerSlot; k.slots < need; k.slots++ {
		if !k.handler.waiters.enter(k.client) {
			return false
		}
	}
	return true
}

// release gives back the slots that it doesn't need.
func (k *socket) release() {
	for need := 1 + max(0, k.watch.Len()-1)/jobsPerSlot; k.slots > need; k.slots-- {
		k.handler.waiters.leave(k.client)
	}
}

func (k *socket) releaseAll() {
	for ; k.slots > 0; k.slots-- {
		k.handler.waiters.leave(k.client)
	}
}

// errSilent ends a socket whose client does not answer a ping.
var errSilent = errors.New("no pong")

func (k *socket) serve(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer k.conn.CloseNow() // the client is gone already, or told why
	defer cancel(nil)
	messages := make(chan message)
	wg.Go(func() { k.read(ctx, cancel, messages) })
	heartbeat := time.NewTicker(k.handler.Heartbeat)
	defer heartbeat.Stop()
	k.credential = last(k.who)
	defer func() { k.credential.end() }()
	var pinging atomic.Bool
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-k.handler.stopping.Done():
			k.conn.Close(websocket.StatusGoingAway, "the server is stopping, come back")
			return
		case <-k.credential.ended:
			k.conn.Close(statusUnauthorized, "the credential counts no more")
			return
		case <-k.credential.soon():
			err = k.write(ctx, expiringMessage{"expiring", k.who.Expires})
		case <-heartbeat.C:
			if !pinging.Swap(true) {
				wg.Go(func() {
					defer pinging.Store(false)
					k.ping(ctx, cancel)
				})
			}
		case m := <-messages:
			if m.kind != websocket.MessageText {
				k.conn.Close(websocket.StatusUnsupportedData, "expected text messages")
				return
			}
			err = k.handle(ctx, m.text)
		case <-k.watch.Moved():
			err = k.send(ctx, k.watch.Take(lookBatch))
		}
		if err != nil {
			return // the client takes nothing: it is cut off
		}
	}
}

type message struct {
	kind websocket.MessageType
	text []byte
}

func (k *socket) read(ctx context.Context, cancel context.CancelCauseFunc, messages chan<- message) {
	var paid time.Time // when what was read is within the rate
	for {
		kind, text, err := k.conn.Read(ctx)
		if err != nil {
			cancel(err) // gone, or over the limit
			return
		}
		select {
		case messages <- message{kind, text}:
		case <-ctx.Done():
			return
		}
		if now := time.Now(); paid.Before(now) {
			paid = now
		}
		paid = paid.Add(time.Duration(len(text)+messageCost) * time.Second / messageRate)
		if ahead := time.Until(paid) - messageBurst/messageRate*time.Second; ahead > 0 &&
			loop.Sleep(ctx, ahead) != nil {
			return
		}
	}
}

func (k *socket) ping(ctx context.Context, cancel context.CancelCauseFunc) {
	limited, stop := context.WithTimeout(ctx, k.handler.Idle)
	defer stop()
	if err := k.conn.Ping(limited); err != nil {
		cancel(errSilent)
	}
}

// write sends one message. A client that takes nothing for Config.Idle is cut
// off; edge.BoundSendBuffer says how much is under way then.
func (k *socket) write(ctx context.Context, m any) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, k.handler.Idle)
	defer cancel()
	return k.conn.Write(limited, websocket.MessageText, text)
}

// handle does what a message asks for. What is wrong in it is answered, and
// nothing of it done.
func (k *socket) handle(ctx context.Context, text []byte) error {
	m, err := parseSocketMessage(text)
	if err != nil {
		return k.write(ctx, errorMessage{Type: "error", Code: err.Code, Detail: err.Detail,
			Errors: err.Errors})
	}
	if m.verb == renew {
		return k.renew(ctx, m.token)
	}
	for _, j := range m.jobs {
		switch {
		case m.verb == subscribe && !k.who.Sees(string(j.ID)):
			if err := k.write(ctx, notThere(j.ID)); err != nil {
				return err
			}
		case m.verb == unsubscribe:
			k.forget(j.ID)
		case !k.watch.Has(j.ID) && k.watch.Len() == maxWatched:
			full := errorMessage{Type: "error", ID: j.ID, Code: httpapi.TooLarge,
				Detail: fmt.Sprintf("a socket watches %d jobs at most", maxWatched)}
			if err := k.write(ctx, full); err != nil {
				return err
			}
		case !k.watch.Has(j.ID) && !k.reserve(k.watch.Len()+1):
			full := errorMessage{Type: "error", ID: j.ID, Code: httpapi.RateLimited,
				Detail: "too many wait at this server, come back in some seconds"}
			if err := k.write(ctx, full); err != nil {
				return err
			}
		default:
			k.watch.Add(j.ID, j.Rev)
		}
	}
	return nil
}

// statusUnauthorized is the close code of a socket whose credential ended: one of those
// for applications (RFC 6455, section 7.4.2), after 401.
const statusUnauthorized = 4401

func notThere(id job.ID) errorMessage {
	return errorMessage{Type: "error", ID: id, Code: httpapi.NotFound, Detail: httpapi.NoSuchJob().Detail}
}

// renew goes on by another token of the same maker. Jobs that it doesn't show are gone.
func (k *socket) renew(ctx context.Context, token string) error {
	who, err := k.handler.Identify(ctx, token)
	if err == nil && !sameMaker(k.who, who) {
		err = access.ErrUnknown
	}
	if err != nil {
		code := httpapi.Unauthorized
		switch {
		case errors.Is(err, access.ErrUnread):
			code = httpapi.Unavailable
		case errors.Is(err, access.ErrExpired):
			code = httpapi.TokenExpired
		}
		return k.write(ctx, errorMessage{Type: "error", Code: code,
			Detail: "the token is not taken; the one before counts on"})
	}
	k.credential.end()
	k.who, k.by, k.credential = who, who.View(), last(who)
	for _, id := range k.watch.IDs() { // what its view leaves out, the next look finds missing
		if !who.Sees(string(id)) {
			k.forget(id)
			if err := k.write(ctx, notThere(id)); err != nil {
				return err
			}
		}
	}
	return k.write(ctx, renewedMessage{"token", who.Expires})
}

// sameMaker reports whether a token may go on for another one: somebody made both for
// pages of one tenant.
func sameMaker(now, next *access.Principal) bool {
	return now.Grant != nil && next.Grant != nil && now.Grant.Maker == next.Grant.Maker &&
		now.Tenant == next.Tenant && now.Subject == next.Subject && next.Scopes.Has(access.JobsRead)
}

func (k *socket) forget(id job.ID) {
	k.watch.Remove(id)
	k.release()
}

// send sends what is news about some jobs.
func (k *socket) send(ctx context.Context, ids []job.ID) error {
	readings, err := k.handler.records.GetMany(ctx, k.by, ids)
	if err != nil {
		return nil //nolint:nilerr // the hub's next look of all marks them again
	}
	for _, r := range readings {
		if err := k.sendOne(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (k *socket) sendOne(ctx context.Context, r job.Reading) error {
	if r.Err != nil {
		k.forget(r.ID)
		m := notThere(r.ID)
		switch m.Code = codeOfReading(r.Err); m.Code {
		case httpapi.NotFound:
		case httpapi.StoreReset:
			m.Detail = httpapi.StoreWasReset().Detail
		default:
			m.Detail = "the job's record can't be read"
		}
		return k.write(ctx, m)
	}
	if r.Rev != k.watch.After(r.ID) {
		k.watch.Seen(r.ID, r.Rev)
		if err := k.write(ctx, stateMessage{Type: "state", Job: k.handler.show(r.Snapshot)}); err != nil {
			return err
		}
	}
	if !r.Done {
		return nil
	}
	k.forget(r.ID)
	return k.write(ctx, endMessage{Type: "end", ID: r.ID, Rev: r.Rev})
}
