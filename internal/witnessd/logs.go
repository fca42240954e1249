package witnessd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/witness"
)

// readList reads the list of logs. One that is not there yet is empty: the state knows what it held.
// Who can write to it can add a key of their own to a log, and lead the witness away from what that log signs.
func readList(path string) ([]witness.ListedLog, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s can be written by others (mode %04o): chmod go-w it, and look at what it says", path, st.Mode().Perm())
	}
	return witness.ReadLogs(path)
}

// addListed adds what the list has and the state has not. A line that can't be taken is skipped, and named: it must not keep
// the witness from cosigning the other logs.
func addListed(ctx context.Context, s *witness.Store, path string, logger *slog.Logger) error {
	listed, err := readList(path)
	if err != nil {
		return err
	}
	known, err := knownKeys(ctx, s)
	if err != nil {
		return err
	}
	for _, l := range listed {
		for _, vkey := range l.Vkeys {
			retired, ok := known[vkey]
			switch {
			case retired:
				logger.Info("the list has a key that was retired", "origin", l.Origin, "vkey", vkey)
			case ok:
			default:
				if err := s.AddLog(ctx, []string{vkey}); err != nil {
					logger.Error("a listed key can't be added", "origin", l.Origin, "vkey", vkey, "error", err)
					continue
				}
				logger.Info("added a key of a log", "origin", l.Origin, "vkey", vkey)
			}
		}
	}
	return nil
}

// knownKeys are all keys of all logs, and whether they are retired.
func knownKeys(ctx context.Context, r interface {
	Logs(context.Context) ([]witness.LogInfo, error)
}) (map[string]bool, error) {
	logs, err := r.Logs(ctx)
	if err != nil {
		return nil, err
	}
	known := make(map[string]bool)
	for _, l := range logs {
		for _, k := range l.Keys {
			known[k.Vkey] = k.Retired
		}
	}
	return known, nil
}

// originOf is the log that keys are of.
func originOf(vkeys []string) (origin string, err error) {
	for i, vkey := range vkeys {
		v, err := checkpoint.NewVerifier(vkey)
		if err != nil {
			return "", fmt.Errorf("key %d: %w; way out: give the log's verifier key as its operator publishes it, NAME+KEYID+BASE64, quoted", i+1, err)
		}
		if a := v.Algorithm(); a != checkpoint.Ed25519 && a != checkpoint.CosignatureMLDSA44 {
			return "", fmt.Errorf("key %d is of %s, which is a witness's, not a log's", i+1, a)
		}
		if i > 0 && v.Name() != origin {
			return "", fmt.Errorf("keys of two logs, %s and %s; way out: one command for each", origin, v.Name())
		}
		origin = v.Name()
	}
	return origin, nil
}

// newLines are the lines that the list lacks of a log's keys.
func newLines(path string, vkeys []string, url string) (lines string, err error) {
	if strings.ContainsFunc(url, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("the URL has spaces, or characters beyond ASCII")
	}
	listed, err := readList(path)
	if err != nil {
		return "", err
	}
	have := make(map[string]string) // vkey by public key: a list has none twice
	for _, l := range listed {
		for _, vkey := range l.Vkeys {
			v, err := checkpoint.NewVerifier(vkey)
			if err != nil {
				return "", err
			}
			have[string(v.PublicKey())] = vkey
		}
	}
	for _, vkey := range vkeys {
		v, err := checkpoint.NewVerifier(vkey)
		if err != nil {
			return "", err
		}
		switch other, ok := have[string(v.PublicKey())]; {
		case !ok:
			lines += strings.TrimRight("log "+vkey+" "+url, " ") + "\n"
			have[string(v.PublicKey())] = vkey
		case other != vkey:
			return "", fmt.Errorf("the public key of %s is in %s as %s", vkey, path, other)
		}
	}
	return lines, nil
}

// appendList adds lines to the list, durably, in one write. The file stays the one it is: its owner is the operator's choice.
func appendList(path, lines string) error {
	if lines == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(lines)
	return errors.Join(err, f.Sync(), f.Close(), durable.SyncDir(filepath.Dir(path)))
}
