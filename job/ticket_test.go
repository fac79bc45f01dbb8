package job

import (
	"testing"
	"time"
)

func TestTicketName(t *testing.T) {
	t.Parallel()
	ticket := Ticket{ID: NewID(time.Now()), Delivery: 12}
	if id, delivery, err := ParseTicketName(ticket.Name()); err != nil || id != ticket.ID || delivery != 12 {
		t.Errorf("%q read as %q, %d, %v", ticket.Name(), id, delivery, err)
	}
}

func FuzzParseTicketName(f *testing.F) {
	f.Add(Ticket{ID: NewID(time.Now()), Delivery: 1}.Name())
	f.Add("x.1")
	f.Add("01a2094cc1b77426941ba7e8cbc7cb2f.-1")
	f.Fuzz(func(t *testing.T, s string) {
		id, delivery, err := ParseTicketName(s)
		if err != nil {
			return
		}
		if _, err := ParseID(string(id)); err != nil || delivery < 1 {
			t.Errorf("%q read as %q, %d", s, id, delivery)
		}
	})
}
