package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/answer"
	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/memory"
	"longshore/job"
)

const (
	maxProfiles = 5
	// ProfileMark begins the folders of profiles among those of jobs.
	ProfileMark = "profile-"
	// seldomAlarm is how often the processes of one kind keep a profile by themselves.
	seldomAlarm = time.Hour
)

// The parts of a profile.
const (
	HeapPart       = "heap"
	GoroutinesPart = "goroutines"
)

func (d *Desk) profilesKey() string { return d.Prefix + ":profiles" }

// keepScript notes a profile, ARGV[1], and answers with those that are beyond the ARGV[2] newest.
var keepScript = redis.NewScript("#!lua flags=allow-oom\n" + `
redis.call('LPUSH', KEYS[1], ARGV[1])
local old = redis.call('LRANGE', KEYS[1], ARGV[2], -1)
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
return old`)

// KeepProfile keeps what a process held when memory went short there: two blobs, of the newest five profiles.
// Killed between its steps it leaves blobs that nobody names, which the janitor finds.
func (d *Desk) KeepProfile(ctx context.Context, about answer.Profile, p memory.Profile) error {
	now, err := d.clock(ctx)
	if err != nil {
		return err
	}
	about.ID, about.At = job.NewID(now), now.UTC().Truncate(time.Millisecond)
	about.HeapBytes, about.GoroutinesBytes = len(p.Heap), len(p.Goroutines)
	for part, content := range map[string][]byte{HeapPart: p.Heap, GoroutinesPart: p.Goroutines} {
		if err := d.put(ctx, ProfileMark+string(about.ID)+"/"+part, content); err != nil {
			return fmt.Errorf("keep a profile: %w", err)
		}
	}
	text, err := json.Marshal(about)
	if err != nil {
		return err
	}
	old, err := keepScript.Run(ctx, d.Redis, []string{d.profilesKey()}, text, maxProfiles).StringSlice()
	if err != nil {
		return fmt.Errorf("note a profile: %w", err)
	}
	for _, o := range parseProfiles(old) {
		if err := d.Blobs.Delete(ctx, ProfileMark+string(o.ID)); err != nil {
			return fmt.Errorf("delete an old profile: %w", err)
		}
	}
	return nil
}

func (d *Desk) put(ctx context.Context, name string, content []byte) error {
	w, err := d.Blobs.Create(ctx, name)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return errors.Join(err, w.Abort())
	}
	_, err = w.Commit()
	return err
}

// Alarmed tells of an alarm: a line, and a profile, one an hour of all processes of a kind.
func (d *Desk) Alarmed(ctx context.Context, about answer.Profile, a memory.Alarm, p memory.Profile) {
	about.Why = a.String()
	log := d.Log.With("rule", a.Rule, "memory", a.Kind, "bytes", a.Bytes, "grown", a.Growth, "over", a.Over)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	first, err := d.Redis.SetNX(ctx, d.Prefix+":profiled:"+about.Program, about.Host, seldomAlarm).Result()
	if err == nil && first {
		if err = d.KeepProfile(ctx, about, p); err == nil {
			log.ErrorContext(ctx, "memory alarm", "why", about.Why, "profile", "kept: enqueue profiles")
			return
		}
		// Whoever has an alarm next may try: the log says why there is none of this one.
		err = errors.Join(err, d.Redis.Del(ctx, d.Prefix+":profiled:"+about.Program).Err())
	}
	log.ErrorContext(ctx, "memory alarm", "why", about.Why, "profile_error", err)
}

func parseProfiles(texts []string) []answer.Profile {
	list := []answer.Profile{}
	for _, text := range texts {
		var p answer.Profile
		if json.Unmarshal([]byte(text), &p) == nil {
			list = append(list, p)
		}
	}
	return list
}

// Profiles lists those that are kept, the newest first.
func (d *Desk) Profiles(ctx context.Context) (answer.ProfileList, error) {
	texts, err := d.Redis.LRange(ctx, d.profilesKey(), 0, -1).Result()
	return answer.ProfileList{Profiles: parseProfiles(texts)}, err
}

// Profile opens one part of a profile.
func (d *Desk) Profile(ctx context.Context, id job.ID, part string) (blob.Reader, error) {
	gone := httpapi.NewError(httpapi.NotFound, "there is no such profile: the newest five are kept")
	if part != HeapPart && part != GoroutinesPart {
		return nil, gone
	}
	r, err := d.Blobs.Open(ctx, ProfileMark+string(id)+"/"+part)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, gone.Wrap(err)
	}
	return r, err
}

// ProfileFolders are the folders of the profiles that are kept, among those of jobs.
func (d *Desk) ProfileFolders(ctx context.Context) (map[string]bool, error) {
	list, err := d.Profiles(ctx)
	folders := map[string]bool{}
	for _, p := range list.Profiles {
		folders[ProfileMark+string(p.ID)] = true
	}
	return folders, err
}
