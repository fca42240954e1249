package witnessd

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/witness"
)

// Init makes the state of a new witness. It refuses to touch what is there.
func Init(c Config) error {
	if err := CheckFiles(c); err != nil {
		return err
	}
	for _, dir := range []string{c.Dir, c.Published} {
		if err := durable.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	err := witness.Create(c.Dir, c.Published)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: a witness has one state in all its life; way out: a new witness has new keys and new directories", err)
	}
	return err
}

// CheckFiles reads every file that a configuration names but the state, and tells what is wrong with them.
func CheckFiles(c Config) error {
	if _, err := LoadKeys(c); err != nil {
		return err
	}
	if _, err := loadCertificates(c.Listen.TLS); err != nil {
		return fmt.Errorf("listen.%w", err)
	}
	if c.Logs != "" {
		if _, err := readList(c.Logs); err != nil {
			return fmt.Errorf("logs: %w", err)
		}
	}
	return nil
}
