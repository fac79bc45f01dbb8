package longshore

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// public lists the packages that a program of somebody else's may import.
func public() []string {
	var list []string
	for pkg, floor := range floors {
		first, _, _ := strings.Cut(pkg, "/")
		if floor < programs-1 && !slices.Contains([]string{"internal", "cmd", "bench", "e2e", "release"},
			first) {
			list = append(list, pkg)
		}
	}
	slices.Sort(list)
	return list
}

// TestPublicFace holds that no exported name of a public package says a type of an
// internal one: nobody outside could write that type's name, and it would become a
// promise by accident.
func TestPublicFace(t *testing.T) {
	t.Parallel()
	files := map[string][]source{}
	for _, src := range sources(t) {
		if !src.test {
			files[src.pkg] = append(files[src.pkg], src)
		}
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", exportData(t, public()))
	for _, pkg := range public() {
		var parsed []*ast.File
		for _, src := range files[pkg] {
			file, err := parser.ParseFile(fset, src.name, src.text, 0)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, file)
		}
		checked, err := (&types.Config{Importer: imports}).Check(module+"/"+pkg, fset, parsed, nil)
		if err != nil {
			t.Fatalf("%s: %v", pkg, err)
		}
		for _, leak := range leaks(checked) {
			t.Errorf("%s: %s", pkg, leak)
		}
	}
}

// TestExamples holds that each public package has an example that is run: a reader copies
// it, so it must be true.
func TestExamples(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	for _, src := range sources(t) {
		have[src.pkg] = have[src.pkg] || src.test && bytes.Contains(src.text, []byte("\nfunc Example"))
	}
	for _, pkg := range public() {
		if !have[pkg] {
			t.Errorf("package %s has no example", pkg)
		}
	}
}

// exportData finds what the compiler has noted of each package that these import.
func exportData(t *testing.T, pkgs []string) importer.Lookup {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}
	for _, pkg := range pkgs {
		args = append(args, "./"+pkg)
	}
	list := exec.CommandContext(t.Context(), "go", args...)
	// as the programs are built, so that each is compiled once
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	where := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, file, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			where[name] = file
		}
	}
	return func(name string) (io.ReadCloser, error) {
		file, ok := where[name]
		if !ok {
			return nil, fmt.Errorf("no export data of %s", name)
		}
		return os.Open(file)
	}
}

// leaks lists where a package's exported names say a type of an internal package.
func leaks(pkg *types.Package) []string {
	f := face{pkg: pkg, seen: map[types.Type]bool{}, found: map[string]bool{}}
	for _, name := range pkg.Scope().Names() {
		if obj := pkg.Scope().Lookup(name); obj.Exported() {
			f.object(obj)
		}
	}
	return slices.Sorted(maps.Keys(f.found))
}

// A face is what can be seen of a package from outside. seen guards against types
// that lead back to themselves.
type face struct {
	pkg   *types.Package
	seen  map[types.Type]bool
	found map[string]bool
}

func (f *face) object(obj types.Object) {
	name, ok := obj.(*types.TypeName)
	if !ok {
		f.look(obj.Name(), obj.Type())
		return
	}
	if alias, ok := obj.Type().(*types.Alias); ok {
		f.look(name.Name(), alias.Rhs())
		return
	}
	f.own(name.Name(), obj.Type().(*types.Named))
}

// own looks at what stands behind a type of the package itself: its form and methods.
func (f *face) own(at string, named *types.Named) {
	if f.seen[named] {
		return
	}
	f.seen[named] = true
	f.params(at, named.TypeParams())
	f.look(at, named.Underlying())
	for m := range named.Methods() {
		if m.Exported() {
			f.look(at+"."+m.Name(), m.Type())
		}
	}
}

func (f *face) params(at string, list *types.TypeParamList) {
	for p := range list.TypeParams() {
		f.look(at+"["+p.Obj().Name()+"]", p.Constraint())
	}
}

// named looks at the name of a type: it must not be an internal package's. One of
// this package that is not exported shows its methods and fields all the same.
func (f *face) named(at string, obj *types.TypeName) {
	pkg := obj.Pkg()
	if pkg != nil && strings.HasPrefix(pkg.Path(), module+"/") &&
		slices.Contains(strings.Split(pkg.Path(), "/"), "internal") {
		f.found[at+" says "+path.Base(pkg.Path())+"."+obj.Name()] = true
	}
}

func (f *face) look(at string, typ types.Type) {
	switch t := typ.(type) {
	case *types.Alias:
		f.named(at, t.Obj())
		if t.Obj().Pkg() == f.pkg {
			f.look(at, t.Rhs())
		}
	case *types.Named:
		f.named(at, t.Obj())
		for arg := range t.TypeArgs().Types() {
			f.look(at, arg)
		}
		if t.Obj().Pkg() == f.pkg && !t.Obj().Exported() {
			f.own(at, t.Origin())
		}
	case *types.Signature:
		f.params(at, t.TypeParams())
		f.look(at, t.Params())
		f.look(at, t.Results())
	case *types.Tuple:
		for v := range t.Variables() {
			f.look(at, v.Type())
		}
	case *types.Struct:
		for v := range t.Fields() {
			// What an embedded field brings is seen, whatever its own name.
			if v.Exported() || v.Embedded() {
				f.look(at+"."+v.Name(), v.Type())
			}
		}
	case *types.Interface:
		for m := range t.ExplicitMethods() {
			if m.Exported() {
				f.look(at+"."+m.Name(), m.Type())
			}
		}
		for e := range t.EmbeddedTypes() {
			f.look(at, e)
		}
	case *types.Union:
		for term := range t.Terms() {
			f.look(at, term.Type())
		}
	case *types.Map:
		f.look(at, t.Key())
		f.look(at, t.Elem())
	case interface{ Elem() types.Type }: // pointer, slice, array, channel
		f.look(at, t.Elem())
	}
}

// TestFaceNotices holds that each way to say an internal type is found.
func TestFaceNotices(t *testing.T) {
	t.Parallel()
	inner := types.NewPackage(module+"/internal/inner", "inner")
	inner.Scope().Insert(types.NewTypeName(token.NoPos, inner, "T", nil))
	types.NewNamed(inner.Scope().Lookup("T").(*types.TypeName), types.NewStruct(nil, nil), nil)
	inner.MarkComplete()
	for text, want := range map[string]int{
		"var V inner.T": 1, "var V = map[string][]*inner.T{}": 1, "func F(chan inner.T)": 1,
		"func F() (int, *inner.T) { return 0, nil }": 1, "type A = inner.T": 1,
		"type a = inner.T; var V a": 1, "type S struct { F [2]inner.T }": 1, "type S struct { *inner.T }": 1,
		"type S struct{}; func (S) M(func(inner.T)) {}": 1, "type I interface { M(inner.T) }": 1,
		"type I interface { inner.T }": 1, "type G[P inner.T] struct{}": 1,
		"type g[P any] struct { F P }; var V g[inner.T]":                1,
		"type s struct { F inner.T }; func F() s { return s{} }":        1,
		"type s struct{}; func (s) M() (x inner.T) { return }; var V s": 1, "type D inner.T": 0,
		"type S struct { f inner.T }": 0, "type S struct{}; func (S) m(inner.T) {}": 0, "var v inner.T": 0,
		"func f(inner.T) {}": 0, "type L struct { Next *L; f inner.T }": 0,
	} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "x.go", "package x; import \""+inner.Path()+"\"; var _ inner.T; "+
			text, 0)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		pkg, err := (&types.Config{Importer: one{inner}}).Check(module+"/x", fset, []*ast.File{file}, nil)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := leaks(pkg); len(got) != want {
			t.Errorf("%s: %d leaks %q, want %d", text, len(got), got, want)
		}
	}
}

// one imports one package.
type one struct{ pkg *types.Package }

func (o one) Import(string) (*types.Package, error) { return o.pkg, nil }
