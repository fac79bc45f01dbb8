package jobstore

import "encoding/hex"

// Part T is a trace context of whoever submitted a job, as https://www.w3.org/TR/trace-context/ has them: the
// id of the trace (16), that of the span (8) and flags, of which the highest is our own.
const (
	traceSize = 25
	apartFlag = 0x80 // runs are traces of their own: there are many of such jobs
)

// traceBytes is a traceparent as part T has it; "" of none.
func traceBytes(traceparent string, apart bool) string {
	if len(traceparent) != 55 {
		return ""
	}
	raw, err := hex.DecodeString(traceparent[3:35] + traceparent[36:52] + traceparent[53:])
	if err != nil {
		return ""
	}
	raw[traceSize-1] &= 1
	if apart {
		raw[traceSize-1] |= apartFlag
	}
	return string(raw)
}

// traceparent is the way back.
func (r *record) traceparent() string {
	if r.trace == "" {
		return ""
	}
	text := hex.AppendEncode(append(make([]byte, 0, 55), "00-"...), []byte(r.trace[:16]))
	text = hex.AppendEncode(append(text, '-'), []byte(r.trace[16:24]))
	return string(hex.AppendEncode(append(text, '-'), []byte{r.trace[24] & 1}))
}

// traceApart reports whether runs are traces of their own.
func (r *record) traceApart() bool { return r.trace != "" && r.trace[24]&apartFlag != 0 }
