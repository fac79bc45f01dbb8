package jobstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// A Walk goes over the jobs that a filter lets through, oldest first within each type, and can go on in
// another process from what Cursor says.
type Walk struct {
	store  *Store
	filter job.Filter
	before int64 // ms: what entered later isn't of it
	lists  []walkList

	list int // of lists, that it is in
	at   listEntry
	in   bool // at is an entry of that list
}

// A walkList is one index: a set of a rare state, or the stream of a family.
type walkList struct {
	part   int
	name   string // without the partition's base
	stream bool
}

// ErrBadWalk says that a walk can't go on from a text.
var ErrBadWalk = errors.New("no cursor of a walk")

// Walk begins a walk, or goes on with one from its Cursor; "" = from its begin.
func (s *Store) Walk(ctx context.Context, f job.Filter, cursor string) (*Walk, error) {
	families, err := s.families(ctx, ViewOf(f).Tenant, f.Type)
	if err != nil {
		return nil, fmt.Errorf("walk over jobs: %w", err)
	}
	w := &Walk{store: s, filter: f, before: f.Until.UnixMilli()}
	for part, list := range families {
		for _, family := range list {
			if !byEntry(f) {
				w.lists = append(w.lists, walkList{part, "all:" + family, true})
				continue
			}
			for _, letter := range lettersOf(f) {
				w.lists = append(w.lists, walkList{part, "st:" + letter + ":" + family, false})
			}
		}
	}
	slices.SortFunc(w.lists, func(a, b walkList) int { return strings.Compare(a.text(), b.text()) })
	return w, w.goOn(cursor)
}

func (l walkList) text() string { return fmt.Sprintf("%02d%s", l.part, l.name) }

// Cursor is where the walk is: what it has told before needn't be told again.
func (w *Walk) Cursor() string {
	if w.list >= len(w.lists) {
		return "end"
	}
	said := hex.EncodeToString([]byte(w.lists[w.list].text()))
	if w.in {
		said += " " + strconv.FormatInt(w.at.at, 10) + " " + hex.EncodeToString([]byte(w.at.tie))
	}
	return said
}

func (w *Walk) goOn(cursor string) error {
	if cursor == "" {
		return nil
	}
	if cursor == "end" {
		w.list = len(w.lists)
		return nil
	}
	parts := strings.Split(cursor, " ")
	list, err := hex.DecodeString(parts[0])
	if err != nil || len(parts) != 1 && len(parts) != 3 {
		return ErrBadWalk
	}
	i, found := slices.BinarySearchFunc(w.lists, string(list),
		func(l walkList, text string) int { return strings.Compare(l.text(), text) })
	w.list = i // a list that is gone was emptied
	if len(parts) == 3 && found {
		tie, err := hex.DecodeString(parts[2])
		if err != nil || len(tie) < 2 {
			return ErrBadWalk
		}
		w.at, w.in = listEntry{at: integer(parts[1]), tie: string(tie)}, true
	}
	return nil
}

// Next looks at up to n entries and returns the jobs among them that the filter lets through; scanned is how
// many it has looked at, 0 = the walk is over.
func (w *Walk) Next(ctx context.Context, n int) (ids []job.ID, scanned int, err error) {
	for w.list < len(w.lists) {
		entries, err := w.page(ctx, n)
		if err != nil {
			return nil, 0, fmt.Errorf("walk over jobs: %w", err)
		}
		if len(entries) == 0 {
			w.list, w.in = w.list+1, false
			continue
		}
		w.at, w.in = entries[len(entries)-1], true
		lets, err := w.store.sift(ctx, entries, w.filter)
		if err != nil {
			return nil, 0, err
		}
		for i, e := range entries {
			if lets[i] {
				ids = append(ids, e.id)
			}
		}
		return ids, len(entries), nil
	}
	return nil, 0, nil
}

// page reads what comes next in the walk's list.
func (w *Walk) page(ctx context.Context, n int) ([]listEntry, error) {
	l := w.lists[w.list]
	key := w.store.bases[l.part] + l.name
	if l.stream {
		_, from := createdBounds(w.filter)
		if w.in {
			from = "(" + streamID(w.at)
		}
		messages, err := w.store.rdb.XRangeN(ctx, key, from, strconv.FormatInt(w.before, 10), int64(n)).
			Result()
		var entries []listEntry
		for _, m := range messages {
			if e, ok := streamEntry(m, l.part); ok {
				entries = append(entries, e)
			}
		}
		return entries, err
	}
	_, from := entryBounds(w.filter)
	if w.in {
		from = strconv.FormatInt(w.at.at, 10)
	}
	for offset := int64(0); ; offset += int64(n) {
		page, err := w.store.rdb.ZRangeByScoreWithScores(ctx, key, &redis.ZRangeBy{Min: from,
			Max: strconv.FormatInt(w.before, 10), Offset: offset, Count: int64(n)}).Result()
		if err != nil || len(page) == 0 {
			return nil, err
		}
		var entries []listEntry
		for _, z := range page {
			raw, _ := z.Member.(string)
			e := listEntry{job.FromRaw(raw), int64(z.Score), l.part, raw}
			if len(raw) == 16 && (!w.in || e.at > w.at.at || e.at == w.at.at && e.tie > w.at.tie) {
				entries = append(entries, e)
			}
		}
		if len(entries) > 0 || len(page) < n {
			return entries, nil
		}
	}
}

// CountMatching counts the jobs that a filter lets through, by type: where an index or a counter knows it all
// of them; else those among the first most records.
func (s *Store) CountMatching(ctx context.Context, f job.Filter,
	most int) (byType map[string]int64, exact bool, err error) {
	rest := f
	rest.Retried, rest.Since, rest.Until = "", time.Time{}, time.Time{} // which the index knows
	if byEntry(f) && !rest.Narrow() && f.Subject == "" {
		byType, err = s.countRare(ctx, f)
		return byType, true, err
	}
	w, err := s.Walk(ctx, f, "")
	if err != nil {
		return nil, false, err
	}
	byType = map[string]int64{}
	for looked := 0; looked < most; {
		ids, scanned, err := w.Next(ctx, scanChunk)
		if err != nil || scanned == 0 {
			return byType, err == nil, err
		}
		looked += scanned
		if len(ids) == 0 {
			continue
		}
		kind, err := s.kindOf(ctx, ids[0])
		if err != nil {
			return nil, false, err
		}
		byType[kind] += int64(len(ids)) // a page is of one list, which is of one type
	}
	return byType, false, nil
}

// kindOf is a job's type; "" of one that is gone or damaged.
func (s *Store) kindOf(ctx context.Context, id job.ID) (string, error) {
	cores, err := s.cores(ctx, []job.ID{id})
	if err != nil {
		return "", err
	}
	r, err := parseRecord(cores[0].text)
	if err != nil {
		return "", nil
	}
	h, _, err := s.readableHead(ctx, id, &r)
	return h.kind, err
}

// countRare counts jobs of a rare state by its indexes.
func (s *Store) countRare(ctx context.Context, f job.Filter) (map[string]int64, error) {
	families, err := s.families(ctx, ViewOf(f).Tenant, f.Type)
	if err != nil {
		return nil, err
	}
	heads, err := s.familyHeads(ctx)
	if err != nil {
		return nil, err
	}
	top, bottom := entryBounds(f)
	pipe := s.rdb.Pipeline()
	counts := map[*redis.IntCmd]string{}
	for part, list := range families {
		for _, family := range list {
			for _, letter := range lettersOf(f) {
				counts[pipe.ZCount(ctx, s.bases[part]+"st:"+letter+":"+family, bottom, top)] = heads[family].kind
			}
		}
	}
	if len(counts) == 0 {
		return map[string]int64{}, nil
	}
	if _, err := pipe.Exec(ctx); failed(err) {
		return nil, err
	}
	byType := map[string]int64{}
	for cmd, name := range counts {
		byType[name] += cmd.Val()
	}
	maps.DeleteFunc(byType, func(_ string, n int64) bool { return n == 0 })
	return byType, nil
}
