package family

import (
	"bytes"
	"strconv"
)

// StatusField reads a size in the text of a status file, "VmHWM:	  1234 kB".
func StatusField(text []byte, name string) (int64, bool) {
	_, rest, ok := bytes.Cut(text, []byte(name))
	if !ok {
		return 0, false // a zombie has no memory
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(line, []byte(" kB")))), 10, 64)
	return n << 10, err == nil
}
