package localredis

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"sync"

	"github.com/alicebob/miniredis/v2/server"
)

// A scriptFilter lets the stand-in run scripts that begin with a shebang line,
// like "#!lua flags=allow-oom" (Redis 7), which its Lua takes for an error. It
// turns that line into a comment, and answers to the digest of the script as
// it was sent.
type scriptFilter struct {
	mu      sync.Mutex
	digests map[string]string // of scripts: as sent → as run
}

// hook rewrites the arguments of scripting commands in place. It never
// answers a command itself.
func (f *scriptFilter) hook(_ *server.Peer, cmd string, args ...string) bool {
	switch {
	case len(args) == 0:
	case cmd == "EVAL" || cmd == "EVAL_RO":
		f.source(&args[0])
	case cmd == "EVALSHA" || cmd == "EVALSHA_RO":
		f.digest(&args[0])
	case cmd == "SCRIPT" && strings.EqualFold(args[0], "load") && len(args) == 2:
		f.source(&args[1])
	case cmd == "SCRIPT" && strings.EqualFold(args[0], "exists"):
		for i := range args[1:] {
			f.digest(&args[1+i])
		}
	}
	return false
}

func (f *scriptFilter) source(script *string) {
	rest, ok := strings.CutPrefix(*script, "#!")
	if !ok {
		return
	}
	plain := "--" + rest
	f.mu.Lock()
	defer f.mu.Unlock()
	f.digests[scriptDigest(*script)] = scriptDigest(plain)
	*script = plain
}

func (f *scriptFilter) digest(digest *string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d, ok := f.digests[*digest]; ok {
		*digest = d
	}
}

// scriptDigest is the name of a script for EVALSHA.
func scriptDigest(script string) string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}
