package storage

import "context"

// Heads is the view that admission needs: the state of every session and track, as opaque values under keys. It is held in
// memory by its user and written here now and then, so that a restart need not read the log from the start.
type Heads interface {
	View
	// Apply atomically stores puts, removes deletes, and sets Size. A smaller size than the present one is ErrConflict.
	Apply(ctx context.Context, size uint64, puts []Item, deletes []string) error
	// Get returns the value under key, or ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, error)
	// Load calls f with every item whose key has the prefix, ordered by key, until f returns an error, which it returns.
	Load(ctx context.Context, prefix string, f func(Item) error) error
}

// An Item is a value of at most 64 KiB under a key of at most 512 bytes.
type Item struct {
	Key   string
	Value []byte
}

// Index is the view that finds sessions and entries. It runs behind the log.
type Index interface {
	View
	// Apply atomically adds what entries from Size up to size say: rows of sessions replace those they know, rows of
	// entries and references are added. Applying the same rows again changes nothing. A smaller size than the present one
	// is ErrConflict. A reference's session must be known by then, or be in the same batch.
	Apply(ctx context.Context, size uint64, batch IndexBatch) error
	// Sessions returns at most q.Limit rows, newest first by (Opened, Session), and the cursor of the next page, "" at
	// the end. It walks an index: the cost is that of the rows returned, not of the rows stored.
	Sessions(ctx context.Context, q SessionQuery) (rows []SessionRow, next string, err error)
	// Session returns one row, or ErrNotFound.
	Session(ctx context.Context, session string) (SessionRow, error)
	// Entries returns rows of a session by log index, from the given log index on, at most limit.
	Entries(ctx context.Context, session string, from uint64, limit int) ([]EntryRow, error)
	// EntryAt returns the entry of lowest log index whose events include seq of that track, or ErrNotFound.
	EntryAt(ctx context.Context, session, track string, seq uint64) (EntryRow, error)
	// Mentions returns rows of entries that a system session wrote about the session (admitted, verdict, alert, …).
	Mentions(ctx context.Context, session string) ([]EntryRow, error)
}

// An IndexBatch is what a run of entries says.
type IndexBatch struct {
	Sessions []SessionRow
	Entries  []EntryRow
	Refs     []RefRow
	Mentions []MentionRow
}

// A SessionRow is what can be searched of a session. Times are microseconds since 1970 by the log's clock.
type SessionRow struct {
	Session     string
	Agent       string
	Privilege   string
	Tenant      string
	Environment string
	Principal   string // as authenticated when the session was opened
	State       string // open, complete, interrupted, abandoned, late
	Opened      int64
	Closed      int64 // 0 while open
	OpenIndex   uint64
	Number      uint64 // of this agent's sessions, from 1
	Events      uint64
	Managed     bool
}

// An EntryRow places an entry: Count events of a track from Seq on, at a log index.
type EntryRow struct {
	Index    uint64
	Session  string
	Track    string
	Seq      uint64
	Count    uint64
	Received int64
}

// A RefRow says that an entry of a session names something outside: a journal, a ticket, a trade.
type RefRow struct {
	Session, System, Type, ID string
	Index                     uint64
}

// A MentionRow says that the entry at Index, of a system session, speaks about Session.
type MentionRow struct {
	Session string
	Index   uint64
}

// A SessionQuery selects sessions; zero members do not restrict. From is inclusive and To exclusive, both on Opened. RefID
// alone finds references of any system; RefSystem alone is refused. With RefID the cost is that of the sessions that share
// the reference.
type SessionQuery struct {
	Agent, Privilege, State string
	RefSystem, RefID        string
	From, To                int64
	Cursor                  string
	Limit                   int // 1 to 1000
}
