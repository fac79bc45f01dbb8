package cli

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/strictjson"
	"longshore/job"
)

// Lines that name no job get ids from here: a record holds an id anyway, and 266 bytes less than with an
// idempotency key. A server takes ids of the last hour only, hence the two bounds.
const (
	// clocksDiffer is from where lines get keys after all.
	clocksDiffer = 10 * time.Minute
	// idTooOld is the age from which a line in doubt is looked up and gets a new id.
	idTooOld = 45 * time.Minute
	// lookedUp is how many ids one call looks up.
	lookedUp = 100
)

// compareClocks decides between ids and keys for what this run is the first to send.
func (b *batch) compareClocks(ctx context.Context, to Installation) {
	if b.book.keyed {
		return
	}
	theirs, err := to.Clock(ctx)
	b.book.keyed = err != nil || time.Since(theirs).Abs() > clocksDiffer
}

// name gives lines their times, before they are sent: those that an earlier run may have sent the
// same ones again, unless they are too old; such lines are looked up.
func (f *feed) name(ctx context.Context, to Installation, items []item) error {
	now, old := time.Now(), []*item{}
	for i := range items {
		l := &items[i]
		var sent bool
		l.at, sent = f.book.timeOf(l.Number)
		l.fresh = !sent
		if sent && l.at > 0 && now.Sub(time.UnixMilli(l.at)) > idTooOld {
			old = append(old, l)
		}
	}
	if err := f.lookUp(ctx, to, old); err != nil {
		return err
	}
	at := now.UnixMilli()
	if f.book.keyed {
		at = 0
	}
	for i := 0; i < len(items); i++ {
		if !items[i].fresh {
			continue
		}
		first := i
		for ; i < len(items) && items[i].fresh; i++ {
			items[i].at = at
		}
		if err := f.book.draw(dated{items[first].Number, items[i-1].Number, at}); err != nil {
			return err
		}
	}
	return nil
}

// lookUp tells which of some lines have become jobs. The others never will under these ids, since a
// server takes them no more, and get new ones.
func (f *feed) lookUp(ctx context.Context, to Installation, lines []*item) error {
	for len(lines) > 0 {
		n := min(len(lines), lookedUp)
		ids, at := make([]job.ID, n), make(map[job.ID]*item, n)
		for i, l := range lines[:n] {
			ids[i] = f.book.id(l.Number, l.at)
			l.found, at[ids[i]] = true, l
		}
		_, missing, err := to.PollDone(ctx, ids, 0)
		if err != nil {
			return fmt.Errorf("what was sent over %v ago can't be looked up: %w", idTooOld, err)
		}
		for _, id := range missing {
			if l := at[id]; l != nil {
				l.found, l.fresh = false, true
			}
		}
		lines = lines[n:]
	}
	return nil
}

// named is the line with its id or its idempotency key, unless it names its job itself.
// A line that is no object goes as it is: the server says what is wrong with it.
func (b *batch) named(l item) []byte {
	if !nameless(l.Text) {
		return l.Text
	}
	at := bytes.IndexByte(l.Text, '{') + 1
	text := make([]byte, 0, len(l.Text)+maxKeyed)
	text = append(text, l.Text[:at]...)
	if l.at > 0 {
		text = append(append(text, `"id":"`...), b.book.id(l.Number, l.at)...)
	} else {
		text = append(append(text, `"idempotency_key":"`...), b.book.key(l.Number)...)
	}
	text = append(text, `",`...)
	return append(text, l.Text[at:]...)
}

// nameless reports whether a line is an object that names no job.
func nameless(text []byte) bool {
	named, members := false, 0
	err := strictjson.Fields(text, func(name, _ []byte) error {
		members++
		named = named || string(name) == "id" || string(name) == "idempotency_key"
		return nil
	})
	return err == nil && !named && members > 0
}

// usedBefore makes an answer of the refusal of an id that only this batch can have used: its job has
// run and is gone by its retention already.
func (b *batch) usedBefore(l item, a httpapi.BatchAnswer) httpapi.BatchAnswer {
	if a.Code != httpapi.Conflict || l.at == 0 || !nameless(l.Text) {
		return a
	}
	return httpapi.BatchAnswer{Line: a.Line, ID: b.book.id(l.Number, l.at)}
}
