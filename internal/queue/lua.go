package queue

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"longshore/job"
)

//go:embed tickets.lua
var ticketsSource string

// Lua returns the queue's part of the record's scripts (jobstore.Config.Tickets),
// for a Redis that holds records and queues alike.
func (q *Queue) Lua() (string, error) {
	var b strings.Builder
	b.WriteString("local QUEUES = {\n")
	for _, n := range q.names {
		before, after, err := q.template(n)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "['%s-%s']={name='%s',keys='%s',before='%s',after='%s'},\n",
			n.lane, n.priority, n.name, n.keys, luaBytes(before), luaBytes(after))
	}
	const asynqStatsDays = 90
	fmt.Fprintf(&b, "}\nlocal CHANNEL, DAY_TTL = '%s', %d\n", q.RingChannel(), asynqStatsDays*24*60*60)
	return b.String() + ticketsSource, nil
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
