package job

import (
	"errors"
	"strconv"
)

// A Ticket brings a queued job to a worker. It counts only while the job is
// queued and its delivery is the record's; any other ticket is void.
type Ticket struct {
	ID       ID
	Delivery int64
	Type     string
	Lane     Lane
	Priority Priority
	Queue    string // "" = the default one
}

// Place is where the ticket waits, of one that workers take.
func (t Ticket) Place() Place { return Place{Lane: t.Lane, Priority: t.Priority, Queue: t.Queue} }

// Name is the ticket's name in the queue: the id without dashes, a dot, the delivery.
func (t Ticket) Name() string {
	if len(t.ID) != 36 {
		return ""
	}
	name := make([]byte, 0, 40)
	name = append(name, t.ID[:8]...)
	name = append(name, t.ID[9:13]...)
	name = append(name, t.ID[14:18]...)
	name = append(name, t.ID[19:23]...)
	name = append(name, t.ID[24:]...)
	name = append(name, '.')
	return string(strconv.AppendInt(name, t.Delivery, 10))
}

var errBadName = errors.New("not the name of a ticket")

// ParseTicketName reads what Name writes.
func ParseTicketName(name string) (id ID, delivery int64, err error) {
	if len(name) < 34 || name[32] != '.' {
		return "", 0, errBadName
	}
	if id, err = ParseID(name[:8] + "-" + name[8:12] + "-" + name[12:16] + "-" + name[16:20] + "-" +
		name[20:32]); err != nil {
		return "", 0, err
	}
	if delivery, err = strconv.ParseInt(name[33:], 10, 64); err != nil || delivery < 1 {
		return "", 0, errBadName
	}
	return id, delivery, nil
}
