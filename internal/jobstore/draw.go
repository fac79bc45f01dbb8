package jobstore

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

// DrawID draws an id that lies in the shard of the idempotency key, so that
// one script can claim the key and create the record.
func DrawID(now time.Time, owner access.Owner, idempotencyKey string) job.ID {
	if idempotencyKey == "" {
		return job.NewID(now)
	}
	return job.NewIDIn(now, int(claimHash(owner, idempotencyKey)[15]&(job.Shards-1)))
}

// claimHash is an idempotency key as records have it: 16 bytes; "" of none. Keys are their owner's own.
func claimHash(owner access.Owner, key string) string {
	if key == "" {
		return ""
	}
	if !owner.Usual() {
		key = owner.Of() + "\x00" + owner.Subject + "\x00" + key
	}
	sum := sha256.Sum256([]byte(key))
	return string(sum[:16])
}

// digestBytes is a request's digest as records have it: 16 bytes; "" of none.
func digestBytes(digest string) string {
	if digest == "" {
		return ""
	}
	if raw, err := hex.DecodeString(digest); err == nil && len(raw) == 16 {
		return string(raw)
	}
	sum := sha256.Sum256([]byte(digest))
	return string(sum[:16])
}

// parts are those that a new record has behind X, and their flags.
func (n *NewJob) parts(apart string) (flags uint32, parts string) {
	if code := n.Owner.Code(); code != "" {
		flags |= flagM
		parts += code
	}
	if trace := traceBytes(n.Traceparent, n.TraceApart); trace != "" {
		flags |= flagT
		parts += trace
	}
	if n.Batch != "" {
		flags |= flagB
		parts += n.Batch.Raw()
	}
	if n.Function > 0 {
		flags |= flagF
		parts += functionBytes(n.Function)
	}
	if n.IdempotencyKey != "" {
		flags |= flagI
		parts += claimHash(n.Owner, n.IdempotencyKey)
	}
	if n.Claim > 0 {
		flags |= flagD
		parts += n.digest()
	}
	if n.Owner.Subject != "" {
		flags |= flagU
		text := encodeNames(names{subject: n.Owner.Subject})
		parts += string([]byte{byte(len(text))}) + text
	}
	if apart != "" {
		flags |= flagP
	}
	return flags, parts
}
