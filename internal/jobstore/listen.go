package jobstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// Channels of an installation. A process has one subscription for all that it
// wants to hear.
const (
	eventsChannel = "events" // every change of a record
	cancelChannel = "cancel" // a running job or an upload is to stop
)

// EventsChannel is the channel that carries every change.
func (s *Store) EventsChannel() string { return s.prefix + ":" + eventsChannel }

// CancelChannel is the channel that carries the ids of running jobs to be
// stopped, and of uploads that were.
func (s *Store) CancelChannel() string { return s.prefix + ":" + cancelChannel }

// Listen calls event for each change that is published, until ctx ends. It
// calls reset after each connect: what was published before may be missed.
func (s *Store) Listen(ctx context.Context, event func(job.Rev), reset func()) error {
	return s.ListenToo(ctx, event, reset, nil, nil)
}

// ListenToo is Listen that has other channels come over the same connection.
func (s *Store) ListenToo(ctx context.Context, event func(job.Rev), reset func(), others []string,
	other func(channel, text string)) error {
	return Subscribe(ctx, s.rdb, append([]string{s.EventsChannel()}, others...),
		func(channel, message string) {
			if channel != s.EventsChannel() {
				other(channel, message)
				return
			}
			for ; len(message) >= eventSize; message = message[eventSize:] {
				if rev, ok := parseEvent(message[:eventSize]); ok {
					event(rev)
				}
			}
		}, reset)
}

// eventSize is the length of one change in a message: id (16), rev (4), state (a letter).
const eventSize = 21

func parseEvent(event string) (job.Rev, bool) {
	state, ok := states[event[20:]]
	return job.Rev{ID: job.FromRaw(event[:16]), Rev: uint32At(event, 16), Done: state.Terminal()}, ok
}

// Subscribe keeps one subscription until ctx ends, over lost connections too,
// and returns nil then. It calls message for what arrives and reset after each
// connect, from one goroutine.
func Subscribe(ctx context.Context, rdb redis.UniversalClient, channels []string,
	message func(channel, text string), reset func()) error {
	const firstPause, longestPause = 50 * time.Millisecond, time.Second
	pause := firstPause
	for ctx.Err() == nil {
		connected := receive(ctx, rdb, channels, message, reset)
		if connected {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
	return nil
}

// receive serves one connection until it breaks or ctx ends.
func receive(ctx context.Context, rdb redis.UniversalClient, channels []string,
	message func(channel, text string), reset func()) (connected bool) {
	const silence = 10 * time.Second // after this a ping; after another one the connection is dead
	sub := rdb.Subscribe(ctx, channels...)
	defer sub.Close()
	stop := context.AfterFunc(ctx, func() { sub.Close() }) // ends a read under way
	defer stop()
	pinged := false
	for ctx.Err() == nil {
		got, err := sub.ReceiveTimeout(ctx, silence)
		var timeout interface{ Timeout() bool }
		if errors.As(err, &timeout) && timeout.Timeout() && connected && !pinged {
			pinged = true
			if sub.Ping(ctx) == nil {
				continue
			}
		}
		if err != nil {
			return connected
		}
		pinged = false
		switch got := got.(type) {
		case *redis.Subscription:
			if !connected && got.Count == len(channels) {
				connected = true
				reset()
			}
		case *redis.Message:
			message(got.Channel, got.Payload)
		}
	}
	return connected
}
