package config

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Setting is one environment variable.
type Setting struct {
	Name     string
	Meaning  string
	Default  string   // in words; "" for none. Where programs differ: "4 (web), 6 (worker)"
	Programs []string // that read it: web, worker, enqueue, dev, cluster
}

// Table lists every setting of every program. docs/settings.md is tested against it.
func Table() []Setting {
	var table []Setting
	defaults := make(map[string][]string) // of each variable, program by program
	for _, p := range []struct {
		name   string
		target any
	}{
		{"web", defaultWeb()}, {"worker", defaultWorker()}, {"enqueue", defaultEnqueue()},
		{"dev", defaultDev()}, {"cluster", defaultCluster()},
	} {
		for f := range fields(reflect.ValueOf(p.target)) {
			name := f.tag.Get("env")
			i := slices.IndexFunc(table, func(s Setting) bool { return s.Name == name })
			if i < 0 {
				i = len(table)
				table = append(table, Setting{Name: name, Meaning: f.tag.Get("doc")})
			}
			table[i].Programs = append(table[i].Programs, p.name)
			defaults[name] = append(defaults[name], f.defaultText())
		}
	}
	for i, s := range table {
		table[i].Default = joinDefaults(s.Programs, defaults[s.Name])
	}
	return table
}

// joinDefaults names the program beside each default, unless all are equal.
func joinDefaults(programs, defaults []string) string {
	if len(slices.Compact(slices.Sorted(slices.Values(defaults)))) == 1 {
		return defaults[0]
	}
	var parts []string
	for i, d := range defaults {
		if d == "" {
			d = "none"
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", d, programs[i]))
	}
	return strings.Join(parts, ", ")
}

// A field is one setting in a struct of settings.
type field struct {
	value reflect.Value
	tag   reflect.StructTag
}

// fields yields the settings in a struct and in the structs within it.
func fields(v reflect.Value) iter.Seq[field] {
	return func(yield func(field) bool) { walk(v, yield) }
}

func walk(v reflect.Value, yield func(field) bool) bool {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.Tag.Get("env") != "":
			if !yield(field{v.Field(i), f.Tag}) {
				return false
			}
		case f.Type.Kind() == reflect.Struct:
			if !walk(v.Field(i), yield) {
				return false
			}
		}
	}
	return true
}

// defaultText says in words what a setting is when nobody sets it.
func (f field) defaultText() string {
	if shown := f.tag.Get("shown"); shown != "" {
		return shown
	}
	if s, ok := f.value.Interface().(Secret); ok {
		return s.Reveal() // a default is no secret
	}
	return show(f.value.Interface())
}

// show writes a value as it is written in a variable.
func show(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return showDuration(v)
	case Lanes:
		return strings.Join(v, ",")
	case Origins:
		return strings.Join(v, ",")
	case Queues:
		return strings.Join(v, ",")
	case Ports:
		return strings.Trim(strings.ReplaceAll(fmt.Sprint([]uint16(v)), " ", ","), "[]")
	case Allow:
		return strings.Join(v, ",")
	case Words:
		return strings.Join(v, ",")
	case Proxies, ScopeMap:
		return ""
	}
	return fmt.Sprint(value)
}

// showDuration leaves out the zeros of a round duration: 24h, not 24h0m0s.
func showDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
