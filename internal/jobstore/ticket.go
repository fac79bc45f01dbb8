package jobstore

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"longshore/job"
)

// A ticket is an entry of asynq's pending list, the id's 16 bytes, with the delivery (2)
// behind if that is above 1, and a hash under the same name with asynq's message, in its
// smallest legible form: type "j", the id in hex. asynq's tools list, count and pause such
// tickets, and can't delete one. The scripts write them and nobody else; internal/queue, which knows
// asynq, compares with what asynq itself would write.

// QueueName is the name that asynq knows a queue by, in a partition of so many: on a
// Cluster it holds the partition's tag, so that a ticket lies in the slot of its record.
func QueueName(prefix, queue string, part, parts int) string {
	if parts == 1 {
		return prefix + "-" + queue
	}
	return strconv.Itoa(part) + "}" + prefix + "-" + queue
}

// QueueKeys is what the keys of a queue begin with.
func QueueKeys(name string) string { return "asynq:{" + name + "}:" }

// ticketMessage is asynq's message of a ticket (protobuf; asynq/internal/proto, TaskMessage:
// 1 type, 3 id), for an id in hex; "" = all that stands before it.
func ticketMessage(id string) string { return "\x0a\x01j\x1a\x20" + id }

// TicketMessage is the message of a job's ticket.
func TicketMessage(id job.ID) string { return ticketMessage(hex.EncodeToString([]byte(id.Raw()))) }

// Entry names a ticket in its list and in its key.
func Entry(id job.ID, delivery int64) string {
	if delivery <= 1 {
		return id.Raw()
	}
	return id.Raw() + string([]byte{byte(delivery >> 8), byte(delivery)})
}

// ParseEntry reads what Entry writes; ok is false for a stranger's.
func ParseEntry(entry string) (id job.ID, delivery int64, ok bool) {
	switch len(entry) {
	case 16:
		return job.FromRaw(entry), 1, true
	case 18:
		return job.FromRaw(entry[:16]), int64(entry[16])<<8 | int64(entry[17]), true
	}
	return "", 0, false
}

// ring writes Lua that wakes the workers of a queue.
func (w words) ring(queue, behind string) string {
	name := w.nameLua(queue)
	said := name
	if behind != "" {
		said += " .. " + behind
	}
	publish := fmt.Sprintf("call('PUBLISH', '%s:ring', %s)", w.prefix, said)
	// A named queue's list has no ticket unless it is among those of the partition, so nobody overlooks it.
	known := fmt.Sprintf("if string.find(%s, ':', 1, true) then "+
		"redis.pcall('ZADD', P .. 'queues', string.format('%%.0f', t), %s) end ", queue, queue)
	if w.parts > 1 {
		return known + publish // the set of all queues lies in another slot
	}
	return fmt.Sprintf("%scall('SADD', 'asynq:queues', %s) %s", known, name, publish)
}

// nameLua writes Lua that is QueueName.
func (w words) nameLua(queue string) string {
	if w.parts == 1 {
		return "'" + w.prefix + "-' .. " + queue
	}
	return "string.match(P, '{(%d+)}') .. '}" + w.prefix + "-' .. " + queue
}

func (w words) keysLua(queue string) string { return "('asynq:{' .. " + w.nameLua(queue) + " .. '}:')" }

// luaBytes writes any bytes as the inside of a Lua string.
func luaBytes(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "\\%03d", s[i])
	}
	return b.String()
}
