package deployed

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"longshore/internal/blob"
	"longshore/internal/functions"
	"longshore/internal/functions/registry"
	"longshore/internal/functions/wasm"
	"longshore/internal/isolate"
	"longshore/tasks"
)

// Limits of looking at what is deployed.
const (
	checkAtOnce = 2
	checkMemory = 512 << 20 // bytes, of the child that reads a module
	checkTime   = 30 * time.Second
)

// A Deployer takes functions in. It is safe for concurrent use.
type Deployer struct {
	Rules    Rules
	Registry *registry.Store
	Blobs    blob.Store
	Log      *slog.Logger

	once     sync.Once
	turns    chan struct{}
	children *isolate.Pool
	failed   error
}

// Close ends what it has started. No Deploy is under way.
func (d *Deployer) Close() error {
	d.once.Do(func() { d.failed = isolate.ErrClosed })
	if d.children == nil {
		return nil
	}
	return d.children.Close()
}

func (d *Deployer) open() error {
	d.once.Do(func() {
		d.turns = make(chan struct{}, checkAtOnce)
		d.children, d.failed = isolate.Open(isolate.Config{Slots: checkAtOnce, Lazy: true, Works: 50,
			Child: isolate.Child{Memory: checkMemory}, Log: d.Log})
	})
	return d.failed
}

// Deploy makes what is read the current version of a type, and returns that; ifCurrent and
// made are as Registry.Deploy has them. Until the registry's word nothing has happened. The
// error may be a *BadError, one of the registry's, or the reader's.
func (d *Deployer) Deploy(ctx context.Context, typ, by string, ifCurrent *int64,
	r io.Reader) (v registry.Version, made bool, err error) {
	if err := d.open(); err != nil {
		return v, false, err
	}
	select {
	case d.turns <- struct{}{}:
		defer func() { <-d.turns }()
	case <-ctx.Done():
		return v, false, context.Cause(ctx)
	}
	temp, err := os.MkdirTemp("", "longshore-deploy-")
	if err != nil {
		return v, false, err
	}
	defer os.RemoveAll(temp)
	v = registry.Version{By: by, At: time.Now().UTC().Truncate(time.Millisecond)}
	path := filepath.Join(temp, "sent")
	if err := receive(path, r, &v); err != nil {
		return v, false, err
	}
	info, err := d.check(ctx, typ, v.Kind, path, temp)
	if err != nil {
		return v, false, err
	}
	v.Blob = registry.DrawBlob(v.SHA256)
	if err := d.keep(ctx, path, v); err != nil {
		return v, false, err
	}
	if v.Number, made, err = d.Registry.Deploy(ctx, typ, v, info, ifCurrent); err != nil && unknown(err) {
		return v, false, err // it may count: what nobody names is found by the sweep
	}
	if !made {
		if gone := d.Blobs.Delete(context.WithoutCancel(ctx), filepath.Dir(v.Blob)); gone != nil {
			d.Log.WarnContext(ctx, "blob of a function that was not deployed stays until it is swept",
				"error", gone)
		}
	}
	return v, made, err
}

// unknown reports whether a change may have happened all the same.
func unknown(err error) bool {
	return !errors.As(err, new(*registry.MismatchError)) && !errors.Is(err, registry.ErrFull)
}

// receive writes what is sent to a file, and notes what it is.
func receive(path string, r io.Reader, v *registry.Version) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	body := bufio.NewReaderSize(io.LimitReader(r, MaxSize+1), 64<<10)
	head, err := body.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if v.Kind = KindOf(head); v.Kind == "" {
		return bad("expected a module of WebAssembly or a tar.gz")
	}
	sum := sha256.New()
	if v.Size, err = io.Copy(io.MultiWriter(f, sum), body); err != nil {
		return err
	}
	if v.Size > MaxSize {
		return bad("over %d MiB are sent", MaxSize>>20)
	}
	v.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return f.Close()
}

// check unpacks what was sent and looks at it as a worker will.
func (d *Deployer) check(ctx context.Context, typ, kind, path, temp string) (info tasks.Info, err error) {
	f, err := os.Open(path)
	if err != nil {
		return info, err
	}
	defer f.Close()
	code := filepath.Join(temp, "code")
	if err := os.Mkdir(code, 0o700); err != nil {
		return info, err
	}
	if err := unpack(kind, f, code); err != nil {
		return info, err
	}
	function, err := load(typ, code, d.Rules, &functions.Loader{Elsewhere: true})
	if err != nil {
		return info, err
	}
	if function.Manifest.Mode == functions.WASM {
		if err := d.checkModule(ctx, function.Command[0]); err != nil {
			return info, err
		}
	}
	return function.Info()
}

// checkModule reads a module in a child: what a stranger made of it may take any memory.
func (d *Deployer) checkModule(ctx context.Context, path string) error {
	if info, err := os.Stat(path); err != nil {
		return err
	} else if info.Size() > MaxModule {
		return bad("the module is over %d MiB", MaxModule>>20)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	fault, err := wasm.Check(ctx, d.children, path)
	switch {
	case fault != "":
		return bad("the module can't run here: %s", fault)
	case errors.Is(err, context.DeadlineExceeded):
		return bad("the module takes over %v to be read", checkTime)
	case errors.As(err, new(*isolate.Death)):
		return bad("the module can't be read within %d MiB", checkMemory>>20)
	}
	return err
}

// keep puts what was sent into the blob store.
func (d *Deployer) keep(ctx context.Context, path string, v registry.Version) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := d.Blobs.Create(ctx, v.Blob)
	if err != nil {
		return fmt.Errorf("keep function: %w", err)
	}
	defer func() { _ = w.Abort() }() // does nothing once it is committed
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("keep function: %w", err)
	}
	if _, err := w.Commit(); err != nil {
		return fmt.Errorf("keep function: %w", err)
	}
	return nil
}
