package wasm

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// BenchmarkJob is a job of a module in Go of some 3 MB that its child has compiled.
func BenchmarkJob(b *testing.B) {
	x := setup(b)
	x.ok(`{"do":"exit"}`, "")
	for b.Loop() {
		x.ok(`{"do":"exit"}`, "")
	}
}

// BenchmarkFromDisk is a child's first job of a module that was compiled before.
func BenchmarkFromDisk(b *testing.B) {
	x := setup(b)
	for b.Loop() {
		b.StopTimer()
		m := x.Executor.(*executor)
		m.key += "x" // so that the child doesn't know it
		b.StartTimer()
		x.ok(`{"do":"exit"}`, "")
	}
}

const loops = `{"do":"sum","n":500000000}`

// BenchmarkLoop is a module that computes, beside plain wazero in this process.
func BenchmarkLoop(b *testing.B) {
	b.Run("job", func(b *testing.B) {
		x := setup(b)
		for b.Loop() {
			x.ok(loops, "")
		}
	})
	b.Run("plain", func(b *testing.B) {
		built, err := build()
		if err != nil {
			b.Fatal(err)
		}
		text, err := os.ReadFile(built + "/function.wasm")
		if err != nil {
			b.Fatal(err)
		}
		ctx := context.Background()
		r := wazero.NewRuntime(ctx)
		defer r.Close(ctx)
		wasi_snapshot_preview1.MustInstantiate(ctx, r)
		compiled, err := r.CompileModule(ctx, text)
		if err != nil {
			b.Fatal(err)
		}
		folder := b.TempDir()
		if err := os.WriteFile(folder+"/payload.json", []byte(loops), 0o600); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			var out bytes.Buffer
			c := wazero.NewModuleConfig().WithName("").WithStdout(&out).WithStderr(os.Stderr).
				WithSysNanotime().WithSysWalltime().
				WithEnv("LONGSHORE_PAYLOAD", "/work/payload.json").
				WithFSConfig(wazero.NewFSConfig().WithDirMount(folder, "/work"))
			if m, err := r.InstantiateModule(ctx, compiled, c); err != nil {
				b.Fatal(err)
			} else if err := m.Close(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}
