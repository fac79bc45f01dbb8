package handlers_test

import (
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"longshore/handlers"
	"longshore/handlers/handlerstest"
	"longshore/internal/loggen"
	"longshore/internal/stream"
	"longshore/job"
)

// someLog is a made-up log of that many bytes at most.
func someLog(t testing.TB, size int64) []byte {
	t.Helper()
	log, err := io.ReadAll(loggen.New(loggen.Options{Seed: 3, Bytes: size}))
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	abc := []byte("abc")
	tests := []struct {
		payload string
		input   []byte
		want    map[string]any
	}{
		{`{}`, abc,
			map[string]any{"bytes": 3.0,
				"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}},
		{`{"algorithms":["md5","crc32c","md5"]}`, abc,
			map[string]any{"bytes": 3.0, "md5": "900150983cd24fb0d6963f7d28e17f72", "crc32c": "364b3fb7"}},
		{`{"algorithms":["crc32"]}`, nil, map[string]any{"bytes": 0.0, "crc32": "00000000"}},
	}
	for _, test := range tests {
		got, outputs := succeed(t, "file.checksum", test.payload, test.input)
		if diff := cmp.Diff(test.want, got); diff != "" || len(outputs) != 0 {
			t.Errorf("%s (-want +got)\n%s", test.payload, diff)
		}
	}
}

func TestCompressAndBack(t *testing.T) {
	t.Parallel()
	for _, input := range [][]byte{nil, []byte("x"), someLog(t, 1<<20)} {
		for payload, name := range map[string]string{
			`{}`: "output.gz", `{"format":"gzip","level":9}`: "output.gz",
			`{"format":"zstd"}`: "output.zst", `{"format":"zstd","level":1}`: "output.zst",
		} {
			result, outputs := succeed(t, "file.compress", payload, input)
			packed, ok := outputs[name]
			if !ok || len(outputs) != 1 || result["bytes_in"] != float64(len(input)) ||
				result["bytes_out"] != float64(len(packed)) {
				t.Fatalf("%s: result %v, %d outputs, %s has %d bytes", payload, result, len(outputs), name,
					len(packed))
			}
			result, outputs = succeed(t, "file.decompress", `{}`, packed)
			if !bytes.Equal(outputs["output"], input) || result["bytes_out"] != float64(len(input)) ||
				result["bytes_in"] != float64(len(packed)) {
				t.Errorf("%s and back: result %v, %d bytes, want the input's %d", payload, result,
					len(outputs["output"]), len(input))
			}
		}
	}
}

func TestCompressedIsReadByOthers(t *testing.T) {
	t.Parallel()
	log := someLog(t, 1<<20)
	result, outputs := succeed(t, "file.compress", `{}`, log)
	z, err := stdgzip.NewReader(bytes.NewReader(outputs["output.gz"]))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, log) {
		t.Errorf("the standard library reads %d bytes, %v; want %d", len(got), err, len(log))
	}
	if ratio, ok := result["ratio"].(float64); !ok || ratio < 2 || ratio > 50 {
		t.Errorf("ratio %v of a log", result["ratio"])
	}
}

func TestDecompressBadInput(t *testing.T) {
	t.Parallel()
	packed := pack(t, stream.Gzip, someLog(t, 20_000))
	damaged := bytes.Clone(packed)
	damaged[len(damaged)/2] ^= 0xff
	bomb := pack(t, stream.Gzip, make([]byte, 32<<20))
	tests := []struct {
		name    string
		payload string
		input   []byte
		code    job.Code
	}{
		{"empty", `{}`, nil, job.CorruptInput},
		{"empty as gzip", `{"format":"gzip"}`, nil, job.CorruptInput},
		{"plain", `{}`, []byte("plain text"), job.CorruptInput},
		{"zstd as gzip", `{"format":"gzip"}`, pack(t, stream.Zstd, []byte("x")), job.CorruptInput},
		{"damaged", `{}`, damaged, job.CorruptInput},
		{"junk behind", `{}`, append(bytes.Clone(packed), "junk"...), job.CorruptInput},
		{"over max_ratio", `{}`, bomb, job.OutputLimit},
		{"over max_bytes", `{"max_ratio":100000,"max_bytes":1000000}`, bomb, job.OutputLimit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fail(t, "file.decompress", test.payload, test.input, test.code)
		})
	}
	if _, outputs := succeed(t, "file.decompress", `{"max_ratio":100000}`,
		bomb); len(outputs["output"]) != 32<<20 {
		t.Errorf("the same file within its limits: %d bytes", len(outputs["output"]))
	}
}

func TestTruncatedAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, format := range []stream.Format{stream.Gzip, stream.Zstd} {
		packed := pack(t, format, someLog(t, 3000))
		for cut := range packed {
			err := fail(t, "file.decompress", `{"format":"`+string(format)+`"}`, packed[:cut],
				job.CorruptInput)
			var corrupt *stream.CorruptError
			if !errors.As(err, &corrupt) || corrupt.Offset != int64(cut) {
				t.Fatalf("%s cut at %d: %v, want that offset", format, cut, err)
			}
		}
	}
}

var fileTasks = map[string]string{
	"file.checksum": `{}`, "file.compress": `{}`, "file.decompress": `{}`, "log.analyze": `{}`,
}

// Broken storage is not the data's fault: the job is tried again.
func TestStorageErrors(t *testing.T) {
	t.Parallel()
	input := pack(t, stream.Gzip, someLog(t, 1<<20))
	broken := errors.New("disk on fire")
	retryable := func(typ string, r *handlers.Run, files *handlerstest.Files) {
		t.Helper()
		_, err := run(t, t.Context(), typ, fileTasks[typ], r, files)
		var failure *handlers.Failure
		if !errors.As(err, &failure) || failure.Code != job.StorageError || failure.Final ||
			!errors.Is(err, broken) {
			t.Errorf("%s: got %v, want a failure that is tried again", typ, err)
		}
		if n := len(files.Committed()); n != 0 {
			t.Errorf("%s: %d outputs", typ, n)
		}
	}
	for typ := range fileTasks {
		for _, at := range []int{0, 2, 20, len(input) / 2, len(input)} {
			r, files := handlerstest.NewRun(typ, input)
			files.Open = func() io.Reader {
				return io.MultiReader(bytes.NewReader(input[:at]), iotest.ErrReader(broken))
			}
			retryable(typ, r, files)
		}
	}
	for _, typ := range []string{"file.compress", "file.decompress"} {
		r, files := handlerstest.NewRun(typ, input)
		files.OutputErr = broken
		retryable(typ, r, files)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	input := pack(t, stream.Gzip, someLog(t, 2<<20))
	half := len(input) / 2
	cause := errors.New("canceled by the client")
	for typ := range fileTasks {
		for name, rest := range map[string]io.Reader{
			"in the middle":          bytes.NewReader(input[half:]),
			"when the storage fails": iotest.ErrReader(errors.New("disk on fire")),
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			r, files := handlerstest.NewRun(typ, input)
			files.Open = func() io.Reader {
				return io.MultiReader(bytes.NewReader(input[:half]), canceler{cancel, cause}, rest)
			}
			if _, err := run(t, ctx, typ, fileTasks[typ], r, files); !errors.Is(err, cause) {
				t.Errorf("%s, canceled %s: got %v, want the context's cause", typ, name, err)
			}
			if n := len(files.Committed()); n != 0 {
				t.Errorf("%s, canceled %s: %d outputs", typ, name, n)
			}
		}
	}
}

// Canceled after the last byte was read, nothing is committed either.
func TestCancelAtTheEnd(t *testing.T) {
	t.Parallel()
	input := pack(t, stream.Gzip, someLog(t, 100_000))
	cause := errors.New("canceled by the client")
	for _, typ := range []string{"file.compress", "file.decompress"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		r, files := handlerstest.NewRun(typ, input)
		files.Open = func() io.Reader {
			return io.MultiReader(bytes.NewReader(input), canceler{cancel, cause})
		}
		if _, err := run(t, ctx, typ, fileTasks[typ], r, files); !errors.Is(err, cause) ||
			len(files.Committed()) != 0 {
			t.Errorf("%s: got %v and %d outputs, want the context's cause and none", typ, err,
				len(files.Committed()))
		}
	}
}

// canceler tells the run to end when it is read.
type canceler struct {
	cancel context.CancelCauseFunc
	cause  error
}

func (c canceler) Read([]byte) (int, error) {
	c.cancel(c.cause)
	return 0, io.EOF
}

func TestProgress(t *testing.T) {
	t.Parallel()
	log := someLog(t, 1<<20)
	for typ := range fileTasks {
		input := log
		if typ == "file.decompress" {
			input = pack(t, stream.Gzip, log)
		}
		r, files := handlerstest.NewRun(typ, input)
		if _, err := run(t, t.Context(), typ, fileTasks[typ], r, files); err != nil {
			t.Fatal(err)
		}
		if in, total := r.Counts().In, r.Counts().Total; in != int64(len(input)) || total != in {
			t.Errorf("%s: read %d of %d, want %d", typ, in, total, len(input))
		}
		var out int64
		for _, data := range files.Committed() {
			out += int64(len(data))
		}
		if got := r.Counts().Out; got != out {
			t.Errorf("%s: wrote %d, want %d", typ, got, out)
		}
		if records := int64(bytes.Count(log, []byte("\n"))); typ == "log.analyze" &&
			r.Counts().Records != records {
			t.Errorf("%s: %d records, want %d", typ, r.Counts().Records, records)
		}
	}
}

func TestOutputName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", ".", "..", ".hidden", "a/b", `a\b`, "a\nb", "a\x00", "\xff",
		string(make([]byte, 300))} {
		r, _ := handlerstest.NewRun("file.compress", nil)
		if _, err := r.Output(t.Context(), name, ""); err == nil {
			t.Errorf("%q: no error", name)
		}
	}
	r, files := handlerstest.NewRun("file.compress", nil)
	out, err := r.Output(t.Context(), "Ünïcode name.tar.gz", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Abort(); err != nil || files.Left() != 0 {
		t.Errorf("abort: %v, %d left", err, files.Left())
	}
}
