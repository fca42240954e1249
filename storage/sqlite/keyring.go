package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/stenolog/steno/storage"
)

// MaxWrap is the greatest file of a wrap: an age file to a handful of recipients takes 1 to 4 KiB.
const MaxWrap = 64 << 10

// A tombstone is a row whose file is NULL: key and place stay, so that the key can't come back.
var keyringSchema = schema{
	app: 0x73746e4b, ver: 1, sync: "FULL", extra: "&_pragma=secure_delete(1)",
	create: `CREATE TABLE wraps (
		session TEXT NOT NULL,
		key     BLOB NOT NULL CHECK (length(key) = 32),
		track   TEXT NOT NULL,
		class   TEXT NOT NULL,
		file    BLOB, -- NULL once destroyed
		PRIMARY KEY (session, key)
	) STRICT, WITHOUT ROWID;
	CREATE TABLE scrub (id INTEGER PRIMARY KEY, filler BLOB) STRICT`,
}

// A Keyring is a file of its own. It implements storage.Keyring.
type Keyring struct{ d *db }

var _ storage.Keyring = (*Keyring)(nil)

// OpenKeyring opens a keyring. It never makes a file: one that is missing is storage.ErrNotFound, for a keyring that was
// lost makes content unreadable, and must not pass for an empty one.
func OpenKeyring(path string) (*Keyring, error) {
	d, err := keyringSchema.open(path, false)
	if err != nil {
		return nil, fmt.Errorf("opening keyring: %w", err)
	}
	return &Keyring{d}, nil
}

// CreateKeyring makes the file of a keyring and opens it; one that is there is opened as it is.
func CreateKeyring(path string) (*Keyring, error) {
	d, err := keyringSchema.open(path, true)
	if err != nil {
		return nil, fmt.Errorf("creating keyring: %w", err)
	}
	return &Keyring{d}, nil
}

// Close overwrites the write-ahead log, which SQLite then removes, and closes the file.
func (k *Keyring) Close() error {
	return errors.Join(k.scrub(context.Background()), k.d.close())
}

// Put implements storage.Keyring. The name of a wrap is its session and key.
func (k *Keyring) Put(ctx context.Context, w storage.Wrap) error {
	if len(w.File) == 0 || len(w.File) > MaxWrap {
		return fmt.Errorf("putting wrap of %s: file of %d bytes, want 1 to %d", w.Session, len(w.File), MaxWrap)
	}
	err := k.d.write(ctx, func(tx *sql.Tx) error {
		have := storage.Wrap{Session: w.Session, Key: w.Key}
		err := tx.QueryRowContext(ctx, "SELECT track, class, file FROM wraps WHERE session = ? AND key = ?", w.Session, w.Key[:]).
			Scan(&have.Track, &have.Class, &have.File)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			_, err := tx.ExecContext(ctx, "INSERT INTO wraps (session, key, track, class, file) VALUES (?, ?, ?, ?, ?)",
				w.Session, w.Key[:], w.Track, w.Class, w.File)
			return err
		case err != nil:
			return err
		case have.File == nil:
			return storage.ErrDestroyed
		case have.Track != w.Track || have.Class != w.Class || !bytes.Equal(have.File, w.File):
			return storage.ErrExists
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("putting wrap of %s, key %x: %w", w.Session, w.Key, classify(err))
	}
	return nil
}

// List implements storage.Keyring.
func (k *Keyring) List(ctx context.Context, session string) ([]storage.Wrap, error) {
	rows, err := k.d.r.QueryContext(ctx, `SELECT track, class, key, file FROM wraps
		WHERE session = ? AND file IS NOT NULL ORDER BY track, key`, session)
	if err != nil {
		return nil, fmt.Errorf("listing wraps of %s: %w", session, classify(err))
	}
	defer rows.Close()
	var out []storage.Wrap
	for rows.Next() {
		w := storage.Wrap{Session: session}
		var key []byte
		if err := rows.Scan(&w.Track, &w.Class, &key, &w.File); err != nil {
			return nil, fmt.Errorf("listing wraps of %s: %w", session, classify(err))
		}
		if len(key) != len(w.Key) {
			return nil, fmt.Errorf("listing wraps of %s: %w: key of %d bytes", session, ErrCorrupt, len(key))
		}
		w.Key = storage.Hash(key)
		out = append(out, w)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing wraps of %s: %w", session, classify(err))
	}
	return out, nil
}

// Destroy implements storage.Keyring. A key that was never put gets a tombstone too: a Put that comes late is refused.
func (k *Keyring) Destroy(ctx context.Context, session string, key storage.Hash) error {
	err := k.d.write(ctx, func(tx *sql.Tx) error {
		// secure_delete makes SQLite overwrite the bytes that the row no longer takes.
		_, err := tx.ExecContext(ctx, `INSERT INTO wraps (session, key, track, class, file) VALUES (?, ?, '', '', NULL)
			ON CONFLICT (session, key) DO UPDATE SET file = NULL`, session, key[:])
		return err
	})
	if err == nil {
		err = k.scrub(ctx)
	}
	if err != nil {
		return fmt.Errorf("destroying key %x of %s: %w", key, session, classify(err))
	}
	return nil
}

// scrub overwrites the write-ahead log, in which wraps still stand as they were put: all of it is copied into the
// database, then a filler as long as the log is written from the log's start, then it is truncated. It is repeated by the
// next Destroy if it fails half way.
func (k *Keyring) scrub(ctx context.Context) error {
	info, err := os.Stat(k.d.path + "-wal")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := k.checkpoint(ctx, "RESTART"); err != nil {
		return err
	}
	err = k.d.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO scrub (id, filler) VALUES (1, zeroblob(?))", info.Size()); err != nil {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := k.d.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM scrub")
		return err
	}); err != nil {
		return err
	}
	return k.checkpoint(ctx, "TRUNCATE")
}

func (k *Keyring) checkpoint(ctx context.Context, mode string) error {
	var busy, frames, done int
	if err := k.d.w.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &frames, &done); err != nil {
		return err
	}
	if busy != 0 {
		return errors.New("overwriting the write-ahead log: a reader is in the way")
	}
	return nil
}
