package storagetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/stenolog/steno/storage"
)

// TestIndex is the suite of storage.Index.
func TestIndex(t *testing.T, s Store[storage.Index]) {
	t.Run("sessions", func(t *testing.T) { indexSessions(t, s) })
	t.Run("replace", func(t *testing.T) { indexReplace(t, s) })
	t.Run("entries", func(t *testing.T) { indexEntries(t, s) })
	t.Run("idempotent", func(t *testing.T) { indexIdempotent(t, s) })
	t.Run("atomic", func(t *testing.T) { indexAtomic(t, s) })
}

func apply(t testing.TB, x storage.Index, size uint64, batch storage.IndexBatch) {
	t.Helper()
	if err := x.Apply(t.Context(), size, batch); err != nil {
		t.Fatal(err)
	}
}

// corpus is a number of sessions that share agents, levels, states, references and times of opening.
func corpus() (storage.IndexBatch, map[string][]string) {
	var batch storage.IndexBatch
	refs := make(map[string][]string) // session → "system id"
	for i := range 60 {
		row := storage.SessionRow{
			Session: fmt.Sprintf("session-%02d", (i*37)%60), Agent: fmt.Sprint("agent-", i%3), Privilege: fmt.Sprint("level-", i%4),
			Tenant: "t", Environment: "e", Principal: "p", State: []string{"open", "complete"}[i%2],
			Opened: int64(1000 + i/4*10), Closed: int64(i), OpenIndex: uint64(i), Number: uint64(i + 1), Events: uint64(2 * i), Managed: i%5 == 0,
		}
		batch.Sessions = append(batch.Sessions, row)
		for _, ref := range []storage.RefRow{
			{Session: row.Session, System: "jira", Type: "ticket", ID: fmt.Sprint("T-", i%7), Index: uint64(i)},
			{Session: row.Session, System: "jira", Type: "incident", ID: fmt.Sprint("T-", i%7), Index: uint64(i)},
			{Session: row.Session, System: "ledger", Type: "journal", ID: fmt.Sprint("T-", i%5), Index: uint64(i)},
		} {
			batch.Refs = append(batch.Refs, ref)
			refs[row.Session] = append(refs[row.Session], ref.System+" "+ref.ID)
		}
	}
	return batch, refs
}

func indexSessions(t *testing.T, s Store[storage.Index]) {
	in := s.start(t)
	batch, refs := corpus()
	apply(t, in.v, 60, batch)
	in.reopen(t)
	for _, agent := range []string{"", "agent-1", "nobody"} {
		for _, privilege := range []string{"", "level-2"} {
			for _, state := range []string{"", "open"} {
				for _, ref := range [][2]string{{}, {"jira", "T-3"}, {"ledger", "T-3"}, {"", "T-3"}, {"", "T-99"}} {
					for _, window := range [][2]int64{{}, {1030, 0}, {0, 1090}, {1030, 1090}} {
						q := storage.SessionQuery{Agent: agent, Privilege: privilege, State: state, RefSystem: ref[0], RefID: ref[1],
							From: window[0], To: window[1]}
						checkQuery(t, in.v, q, batch.Sessions, refs)
					}
				}
			}
		}
	}
	for _, q := range []storage.SessionQuery{{}, {Limit: 1001}, {Limit: -1}, {Limit: 1, Cursor: "x"}, {Limit: 1, Cursor: "01 a"},
		{Limit: 1, RefSystem: "jira"}} {
		if _, _, err := in.v.Sessions(t.Context(), q); err == nil {
			t.Errorf("query %+v was answered", q)
		}
	}
}

// checkQuery walks all pages, in several page sizes, and compares with what a look at every row gives.
func checkQuery(t *testing.T, x storage.Index, q storage.SessionQuery, all []storage.SessionRow, refs map[string][]string) {
	t.Helper()
	var want []storage.SessionRow
	for _, r := range all {
		ref := q.RefID == "" || slices.ContainsFunc(refs[r.Session], func(s string) bool {
			return s == q.RefSystem+" "+q.RefID || q.RefSystem == "" && (s == "jira "+q.RefID || s == "ledger "+q.RefID)
		})
		if ref && (q.Agent == "" || q.Agent == r.Agent) && (q.Privilege == "" || q.Privilege == r.Privilege) &&
			(q.State == "" || q.State == r.State) && r.Opened >= q.From && (q.To == 0 || r.Opened < q.To) {
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b storage.SessionRow) int {
		return cmp.Or(cmp.Compare(b.Opened, a.Opened), cmp.Compare(b.Session, a.Session))
	})
	for _, q.Limit = range []int{1, 7, 1000} {
		var got []storage.SessionRow
		for q.Cursor = ""; ; {
			rows, next, err := x.Sessions(t.Context(), q)
			if err != nil {
				t.Fatalf("query %+v: %v", q, err)
			}
			got = append(got, rows...)
			if q.Cursor = next; next == "" {
				break
			}
			if len(rows) != q.Limit || len(got) > len(want) {
				t.Fatalf("query %+v: page of %d rows, %d in all, and a cursor", q, len(rows), len(got))
			}
		}
		if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("query %+v: %d rows\n%v\nwant %d\n%v", q, len(got), got, len(want), want)
		}
	}
}

func indexReplace(t *testing.T, s Store[storage.Index]) {
	in := s.start(t)
	row := storage.SessionRow{Session: "s", Agent: "a", Privilege: "p", State: "open", Opened: 5, Number: 1}
	apply(t, in.v, 1, storage.IndexBatch{Sessions: []storage.SessionRow{row}})
	if _, err := in.v.Session(t.Context(), "nobody"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an unknown session: %v, want ErrNotFound", err)
	}
	for size, change := range []func(*storage.SessionRow){
		func(r *storage.SessionRow) { r.Events, r.Closed, r.Managed = 7, 9, true },
		func(r *storage.SessionRow) { r.State = "complete" },
		func(r *storage.SessionRow) { r.Agent, r.Opened = "b", 6 },
	} {
		old := row
		change(&row)
		apply(t, in.v, uint64(size+2), storage.IndexBatch{Sessions: []storage.SessionRow{row}})
		if got, err := in.v.Session(t.Context(), "s"); err != nil || got != row {
			t.Errorf("session is %+v, %v; want %+v", got, err, row)
		}
		checkQuery(t, in.v, storage.SessionQuery{Agent: row.Agent, State: row.State}, []storage.SessionRow{row}, nil)
		if old.State != row.State || old.Agent != row.Agent {
			checkQuery(t, in.v, storage.SessionQuery{Agent: old.Agent, State: old.State}, nil, nil)
		}
	}
}

func entryRow(index uint64, session, track string, seq, count uint64) storage.EntryRow {
	return storage.EntryRow{Index: index, Session: session, Track: track, Seq: seq, Count: count, Received: int64(index) * 10}
}

func indexEntries(t *testing.T, s Store[storage.Index]) {
	in := s.start(t)
	rows := []storage.EntryRow{
		entryRow(0, "s", "a", 0, 4), entryRow(1, "other", "a", 0, 100), entryRow(2, "s", "b", 0, 1), entryRow(3, "s", "a", 4, 1),
		entryRow(4, "s", "a", 5, 90), entryRow(5, "s", "a", 5, 90), // the same again: the lowest index counts
		entryRow(6, "system", "log", 0, 1), entryRow(7, "s", "a", 95, 3), entryRow(8, "system", "log", 1, 1),
	}
	apply(t, in.v, 5, storage.IndexBatch{Entries: rows[:5]})
	in.reopen(t) // nothing may depend on what an earlier process had in memory
	apply(t, in.v, 9, storage.IndexBatch{Entries: rows[5:], Mentions: []storage.MentionRow{{Session: "s", Index: 8}, {Session: "s", Index: 6}, {Session: "other", Index: 6}}})
	mine := []storage.EntryRow{rows[0], rows[2], rows[3], rows[4], rows[5], rows[7]}
	for from, want := range map[uint64][]storage.EntryRow{0: mine, 1: mine[1:], 4: mine[3:], 8: nil, 1<<64 - 1: nil} {
		got, err := in.v.Entries(t.Context(), "s", from, 100)
		if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("entries from %d: %v, %v; want %v", from, got, err, want)
		}
	}
	if got, err := in.v.Entries(t.Context(), "s", 0, 2); err != nil || !reflect.DeepEqual(got, mine[:2]) {
		t.Errorf("two entries: %v, %v; want %v", got, err, mine[:2])
	}
	if got, err := in.v.Entries(t.Context(), "nobody", 0, 2); err != nil || len(got) != 0 {
		t.Errorf("entries of an unknown session: %v, %v", got, err)
	}
	for seq, want := range map[uint64]uint64{0: 0, 3: 0, 4: 3, 5: 4, 94: 4, 95: 7, 97: 7} {
		if got, err := in.v.EntryAt(t.Context(), "s", "a", seq); err != nil || got != rows[want] {
			t.Errorf("entry with event %d: %v, %v; want index %d", seq, got, err, want)
		}
	}
	for _, seq := range []uint64{98, 1<<64 - 1} {
		if got, err := in.v.EntryAt(t.Context(), "s", "a", seq); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("entry with event %d: %v, %v; want ErrNotFound", seq, got, err)
		}
	}
	if got, err := in.v.Mentions(t.Context(), "s"); err != nil || !reflect.DeepEqual(got, []storage.EntryRow{rows[6], rows[8]}) {
		t.Errorf("mentions: %v, %v", got, err)
	}
}

func indexIdempotent(t *testing.T, s Store[storage.Index]) {
	in := s.start(t)
	batch, refs := corpus()
	for i := range 2000 { // more than a batch of rows in one statement
		batch.Entries = append(batch.Entries, entryRow(uint64(i), fmt.Sprintf("session-%02d", i%60), "a", uint64(i/60), 1))
		batch.Mentions = append(batch.Mentions, storage.MentionRow{Session: "session-01", Index: uint64(i)})
	}
	for range 2 {
		for range 2 {
			apply(t, in.v, 2000, batch)
			checkSize(t, in.v, 2000)
			checkQuery(t, in.v, storage.SessionQuery{RefID: "T-1"}, batch.Sessions, refs)
			if got, err := in.v.Entries(t.Context(), "session-07", 0, 1000); err != nil || len(got) != 34 {
				t.Errorf("%d entries, %v; want 34", len(got), err)
			}
			if got, err := in.v.Mentions(t.Context(), "session-01"); err != nil || len(got) != 2000 {
				t.Errorf("%d mentions, %v; want 2000", len(got), err)
			}
		}
		if err := in.v.Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
		checkSize(t, in.v, 0)
		checkQuery(t, in.v, storage.SessionQuery{}, nil, nil)
		if got, err := in.v.Entries(t.Context(), "session-07", 0, 1000); err != nil || len(got) != 0 {
			t.Errorf("%d entries after a drop, %v", len(got), err)
		}
	}
}

func indexAtomic(t *testing.T, s Store[storage.Index]) {
	in := s.start(t)
	apply(t, in.v, 5, storage.IndexBatch{})
	row := storage.SessionRow{Session: "s", Opened: 1}
	good := storage.IndexBatch{Sessions: []storage.SessionRow{row}, Entries: []storage.EntryRow{entryRow(4, "s", "a", 0, 1)}}
	if err := in.v.Apply(t.Context(), 4, good); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("applying a smaller size: %v, want ErrConflict", err)
	}
	for _, bad := range []storage.EntryRow{entryRow(5, "s", "a", 1, 0), entryRow(1<<63, "s", "a", 1, 1), entryRow(5, "s", "a", 1<<63, 1)} {
		batch := good
		batch.Entries = append(slices.Clone(good.Entries), bad)
		if err := in.v.Apply(t.Context(), 6, batch); err == nil {
			t.Errorf("entry %+v was taken", bad)
		}
	}
	checkSize(t, in.v, 5)
	checkQuery(t, in.v, storage.SessionQuery{}, nil, nil)
	// What a failed batch made up in memory must not be believed.
	apply(t, in.v, 6, good)
	if got, err := in.v.Entries(t.Context(), "s", 0, 10); err != nil || len(got) != 1 {
		t.Errorf("entries: %v, %v", got, err)
	}
}

// BenchmarkIndex measures Apply in batches of 1,000 entries of 50 sessions at a time.
func BenchmarkIndex(b *testing.B, s Store[storage.Index]) {
	in := s.start(b)
	size, seqs := uint64(0), make(map[string]uint64)
	for b.Loop() {
		var batch storage.IndexBatch
		for i := range uint64(1000) {
			session := fmt.Sprintf("0198c7d2-0000-7000-8000-%012d", size/20_000*50+i%50)
			batch.Entries = append(batch.Entries, entryRow(size+i, session, "gateway-1", seqs[session], 8))
			seqs[session] += 8
			if i < 50 {
				batch.Sessions = append(batch.Sessions, storage.SessionRow{Session: session, Agent: fmt.Sprint("agent-", i), Privilege: "write",
					State: "open", Opened: int64(size / 20_000), Events: seqs[session]})
			}
		}
		size += 1000
		if err := in.v.Apply(context.Background(), size, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size)/b.Elapsed().Seconds(), "rows/s")
}
