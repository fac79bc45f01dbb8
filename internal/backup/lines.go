package backup

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// A writer writes one part. It is for one goroutine.
type writer struct {
	f    *os.File
	b    *bufio.Writer
	sum  hash.Hash
	part Part
}

// bufferSize is that of reading and writing parts.
const bufferSize = 256 << 10

func create(dir, part string) (*writer, error) {
	name := fileOf(part)
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	w := &writer{f: f, sum: sha256.New(), part: Part{Name: name}}
	w.b = bufio.NewWriterSize(io.MultiWriter(f, w.sum), bufferSize)
	return w, nil
}

func (w *writer) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.part.Lines++
	w.part.Bytes += int64(len(text)) + 1
	if _, err = w.b.Write(text); err == nil {
		err = w.b.WriteByte('\n')
	}
	return err
}

// close ends the part; it may be called again.
func (w *writer) close() error {
	if w.f == nil {
		return nil
	}
	err := errors.Join(w.b.Flush(), w.f.Sync(), w.f.Close())
	w.f = nil
	w.part.SHA256 = hex.EncodeToString(w.sum.Sum(nil))
	return err
}

// writePart writes a part of the lines that f writes.
func writePart(dir, part string, f func(*writer) error) (Part, error) {
	w, err := create(dir, part)
	if err != nil {
		return Part{}, err
	}
	err = f(w)
	err = cmp.Or(err, w.close())
	return w.part, err
}

// writeMap writes a part of names and values.
func writeMap(dir, part string, all map[string]string) (Part, error) {
	return writePart(dir, part, func(w *writer) error {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if err := w.line(entry{name, all[name]}); err != nil {
				return err
			}
		}
		return nil
	})
}

// verify compares all parts with what the manifest says of them.
func (m *Manifest) verify(dir string) error {
	if len(m.Parts) != len(allParts) && len(m.Parts) != len(allParts)-1 {
		return fmt.Errorf("%w: it has %d parts instead of %d", ErrChanged, len(m.Parts), len(allParts))
	}
	for i, p := range m.Parts {
		if p.Name != fileOf(allParts[i]) {
			return fmt.Errorf("%w: there is no part %s", ErrChanged, fileOf(allParts[i]))
		}
		sum, n, err := hashOf(filepath.Join(dir, p.Name))
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: %s is missing", ErrChanged, p.Name)
		}
		if err != nil {
			return err
		}
		if n != p.Bytes || sum != p.SHA256 {
			return fmt.Errorf("%w: %s is not as it was written", ErrChanged, p.Name)
		}
	}
	return nil
}

// hashOf reads a file, and tells its SHA-256 and its size.
func hashOf(name string) (sum string, n int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	n, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), n, errors.Join(err, f.Close())
}

// eachLine calls f for each line of a part, numbered from 1.
func eachLine[T any](dir, part string, f func(n int64, v *T) error) error {
	file, err := os.Open(filepath.Join(dir, fileOf(part)))
	if err != nil {
		return err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, bufferSize)
	var long []byte
	for n := int64(1); ; {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, line...)
			continue
		}
		if errors.Is(err, io.EOF) && len(line) == 0 && len(long) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if long != nil {
			line, long = append(long, line...), nil
		}
		v := new(T)
		if err := json.Unmarshal(bytes.TrimSuffix(line, []byte("\n")), v); err != nil {
			return fmt.Errorf("%w: line %d of %s: %w", ErrChanged, n, fileOf(part), err)
		}
		if err := f(n, v); err != nil {
			return err
		}
		n++
	}
}

// readMap reads a part of names and values.
func readMap(dir, part string) (map[string]string, error) {
	all := map[string]string{}
	err := eachLine(dir, part, func(_ int64, e *entry) error {
		all[e.Name] = e.Value
		return nil
	})
	return all, err
}
