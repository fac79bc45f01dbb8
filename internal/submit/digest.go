package submit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"longshore/job"
)

// digest stands for a request, so that a repeat under the same key can be told
// from another request. The input's bytes are not in it: they come later.
//
// It is that of a list in JSON as encoding/json writes it. The digests of
// records that are there depend on each byte of it, so it can't change.
func digest(r Request, payload []byte) string {
	var short [512]byte // stays on the stack where that is enough
	b := appendText(append(short[:0], '['), r.Type)
	b = appendRaw(append(b, ','), payload)
	b = appendText(append(b, ','), string(r.Priority))
	b = strconv.AppendInt(append(b, ','), r.RunAt.UnixMilli(), 10)
	for _, d := range []time.Duration{r.Timeout, r.ExpiresIn} {
		b = strconv.AppendInt(append(b, ','), int64(d), 10)
	}
	b = strconv.AppendInt(append(b, ','), int64(r.MaxAttempts), 10)
	b = strconv.AppendInt(append(b, ','), int64(r.Retention), 10)
	b = appendText(append(b, ','), string(r.RetryOf))
	b = appendText(append(b, ','), r.Filename)
	b = strconv.AppendBool(append(b, ','), r.Input != nil)
	if r.From != nil {
		b = appendText(append(b, ','), string(r.From.Job))
		b = appendText(append(b, ','), r.From.Output)
	}
	if r.CallbackURL != "" {
		b = appendText(append(b, ','), r.CallbackURL)
	}
	if len(r.Labels) > 0 {
		b = appendText(append(b, ','), "labels "+r.Labels.String())
	}
	if len(r.After) > 0 {
		b = appendText(append(b, ','), "after "+r.OnFailure)
		for _, id := range r.After {
			b = appendText(append(b, ','), string(id))
		}
	}
	if r.Batch != "" {
		b = appendText(append(b, ','), "batch "+string(r.Batch))
	}
	if r.LimitKey != "" {
		b = appendText(append(b, ','), "limit "+r.LimitKey)
	}
	if r.DeleteInput != "" {
		b = appendText(append(b, ','), "delete "+r.DeleteInput)
	}
	if r.UniqueKey != "" {
		u := r.unique()
		b = appendText(append(b, ','), "unique "+u.Until+" "+u.Else+" "+u.MaxWait.String()+" "+u.Key)
	}
	if r.Hold != "" {
		b = appendText(append(b, ','), "hold "+r.Hold)
	}
	if queue := job.InQueue(r.Queue); queue != "" {
		b = appendText(append(b, ','), "queue "+queue)
	}
	if !r.Owner.Usual() {
		b = appendText(append(b, ','), r.Owner.Of())
		b = appendText(append(b, ','), r.Owner.Subject)
	}
	sum := sha256.Sum256(append(b, ']'))
	var text [32]byte
	hex.Encode(text[:], sum[:16])
	return string(text[:])
}

// plain reports whether encoding/json writes a text as it is.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c >= 0x7f || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '<' || c == '>' || c == '&' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(text) // a text: can't fail
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// appendRaw appends a compact JSON value.
func appendRaw(b, value []byte) []byte {
	if len(value) > 0 && plain(value) {
		return append(b, value...)
	}
	text, err := json.Marshal(json.RawMessage(value))
	if err != nil {
		text = []byte("null") // can't be: it was checked
	}
	return append(b, text...)
}
