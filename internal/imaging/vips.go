package imaging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"longshore/internal/sandbox"
)

// A Vips renders by the program vipsthumbnail of libvips 8.10 or later.
type Vips struct {
	program string // path
}

// FindVips looks for vipsthumbnail on the PATH; nil means there is none.
func FindVips() *Vips {
	program, err := exec.LookPath("vipsthumbnail")
	if err != nil {
		return nil
	}
	return &Vips{program}
}

// ErrVips says that vipsthumbnail did not do it, or had doubts about the file.
// Decode can tell what is wrong.
var ErrVips = errors.New("vipsthumbnail did not render the image")

// A Session holds one file for several renderings, in a folder of its own.
type Session struct {
	// Lenient takes what the program makes of a damaged file though it warns;
	// Warnings are what it said.
	Lenient  bool
	Warnings []string

	vips   *Vips
	header Header
	folder string
}

const (
	sessionInput = "input" // the program goes by the content
	vipsKill     = 2 * time.Second
	vipsMessages = 4 << 10 // bytes kept of what it says

	// What it may take. Of 100 million pixels that are turned, libvips puts up to
	// 800 MB into a file rather than into memory.
	vipsMemory = 1 << 30
	vipsFile   = 1 << 30
	vipsFiles  = 64
)

// Open puts a file into a new folder, which Close removes. Its error is ErrVips.
// The program gets the picture, our orientation and a profile that is sound:
// nothing else that the file holds can turn, stretch or colour the result.
func (v *Vips) Open(h Header) (*Session, error) {
	folder, err := os.MkdirTemp("", "longshore-image-")
	if err != nil {
		return nil, fmt.Errorf("%w: make a folder: %w", ErrVips, err)
	}
	s := &Session{vips: v, header: h, folder: folder}
	if err := writePieces(filepath.Join(folder, sessionInput), h.forVips()); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: write the image: %w", ErrVips, err), s.Close())
	}
	return s, nil
}

// forVips is the file as the program gets it.
func (h *Header) forVips() [][]byte {
	p := &h.parts
	var between [][]byte
	switch h.Format {
	case JPEG:
		if h.Orientation != Upright {
			between = append(between, jpegExif(h.Orientation))
		}
		between = append(between, jpegProfile(h.icc))
	case PNG:
		between = append(between, pngProfile(h.icc))
		if h.Orientation != Upright {
			between = append(between, pngChunk("eXIf", exifOf(h.Orientation)))
		}
	default:
		return p.webpFile(h.Orientation, h.icc)
	}
	return slices.Concat(p.file[:1], between, p.file[1:])
}

func writePieces(name string, pieces [][]byte) (err error) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for _, piece := range pieces {
		if _, err := file.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// Close removes the folder.
func (s *Session) Close() error { return os.RemoveAll(s.folder) }

// Render writes the image in a frame's size. Error ErrVips means that nothing
// was written and that Decode should be tried; the context's cause ends it. All
// that reaches the command line are numbers and words of ours.
func (s *Session) Render(ctx context.Context, w io.Writer, frame Frame, format Format, quality int) error {
	output := "output" + format.Extension()
	// A second thread saves an eighth of the time, more would save nothing.
	args := []string{sessionInput, "--vips-concurrency=2", "--output=" + output +
		writeOptions(format, quality)}
	if s.header.icc != nil {
		args = append(args, "--export-profile=srgb")
	}
	size := strconv.Itoa(frame.Width) + "x" + strconv.Itoa(frame.Height)
	if frame.crops(s.header.Size()) {
		args = append(args, "--size="+size, "--smartcrop=centre")
	} else {
		args = append(args, "--size="+size+"!")
	}
	if err := s.run(ctx, args); err != nil {
		return err
	}
	out, err := os.Open(filepath.Join(s.folder, output))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVips, err)
	}
	defer out.Close()
	if err := checkOutput(out, frame, format); err != nil {
		return err
	}
	if format != WebP {
		_, err := io.Copy(w, out)
		return err
	}
	file, err := io.ReadAll(out)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVips, err)
	}
	_, err = w.Write(webpBare(file))
	return err
}

func writeOptions(format Format, quality int) string {
	switch format {
	case PNG:
		return "[strip,bitdepth=8]"
	case JPEG:
		return fmt.Sprintf("[Q=%d,strip,background=255]", quality)
	default:
		return fmt.Sprintf("[Q=%d,strip]", quality)
	}
}

// checkOutput makes sure that the program wrote what it was asked for.
func checkOutput(out *os.File, frame Frame, format Format) error {
	head := make([]byte, 64<<10)
	n, err := io.ReadFull(out, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", ErrVips, err)
	}
	h, err := ReadHeader(head[:n], math.MaxInt64)
	if err != nil {
		return fmt.Errorf("%w: read what it wrote: %w", ErrVips, err)
	}
	if h.Format != format || h.Width != frame.Width || h.Height != frame.Height {
		return fmt.Errorf("%w: it wrote %s of %d×%d pixels, not %s of %d×%d",
			ErrVips, h.Format, h.Width, h.Height, format, frame.Width, frame.Height)
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("%w: %w", ErrVips, err)
	}
	return nil
}

// run runs the program in the folder, which is all it may write, in a sandbox. A warning counts as a failure,
// for that is how it speaks of a file that is cut.
func (s *Session) run(ctx context.Context, args []string) error {
	messages := &head{limit: vipsMessages}
	cmd := exec.CommandContext(ctx, s.vips.program, args...)
	cmd.Dir = s.folder
	// VIPS_BLOCK_UNTRUSTED leaves out loaders that were not fuzzed.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + s.folder, "HOME=" + s.folder, "LC_ALL=C",
		"VIPS_BLOCK_UNTRUSTED=1"}
	cmd.Stderr = messages
	cmd.WaitDelay = vipsKill
	ownGroup(cmd)
	err := sandbox.Run(cmd, sandbox.Policy{Read: sandbox.System(s.vips.program), Write: []string{s.folder},
		Memory: vipsMemory, FileSize: vipsFile, Files: vipsFiles})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	said := plainWords(messages.text)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w: %s", ErrVips, err, said)
	case len(messages.text) == 0:
		return nil
	case s.Lenient:
		s.Warnings = []string{warnRecovered + said}
		return nil
	default:
		return fmt.Errorf("%w: %s", ErrVips, said)
	}
}

// glibPrefix begins a message: the program, its process, how grave it is, when.
var glibPrefix = regexp.MustCompile(`^\([^()]*\): [A-Za-z-]+ \*\*: [0-9:.]+: `)

// plainWords makes a line of what the program said first, for others to read.
// That there are warnings is none.
func plainWords(text []byte) string {
	const most = 200
	said := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(glibPrefix.ReplaceAllString(line, ""))
		if line != "" && (said == "" || strings.HasPrefix(said, "read gave ")) {
			said = line
		}
	}
	said = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, said)
	return said[:min(len(said), most)]
}

// head keeps the beginning of what is written to it.
type head struct {
	text  []byte
	limit int
}

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), h.limit-len(h.text))]...)
	return len(p), nil
}

// Reads reports whether a Session may render a file; no for a nil Vips. Some
// kinds are left to Decode, so that they look the same everywhere: GIF, which
// not every libvips reads; animations; CMYK, which it would put through a
// profile of its own.
func (v *Vips) Reads(h Header) bool {
	return v != nil && h.Format != GIF && (h.parts.canvas == nil && h.parts.space != spaceCMYK ||
		h.unread != nil)
}

// Needed reports whether only a Session can render a file.
func (v *Vips) Needed(h Header) bool { return h.unread != nil }

// Recovers reports whether a lenient Session may show more of a file than
// Decode, which failed with err: libjpeg goes on behind damage.
func (v *Vips) Recovers(h Header, err error) bool {
	return v != nil && h.Format == JPEG && !errors.Is(err, ErrCut) && (errors.Is(err, ErrCorrupt) ||
		errors.Is(err, ErrUnsupported))
}

// Writes reports whether a Session writes a format; no for a nil Vips.
func (v *Vips) Writes(format Format) bool {
	return v != nil && (format == JPEG || format == PNG || format == WebP)
}
