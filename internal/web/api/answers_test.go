package api

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"longshore/internal/httpapi"
)

// kept is what a batch whose client reads nothing comes to: it reads lines and
// answers them until it has to wait, and is told at the end that the server stops.
func kept(o *answerBuffer) (bytes int) {
	detail := strings.Repeat("x", lineMemory-64) // an answer of about lineMemory
	for {
		n, err := o.reserve(batchGroup)
		if err != nil {
			o.mu.Lock()
			defer o.mu.Unlock()
			return cap(o.text)
		}
		answers := make([]httpapi.BatchAnswer, n)
		for i := range answers {
			answers[i] = httpapi.BatchAnswer{Line: int64(i), Code: httpapi.Invalid, Detail: detail}
		}
		_ = o.add(answers) // reserve tells the same
	}
}

// However many batches have clients that read nothing, what is kept for them is bounded.
func TestUnreadBatchesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := newAnswerMemory()
		const batches = 500
		boxes, sizes := make([]*answerBuffer, batches), make(chan int, batches)
		for i := range boxes {
			boxes[i] = newAnswerBuffer(shared)
			go func() { sizes <- kept(boxes[i]) }()
		}
		synctest.Wait() // all of them wait for room
		if len(sizes) > 0 {
			t.Error("a batch went on without end")
		}
		for _, o := range boxes {
			o.stop()
		}
		total, largest := 0, 0
		for range boxes {
			n := <-sizes
			total, largest = total+n, max(largest, n)
		}
		if total > 32<<20 || largest > 2*mostMemory {
			t.Errorf("%d batches keep %d KiB, the largest %d KiB", batches, total>>10, largest>>10)
		}
		synctest.Wait()
		for _, o := range boxes {
			o.sent(errors.New("the client is gone"))
		}
		if shared.free != sharedMemory || len(shared.waiting) > 0 {
			t.Errorf("after their end %d of %d bytes are free, %d wait", shared.free, sharedMemory,
				len(shared.waiting))
		}
	})
}

// One that waits for room is woken when another one gives it back, and lends and
// returns come out even.
func TestBatchRoomIsPassedOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := newAnswerMemory()
		var hogs []*answerBuffer
		for range sharedMemory/mostMemory + 1 {
			o := newAnswerBuffer(shared)
			hogs = append(hogs, o)
			go kept(o)
		}
		synctest.Wait()
		late := newAnswerBuffer(shared)
		before := make(chan int, 1)
		go func() { before <- kept(late) }()
		synctest.Wait()
		late.mu.Lock()
		had := late.loan
		late.mu.Unlock()
		if had > 0 {
			t.Fatalf("there were %d bytes left to lend", had)
		}
		hogs[0].sent(errors.New("the client is gone"))
		synctest.Wait()
		late.mu.Lock()
		has := late.loan
		late.mu.Unlock()
		if has == 0 {
			t.Error("room that came back was not passed on")
		}
		for _, o := range append(hogs, late) {
			o.stop()
			o.wake()
		}
		<-before
		synctest.Wait() // the hogs too: they lend while they end, and nobody else may look at what is free
		for _, o := range append(hogs, late) {
			o.close()
			for len(o.take(nil)) > 0 {
				o.sent(nil)
			}
		}
		if shared.free != sharedMemory {
			t.Errorf("%d of %d bytes are free at the end", shared.free, sharedMemory)
		}
	})
}
