package queue

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"longshore/internal/jobstore"
	"longshore/job"
)

//go:embed tickets_create.lua
var createSource string

//go:embed tickets_claim.lua
var claimSource string

//go:embed tickets_finish.lua
var finishSource string

//go:embed parked.lua
var parkedSource string

// Lua returns the queue's part of the record's scripts, for a Redis that holds
// records and queues alike.
func (q *Queue) Lua() (jobstore.TicketLua, error) {
	// about tells of a queue: keys, name, and asynq's message around a ticket's
	// name. It is code and not a table, which each call would make anew.
	var b strings.Builder
	b.WriteString("local function about(queue)\n")
	for _, n := range q.names {
		before, after, err := q.template(n)
		if err != nil {
			return jobstore.TicketLua{}, err
		}
		fmt.Fprintf(&b, "if queue == '%s-%s' then return '%s', '%s', '%s', '%s' end\n",
			n.lane, n.priority, n.keys, n.name, luaBytes(before), luaBytes(after))
	}
	const asynqStatsDays = 90
	fmt.Fprintf(&b, "end\nlocal CHANNEL, DAY_TTL = '%s', %d\n", q.RingChannel(), asynqStatsDays*24*60*60)
	about := b.String()
	return jobstore.TicketLua{Create: about + createSource, Claim: about + parkedSource + claimSource, Finish: about + finishSource}, nil
}

// template is asynq's message of a ticket, as asynq itself writes it: what
// stands before and behind the ticket's name.
func (q *Queue) template(n queueName) (before, after string, err error) {
	name := job.Ticket{ID: "00000000-0000-7000-8000-000000000000", Delivery: 1}.Name()
	rec := &recording{}
	ctx := context.WithValue(context.Background(), recordingKey{}, rec)
	if err := q.record(ctx, name, n); err != nil {
		return "", "", err
	}
	if len(rec.calls) == 1 && len(rec.calls[0].args) > 0 {
		if message, ok := rec.calls[0].args[0].([]byte); ok && strings.Count(string(message), name) == 1 {
			before, after, _ = strings.Cut(string(message), name)
			return before, after, nil
		}
	}
	return "", "", fmt.Errorf("asynq writes its messages in a way not known here")
}

// record lets asynq's producer say how it would enqueue a ticket. asynq's own
// limits don't act, for no server of asynq takes tickets; all tickets have one
// short type, since Redis packs a task only while its message is at most 64 bytes.
func (q *Queue) record(ctx context.Context, name string, n queueName) error {
	_, err := q.producer.EnqueueContext(ctx, asynq.NewTask(ticketType, nil), asynq.TaskID(name), asynq.Queue(n.name),
		asynq.MaxRetry(0), asynq.Timeout(time.Second))
	return err
}

const ticketType = "j"

// luaBytes writes any bytes as the inside of a Lua string.
func luaBytes(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "\\%03d", s[i])
	}
	return b.String()
}
