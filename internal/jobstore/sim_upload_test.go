package jobstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"longshore/job"
)

// A simFile is one file that a client sends until it is told that it is there:
// under an idempotency key, under an id of its choice, or under neither, and
// then once. Its connections break and hang, its web processes die, and it sends
// all again before the try before has ended.
type simFile struct {
	like  NewJob
	key   string
	id    job.ID // the chosen one
	tries int
	whole map[string]bool // blobs that came whole, by name
	jobs  []*simJob       // the records that its tries may make
	acked job.ID
}

// again reports whether a client may send all again.
func (f *simFile) again() bool { return f.key != "" || f.id != "" }

const mostTries = 60

// sendFile begins a client of a file.
func (s *sim) sendFile(like NewJob) {
	f := &simFile{like: like, whole: map[string]bool{}}
	s.files = append(s.files, f)
	switch s.rng.IntN(5) {
	case 0, 1:
		f.key = "file " + strconv.Itoa(len(s.files))
	case 2, 3:
		f.id = like.ID
		f.like.Claim = time.Hour
	}
	if f.again() {
		s.againLater(f)
	}
	s.tryFile(f)
}

// againLater sends all again while nobody has said that it is there.
func (s *sim) againLater(f *simFile) {
	s.after(nil, 500+s.rng.Int64N(12_000), func() {
		if f.acked != "" || f.tries >= mostTries {
			return
		}
		s.tryFile(f)
		s.againLater(f)
	})
}

// A simTry is one request with the whole file.
type simTry struct {
	f     *simFile
	p     *proc
	n     NewJob
	j     *simJob
	ended bool
}

// tryFile sends the file to a web process that lives.
func (s *sim) tryFile(f *simFile) {
	f.tries++
	var webs []*proc
	for _, p := range s.procs {
		if !p.worker && !p.dead {
			webs = append(webs, p)
		}
	}
	if len(webs) == 0 {
		return
	}
	y := &simTry{f: f, p: webs[s.rng.IntN(len(webs))], n: f.like}
	y.n.UploadFence, y.n.IdempotencyKey = NewFence(), f.key
	if f.id == "" {
		y.n.ID = s.newID(f.key)
	}
	y.j = s.recordOf(f, y)
	s.beginFile(y)
}

// recordOf notes the record that a try may make.
func (s *sim) recordOf(f *simFile, y *simTry) *simJob {
	if j := s.jobs[y.n.ID]; j != nil {
		return j
	}
	j := &simJob{id: y.n.ID, creator: y.p, file: f, completed: map[string]bool{},
		forbidOverlap: s.rng.IntN(3) > 0, duration: 1 + s.rng.Int64N(25_000)}
	s.jobs[j.id], s.order, f.jobs = j, append(s.order, j.id), append(f.jobs, j)
	if s.rng.IntN(3) == 0 {
		s.after(y.p, s.rng.Int64N(30_000), func() { s.cancel(y.p, j) })
	}
	return j
}

// beginFile is what package submit does with a request, once each: who gets no
// answer refuses the client, and may have made the record all the same.
func (s *sim) beginFile(y *simTry) {
	var c Created
	n, sent := y.n, s.mono
	s.rpc(y.p, func(ctx context.Context) (err error) {
		before := s.fences(y.f)
		c, err = s.store.Create(ctx, n)
		s.observeAll()
		if j := s.jobs[c.ID]; j != nil {
			s.grant(j, err == nil && c.New)
		}
		if was := before[c.ID]; c.New && was != "" && was != n.UploadFence && s.entered[was] > sent {
			s.violate("%s: upload %s was taken over by %s, which had been asked for before", c.ID, was,
				n.UploadFence)
		}
		if c.New && s.entered[n.UploadFence] == 0 {
			s.entered[n.UploadFence] = s.mono
		}
		return err
	}, func(err error) {
		switch {
		case errors.Is(err, errNoAnswer), errors.Is(err, ErrClaimed):
		case err != nil:
			s.violate("%s: create: %v", n.ID, err)
		case c.New:
			y.j = s.jobs[c.ID]
			s.say("%s receives %s under %s", y.p.name, c.ID[30:], n.UploadFence)
			s.receive(y)
		case c.Upload != "":
			y.n.UploadFrom = c.Upload
			s.beginFile(y)
		default:
			s.acknowledge(y.f, c.ID)
		}
	})
}

// fences are those of a file's uploads under way.
func (s *sim) fences(f *simFile) map[job.ID]string {
	fences := map[job.ID]string{}
	for _, j := range f.jobs {
		if m, err := s.moving(j.id); err == nil && m.state == job.Uploading {
			fences[j.id] = writeFence(m.fence)
		}
	}
	return fences
}

// receive keeps the lease while the bytes come. Some connections hang: the
// process waits for a while, and gives up.
func (s *sim) receive(y *simTry) {
	left, hangs := s.rng.Int64N(12_000), s.chance(30)
	if hangs {
		left = 30_000
	}
	var beat func()
	beat = func() {
		if y.ended {
			return
		}
		if left -= 2000; left <= 0 {
			y.ended = true
			if hangs {
				s.giveUp(y)
			} else {
				s.arrived(y)
			}
			return
		}
		var replies []BeatReply
		s.rpc(y.p, func(ctx context.Context) (err error) {
			replies, err = s.store.Beats(ctx, []Beat{{ID: y.j.id, Fence: y.n.UploadFence, Renew: true}})
			s.grant(y.j, err == nil && replies[0].Err == nil)
			return err
		}, func(err error) {
			if err == nil && replies[0].Err != nil {
				y.ended = true // its client is told 409
			}
		})
		s.after(y.p, 2000, beat)
	}
	s.after(y.p, 100, beat)
}

func (s *sim) giveUp(y *simTry) {
	s.ask(y.p, func(ctx context.Context) error {
		_, err := s.store.Finish(ctx, y.j.id, y.n.UploadFence,
			End{Outcome: Failed, Code: job.UploadIncomplete, Message: "cut"})
		s.observe(y.j)
		return err
	}, func(error) {})
}

// arrived stores the blob and makes the job queued.
func (s *sim) arrived(y *simTry) {
	spec := y.n.Spec
	spec.Input = &Input{Blob: string(y.j.id) + "/" + y.n.UploadFence + "/in", Size: 1}
	y.f.whole[spec.Input.Blob] = true
	s.ask(y.p, func(ctx context.Context) (err error) {
		_, err = s.store.Uploaded(ctx, y.j.id, y.n.UploadFence, spec)
		s.observe(y.j)
		return err
	}, func(err error) {
		if err != nil {
			return // lost: the client is told 409
		}
		if !s.chance(10) { // else the answer never reaches the client
			s.acknowledge(y.f, y.j.id)
		}
	})
}

// acknowledge is the client's being told 202, or 200, with a job's id.
func (s *sim) acknowledge(f *simFile, id job.ID) {
	if f.acked != "" && f.acked != id && !s.jobs[f.acked].gone {
		s.violate("%s: a file became this job, and %s too", id, f.acked)
	}
	f.acked = id
	s.jobs[id].acked = true
}

// judgeFiles holds that a file that was acknowledged is a job's input, and that
// one that is sent again and again gets there.
func (s *sim) judgeFiles() {
	for _, f := range s.files {
		if f.acked == "" {
			if f.again() && f.tries >= mostTries {
				s.violate("%s: a file was sent %d times and never taken", f.jobs[0].id, f.tries)
			}
			continue
		}
		j := s.jobs[f.acked]
		m, err := s.moving(j.id)
		if err != nil {
			continue // gone by its retention
		}
		if m.state == job.Failed && m.started == 0 {
			s.violate("%s: acknowledged, and failed without its input", j.id)
		}
	}
}

// wantFile holds that a job of a file works on bytes that came whole.
func (s *sim) wantFile(j *simJob, spec Spec) {
	if spec.Input == nil || !j.file.whole[spec.Input.Blob] || spec.Input.Owner() != j.id {
		s.violate("%s: started with input %+v, whole are %v", j.id, spec.Input, j.file.whole)
	}
}
