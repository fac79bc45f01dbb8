package jq

// Fields finds top-level members of records. It is not safe for concurrent use.
type Fields struct {
	scanner *scanner
	b       []byte
	object  bool
}

// NewFields finds the members of these names. Without names it only checks.
func NewFields(names ...string) *Fields {
	paths := make([][]string, len(names))
	for i, name := range names {
		paths[i] = []string{name}
	}
	return &Fields{scanner: newScanner(paths)}
}

// Find checks the record b[start:end] as Machine.Match does and looks for the
// fields. Without an error they are valid until b changes.
func (f *Fields) Find(b []byte, start, end int) error {
	f.b = b
	f.object = b[skip(b, start)] == '{'
	return f.scanner.scan(b, start, end)
}

// IsObject reports whether the record is an object.
func (f *Fields) IsObject() bool { return f.object }

// Raw returns the JSON text of the i-th field, empty if it is absent. Of several
// members with one name it is the last one's.
func (f *Fields) Raw(i int) []byte {
	at := f.scanner.found[i]
	return f.b[at.start:at.end]
}

// Unknown returns the name of a member that was not asked for, as it stands in
// the text.
func (f *Fields) Unknown() (raw []byte, ok bool) {
	at := f.scanner.unknown
	return f.b[at.start:at.end], at.end > 0
}

// Names returns the names of a checked record's members in their order, each
// once; nil if it is no object. It stops behind the most-th one.
func Names(record []byte, most int) []string {
	d := decoder{b: record}
	d.skip()
	if d.b[d.i] != '{' {
		return nil
	}
	names, seen := []string{}, map[string]bool{}
	d.i++
	for d.skip(); d.b[d.i] != '}' && len(names) < most; d.skip() {
		if d.b[d.i] == ',' {
			d.i++
			d.skip()
		}
		name := d.str()
		if !seen[name] {
			names, seen[name] = append(names, name), true
		}
		d.skip()
		d.i++ // the colon
		d.skip()
		d.pass()
	}
	return names
}
