package witness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stenolog/steno/checkpoint"
)

// ErrRetired means that a key was retired. It never comes back; a log goes on with another.
var ErrRetired = errors.New("the key was retired")

// logKeys are the keys of a log.
type logKeys struct {
	trusted []*checkpoint.Verifier
	retired []*checkpoint.Verifier
}

// AddLog makes the witness know a log by its verifier keys, of types 0x01 and 0x06, whose name is the log's origin. A log
// begins at size 0; of one that is known, keys that are new are added, and nothing else changes. A log that published knows
// and state does not is refused: what the witness knew of it was lost.
func (s *Store) AddLog(ctx context.Context, vkeys []string) error {
	keys, err := logVerifiers(vkeys)
	if err != nil {
		return fmt.Errorf("adding a log: %w", err)
	}
	origin := keys[0].Name()
	err = s.state.w.do(ctx, func(ctx context.Context, w *writer) error { return s.addLog(ctx, w, origin, keys) })
	if err != nil {
		return fmt.Errorf("adding log %q: %w", origin, err)
	}
	// State comes first: what a crash leaves is a log that published does not know and that was never cosigned, which
	// opening puts right. The other way round it would look like a lost state.
	if err := s.publishLog(ctx, origin); err != nil {
		return fmt.Errorf("adding log %q: %w", origin, err)
	}
	return s.loadKeys(ctx)
}

// logVerifiers reads the keys of one log.
func logVerifiers(vkeys []string) ([]*checkpoint.Verifier, error) {
	if len(vkeys) == 0 {
		return nil, errors.New("no verifier key")
	}
	var keys []*checkpoint.Verifier
	for _, vkey := range vkeys {
		v, err := checkpoint.NewVerifier(vkey)
		if err != nil {
			return nil, err
		}
		if a := v.Algorithm(); a != checkpoint.Ed25519 && a != checkpoint.CosignatureMLDSA44 {
			return nil, fmt.Errorf("key %s is of type %s, which is not a log's", keyName(v), a)
		}
		// SPEC: tlog-policy: the name MUST correspond to the log's origin line.
		if len(keys) > 0 && v.Name() != keys[0].Name() {
			return nil, fmt.Errorf("keys of two logs: %q and %q", keys[0].Name(), v.Name())
		}
		keys = append(keys, v)
	}
	return keys, nil
}

func keyName(v *checkpoint.Verifier) string { return fmt.Sprintf("%s+%08x", v.Name(), v.KeyHash()) }

func (s *Store) addLog(ctx context.Context, w *writer, origin string, keys []*checkpoint.Verifier) error {
	switch _, err := w.loadLog(ctx, origin); {
	case errors.Is(err, errNoLog):
		known, err := s.publishedKnows(ctx, origin)
		if err != nil {
			return err
		}
		if known {
			return fmt.Errorf("%w: it was published, and state does not know it; bring back the newest copy of %s", ErrBehind, s.state.path)
		}
		if err := w.insertLog(ctx, newLogRow(origin)); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	for _, v := range keys {
		if _, err := w.run(ctx, "INSERT INTO key (vkey, origin, retired) VALUES (?, ?, 0) ON CONFLICT DO NOTHING", v.String(), origin); err != nil {
			return err
		}
		var retired bool
		if err := w.row(ctx, []any{&retired}, "SELECT retired FROM key WHERE vkey = ?", v.String()); err != nil {
			return err
		}
		if retired {
			return fmt.Errorf("key %s: %w", keyName(v), ErrRetired)
		}
	}
	return nil
}

func (s *Store) publishedKnows(ctx context.Context, origin string) (known bool, err error) {
	err = s.published.r.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM log WHERE origin = ?)", origin).Scan(&known)
	return known, err
}

// publishLog makes published know a log.
func (s *Store) publishLog(ctx context.Context, origin string) error {
	return s.published.w.do(ctx, func(ctx context.Context, w *writer) error {
		switch _, err := w.loadLog(ctx, origin); {
		case err == nil:
			return errNothing
		case !errors.Is(err, errNoLog):
			return err
		}
		return w.insertLog(ctx, newLogRow(origin))
	})
}

// RetireKey makes the witness ignore a key of a log from now on, as one that it never knew. The log stays.
func (s *Store) RetireKey(ctx context.Context, vkey string) error {
	err := s.state.w.do(ctx, func(ctx context.Context, w *writer) error {
		n, err := w.run(ctx, "UPDATE key SET retired = 1 WHERE vkey = ?", vkey)
		if err == nil && n == 0 {
			err = errors.New("the key is not known")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("retiring a key: %w", err)
	}
	return s.loadKeys(ctx)
}

// loadKeys brings what requests are judged by to what state says.
func (s *Store) loadKeys(ctx context.Context) error {
	s.reload.Lock()
	defer s.reload.Unlock()
	infos, err := s.Logs(ctx)
	if err != nil {
		return err
	}
	logs, hash := make(map[string]*logKeys), make(map[string]string)
	for _, info := range infos {
		l := &logKeys{}
		for _, k := range info.Keys {
			v, err := checkpoint.NewVerifier(k.Vkey)
			if err != nil {
				return fmt.Errorf("%w: log %q: %w", ErrCorrupt, info.Origin, err)
			}
			if k.Retired {
				l.retired = append(l.retired, v)
			} else {
				l.trusted = append(l.trusted, v)
			}
		}
		logs[info.Origin], hash[checkpoint.OriginHash(info.Origin)] = l, info.Origin
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs, s.hash = logs, hash
	return nil
}

// keys returns the keys of a log, nil if it is not known.
func (s *Store) keys(origin string) *logKeys {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.logs[origin]
}

// origin returns the log that a hash is of.
func (s *Store) origin(hash string) (string, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.hash[hash]
	return o, ok
}

func (s *Store) count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.logs)
}

// A LogInfo is what the witness knows of a log.
type LogInfo struct {
	Origin string
	Keys   []LogKey
	Size   uint64 // of the latest checkpoint that was promised, 0 if none was
	Root   [32]byte
	Note   []byte // that checkpoint with the log's signatures, nil if none was
}

// A LogKey is a verifier key of a log.
type LogKey struct {
	Vkey    string
	Retired bool
}

// Logs returns all logs, by origin.
func (r *Reader) Logs(ctx context.Context) ([]LogInfo, error) {
	d := &database{path: stateFile, r: r.db}
	rows, err := d.loadLogs(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading logs: %w", err)
	}
	keys, err := r.db.QueryContext(ctx, "SELECT origin, vkey, retired FROM key ORDER BY rowid")
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	defer keys.Close()
	byOrigin := make(map[string][]LogKey)
	for keys.Next() {
		var origin string
		var k LogKey
		if err := keys.Scan(&origin, &k.Vkey, &k.Retired); err != nil {
			return nil, fmt.Errorf("reading keys: %w", err)
		}
		byOrigin[origin] = append(byOrigin[origin], k)
	}
	if err := keys.Err(); err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	var out []LogInfo
	for origin, row := range rows {
		info := LogInfo{Origin: origin, Keys: byOrigin[origin], Size: row.size, Root: row.root}
		if row.cosigned() {
			info.Note = row.note
		}
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b LogInfo) int { return strings.Compare(a.Origin, b.Origin) })
	return out, nil
}
