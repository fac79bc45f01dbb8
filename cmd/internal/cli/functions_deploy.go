package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/internal/printable"
	"longshore/job"
)

// withFunctions connects to the server, through which all that is deployed goes.
func (p *CLI) withFunctions(do func(*client.Client) error) error {
	s, err := p.Settings()
	if err != nil {
		return err
	}
	if s.URL == "" {
		return Misconfigured(
			errors.New("LONGSHORE_URL must be set: functions are deployed through a web server"))
	}
	c, err := p.connect(s)
	if err != nil {
		return err
	}
	return errors.Join(do(c), overHTTP{c}.Close())
}

func (p *CLI) functionsDeploy() *cobra.Command {
	var typ string
	ifCurrent := int64(-1)
	cmd := &cobra.Command{
		Use:   "deploy DIR|FILE",
		Short: "Deploy a folder, a module or a tar.gz to all workers",
		Long: "Deploy a folder, a module of WebAssembly or a tar.gz: it becomes the current version of its\n" +
			"type, which is the folder's or file's name unless --type says it, and each worker fetches it.\n" +
			"Links inside a folder become files; .git is left out. What is current already gets no new\n" +
			"version, so a deployment may be repeated. FUNCTIONS_DEPLOY says what may be deployed.",
		Example: "  enqueue functions deploy functions/hello.world\n" +
			"  enqueue functions deploy out/function.wasm --type image.blur --if-current 3",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if typ == "" {
				typ = typeOfFile(args[0])
			}
			if !job.IsFolderType(typ) {
				return Usage("%q is no type: name one by --type", typ)
			}
			in, size, err := packed(args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			var want *int64
			if cmd.Flags().Changed("if-current") {
				want = &ifCurrent
			}
			return p.withFunctions(func(c *client.Client) error {
				v, err := c.DeployFunction(cmd.Context(), typ, in, size, want)
				if err != nil {
					return err
				}
				return p.printVersions([]client.FunctionVersion{v}, v.Version)
			})
		},
	}
	cmd.Flags().StringVar(&typ, "type", "", "the type that it serves")
	cmd.Flags().Int64Var(&ifCurrent, "if-current", 0, "only if this version is current; 0 = if none is")
	return cmd
}

// typeOfFile is the type that a folder's or a file's name stands for.
func typeOfFile(name string) string {
	path, err := filepath.Abs(name)
	if err != nil {
		path = name
	}
	base := filepath.Base(path)
	for _, end := range []string{".wasm", ".tar.gz", ".tgz"} {
		base = strings.TrimSuffix(base, end)
	}
	return base
}

// A passing file is gone once it is closed.
type passing struct{ *os.File }

func (p passing) Close() error {
	err := p.File.Close()
	if gone := os.Remove(p.Name()); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// packed opens a file, or packs a folder into one that is gone once it is closed.
func packed(name string) (in io.ReadSeekCloser, size int64, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, 0, &exit{ExitNotFound, err}
	}
	if !info.IsDir() {
		in, err := os.Open(name)
		return in, info.Size(), err
	}
	file, err := os.CreateTemp("", "longshore-deploy-")
	if err != nil {
		return nil, 0, err
	}
	if runtime.GOOS != "windows" { // which keeps what is open
		_ = os.Remove(file.Name()) // so that none is left where this process is killed
	}
	in = passing{file}
	err = pack(file, name)
	if err == nil {
		size, err = in.Seek(0, io.SeekCurrent)
	}
	if err == nil {
		_, err = in.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("pack %s: %w", name, err), in.Close())
	}
	return in, size, nil
}

// pack writes a folder as a tar.gz. The same folder makes the same bytes, whenever and by
// whomever it is packed.
func pack(w io.Writer, folder string) error {
	zip := gzip.NewWriter(w)
	archive := tar.NewWriter(zip)
	if folder, err := filepath.EvalSymlinks(folder); err != nil {
		return err
	} else if err := packFolder(archive, folder, ".", nil); err != nil {
		return err
	}
	return errors.Join(archive.Close(), zip.Close())
}

// packFolder packs a folder under a name. above are the folders that it lies in: a link to
// one of them has no end.
func packFolder(archive *tar.Writer, folder, name string, above []string) error {
	if real, err := filepath.EvalSymlinks(folder); err != nil {
		return err
	} else {
		for _, one := range above {
			if one == real {
				return fmt.Errorf("%s is a link to a folder that it lies in", name)
			}
		}
		above = append(above, real)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == ".git" {
			continue
		}
		path, inside := filepath.Join(folder, e.Name()), filepath.ToSlash(filepath.Join(name, e.Name()))
		info, err := os.Stat(path) // what a link leads to
		switch {
		case err != nil:
			return err
		case info.IsDir():
			err = packFolder(archive, path, inside, above)
		case info.Mode().IsRegular():
			err = packFile(archive, path, inside, info)
		default:
			err = fmt.Errorf("%s is neither a file nor a folder", inside)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isProgram tells that a file can be run: its mode says so, and on Windows, which has no such mode, its first
// bytes.
func isProgram(system string, mode fs.FileMode, head []byte) bool {
	if system != "windows" {
		return mode&0o111 != 0
	}
	return bytes.HasPrefix(head, []byte("#!")) || bytes.HasPrefix(head, []byte("\x7fELF"))
}

func packFile(archive *tar.Writer, path, name string, info fs.FileInfo) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 4)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	mode := int64(0o644)
	if isProgram(runtime.GOOS, info.Mode(), head[:n]) {
		mode = 0o755
	}
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(),
		Mode: mode}); err != nil {
		return err
	}
	_, err = io.Copy(archive, f)
	return err
}

func (p *CLI) functionsVersions() *cobra.Command {
	return &cobra.Command{
		Use:   "versions [TYPE]",
		Short: "List what is deployed, or the versions of one function",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withFunctions(func(c *client.Client) error {
				if len(args) == 0 {
					all, err := c.Functions(cmd.Context())
					if err != nil {
						return err
					}
					return p.printVersions(all, 0)
				}
				f, err := c.Function(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return p.printVersions(f.Versions, f.Current)
			})
		},
	}
}

func (p *CLI) functionsRollback() *cobra.Command {
	return &cobra.Command{
		Use:     "rollback TYPE VERSION",
		Short:   "Go back to an older version's content, under a new number",
		Example: "  enqueue functions rollback hello.world 3",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil || to < 1 {
				return Usage("%q is no number of a version", args[1])
			}
			return p.withFunctions(func(c *client.Client) error {
				v, err := c.RollbackFunction(cmd.Context(), args[0], to)
				if err != nil {
					return err
				}
				return p.printVersions([]client.FunctionVersion{v}, v.Version)
			})
		},
	}
}

func (p *CLI) functionsRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "rm TYPE",
		Short: "Take no more jobs for a deployed function",
		Long: "Take no more jobs for a deployed function, and forget its versions. Its jobs that have not\n" +
			"ended wait for another deployment; how many there are is said.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withFunctions(func(c *client.Client) error {
				gone, err := c.RemoveFunction(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if p.format != "text" {
					return p.PrintJSON(gone)
				}
				p.Say("%s is deployed no more; %d of its jobs are open", gone.Type, gone.Open)
				return nil
			})
		},
	}
}

func (p *CLI) printVersions(versions []client.FunctionVersion, current int64) error {
	return showList(p, versions, func(table *tabwriter.Writer) {
		fmt.Fprintln(table, "TYPE\tVERSION\tKIND\tBYTES\tSHA256\tDEPLOYED\tBY\tNOTE")
		for _, v := range versions {
			var notes []string
			if v.Version == current {
				notes = append(notes, "current")
			}
			if v.Of > 0 {
				notes = append(notes, fmt.Sprintf("content of %d", v.Of))
			}
			printable.Fprintf(table, "%s\t%d\t%s\t%d\t%.12s\t%s\t%s\t%s\n", v.Type, v.Version, v.Kind, v.Size,
				v.SHA256, v.At.UTC().Format(time.RFC3339), v.By, strings.Join(notes, ", "))
		}
	})
}
