package operate

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/queue"
	"longshore/job"
)

// TestPauses holds that a pause outlives all that can happen but its end, and that asynq's key follows it.
func TestPauses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paused := func() bool {
		queues, err := b.Queue.Paused(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return queues[1].Paused
	}
	p, err := b.PauseQueue(t.Context(), job.LaneIO, job.Default, answer.PauseRequest{Why: "the disk"}, "root")
	if err != nil || p.Queue != "io-default" || p.By != "root" || !paused() {
		t.Fatalf("%+v, %v, paused %v", p, err, paused())
	}
	keys := jobstore.QueueKeys(jobstore.QueueName(b.Prefix, "io-default", 0, 1))
	b.Redis.Del(t.Context(), keys+"paused") // somebody's hand
	if err := b.Mend(t.Context()); err != nil || !paused() {
		t.Errorf("not mended: %v", err)
	}
	// An end that stopped half-way is gone on with.
	if err := b.putPause(t.Context(), "queue:io-default", storedPause{Ended: true}); err != nil {
		t.Fatal(err)
	}
	if list, err := b.Pauses(t.Context()); err != nil || list.Pauses[0].State != "resuming" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := b.Mend(t.Context()); err != nil || paused() {
		t.Errorf("the end was not gone on with: %v", err)
	}
	// asynq's own is told, and can be ended.
	if err := b.Queue.Pause(t.Context(), job.Place{Lane: job.LaneIO, Priority: job.Default}); err != nil {
		t.Fatal(err)
	}
	if list, err := b.Pauses(t.Context()); err != nil || len(list.Pauses) != 1 ||
		list.Pauses[0].By != "asynq" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := b.ResumeQueue(t.Context(), job.LaneIO, job.Default); err != nil || paused() {
		t.Error(err)
	}
	// One of a type ends by its time.
	if _, err := b.PauseType(t.Context(), "test.job", answer.PauseRequest{For: "1s"}, "root"); err != nil {
		t.Fatal(err)
	}
	if types, err := b.PausedTypes(t.Context()); err != nil || !types["test.job"] {
		t.Errorf("%v, %v", types, err)
	}
	if err := b.putPause(t.Context(), "type:test.job", storedPause{Until: 1}); err != nil {
		t.Fatal(err)
	}
	if err := b.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, err := b.Pauses(t.Context()); err != nil || len(list.Pauses) != 0 {
		t.Errorf("at the end %+v, %v", list, err)
	}
	for _, bad := range []answer.PauseRequest{{For: "-1s"}, {For: "soon"}, {Why: strings.Repeat("x", 501)}} {
		if _, err := b.PauseType(t.Context(), "test.job", bad, ""); refusalCode(err) != httpapi.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := b.PauseQueue(t.Context(), "gpu", "high", answer.PauseRequest{},
		""); refusalCode(err) != httpapi.NotFound {
		t.Error(err)
	}
}

// TestMessages holds that workers hear a message once, that what they answer is told, and what becomes
// of one that
// dies or says nothing.
func TestMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	workers := b.Prefix + ":workers"
	say := func(id string, ago time.Duration) {
		text, _ := json.Marshal(queue.WorkerInfo{ID: id, Host: "h", PID: 1, Slots: map[job.Lane]int{"io": 1}})
		at := float64(time.Now().Add(-ago).UnixMilli())
		b.Redis.ZAdd(t.Context(), workers, redis.Z{Score: at, Member: text})
	}
	for _, id := range []string{"AAAAAA", "BBBBBB", "CCCCCC"} {
		say(id, 0)
	}
	o, err := b.Tell(t.Context(), "all", "drain", answer.WorkerMessage{Why: "deploy"}, "root")
	if err != nil || len(o.Workers) != 3 || o.Done {
		t.Fatalf("%+v, %v", o, err)
	}
	for range 2 { // what is answered twice counts once
		messages, err := b.Beat(t.Context(), "AAAAAA", Beat{Busy: 1, Runs: []BeatRun{{Type: "test.job"}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if m.Action != "drain" {
				t.Errorf("%+v", m)
			}
			if err := b.Obeyed(t.Context(), "AAAAAA", m, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	messages, err := b.Told(t.Context(), "BBBBBB")
	if err != nil || len(messages) != 1 || b.Obeyed(t.Context(), "BBBBBB", messages[0], "no") != nil {
		t.Fatal(messages, err)
	}
	b.Redis.Del(t.Context(), workers) // the third dies
	say("AAAAAA", 0)
	say("BBBBBB", 0)
	o, err = b.Operation(t.Context(), o.ID)
	if err != nil || !o.Done || o.State != failed || o.Moved != 1 {
		t.Fatalf("%+v, %v", o, err)
	}
	want := []answer.WorkerOutcome{{ID: "AAAAAA", Outcome: "ok"},
		{ID: "BBBBBB", Outcome: "refused", Detail: "no"}, {ID: "CCCCCC", Outcome: "gone"}}
	if !slices.Equal(o.Workers, want) {
		t.Errorf("%+v", o.Workers)
	}
	for _, bad := range [][2]string{{"all", "explode"}, {"nobody", "drain"}, {"DDDDDD", "drain"}} {
		if _, err := b.Tell(t.Context(), bad[0], bad[1], answer.WorkerMessage{},
			""); refusalCode(err) != httpapi.NotFound {
			t.Errorf("%v: %v", bad, err)
		}
	}
	// A worker that is silent is bad, then lost, with what it ran.
	var lost []string
	b.Queue.OnLost(func(ctx context.Context, w queue.WorkerInfo) {
		lost = append(lost, w.ID)
		b.NoteGone(ctx, w, "lost")
	})
	say("AAAAAA", 12*time.Second)
	if list, err := b.Workers(t.Context(), true); err != nil || len(list.Workers) != 1 ||
		list.Workers[0].ID != "AAAAAA" {
		t.Errorf("bad ones: %+v, %v", list, err)
	}
	say("AAAAAA", 16*time.Second)
	if _, err := b.Queue.Workers(t.Context()); err != nil || !slices.Equal(lost, []string{"AAAAAA"}) {
		t.Errorf("lost %v, %v", lost, err)
	}
	gone, err := b.GoneWorkers(t.Context(), time.Now().Add(-time.Hour))
	if err != nil || len(gone.Workers) != 1 || gone.Workers[0].Why != "lost" ||
		len(gone.Workers[0].Ran) != 1 {
		t.Errorf("gone %+v, %v", gone, err)
	}
}

// TestWhyWaiting holds that each reason for which a job doesn't start is told with what is known of it.
func TestWhyWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.newJob("test.job")
	later := b.newJob("test.job")
	later.RunAt = time.Now().Add(time.Hour)
	if _, errs := b.Store.CreateMany(t.Context(), []jobstore.NewJob{n, later}); errs[0] != nil ||
		errs[1] != nil {
		t.Fatal(errs)
	}
	why := func(id job.ID) answer.Waiting {
		t.Helper()
		told, err := b.Timeline(t.Context(), access.Everything, id)
		if err != nil || told.Waiting == nil {
			t.Fatalf("%+v, %v", told, err)
		}
		return *told.Waiting
	}
	if w := why(later.ID); w.For != job.WaitingTime || w.Until == nil {
		t.Errorf("before its time: %+v", w)
	}
	if w := why(n.ID); w.For != job.WaitingWorker || w.Workers != 0 || w.Queued != 1 {
		t.Errorf("without a worker: %+v", w)
	}
	_, err := b.PauseType(t.Context(), "test.job", answer.PauseRequest{Why: "x", For: "1h"}, "root")
	if err != nil {
		t.Fatal(err)
	}
	if w := why(n.ID); w.For != job.WaitingPaused || w.Pause == nil || w.Pause.By != "root" || w.Until == nil {
		t.Errorf("paused: %+v", w)
	}
	if err := b.ResumeType(t.Context(), "test.job"); err != nil {
		t.Fatal(err)
	}
	if err := b.Queue.Pause(t.Context(), job.Place{Lane: job.LaneIO, Priority: job.Default}); err != nil {
		t.Fatal(err)
	}
	if w := why(n.ID); w.For != job.WaitingPaused || w.Pause == nil || w.Pause.By != "asynq" {
		t.Errorf("paused by asynq: %+v", w)
	}
}
