package witnessd

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/witness"
)

// openState opens the state for this process alone.
func openState(cfg Config) (*witness.Store, error) {
	s, err := witness.OpenStore(cfg.Dir, cfg.Published)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; way out: if %s never ran, steno-witness init makes its state", err, cfg.Name)
	}
	return s, err
}

// withStore opens the state for a command that changes it, which the running witness keeps to itself.
func withStore(cfg Config, run func(*witness.Store) error) (err error) {
	s, err := openState(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return run(s)
}

// whileRunning adds to the error of a command that needs the state for itself what to do.
func whileRunning(err error, wayOut string) error {
	if errors.Is(err, witness.ErrLocked) {
		return fmt.Errorf("the witness is running: %w; way out: %s", err, wayOut)
	}
	return err
}

func logCommand() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the logs that the witness knows, their sizes and keys", Args: cobra.NoArgs,
		Long: "Lists the logs with the size of the latest checkpoint that the witness promised, the witness running or not.",
	}
	withConfig(list, func(c *cobra.Command, cfg Config, _ []string) (err error) {
		r, err := witness.OpenReader(cfg.Dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		logs, err := r.Logs(c.Context())
		if err != nil {
			return err
		}
		for _, l := range logs {
			size := fmt.Sprintf("size %d", l.Size)
			if l.Note == nil {
				size = "never cosigned"
			}
			say(c.OutOrStdout(), "%s %s", l.Origin, size)
			for _, k := range l.Keys {
				word := "key"
				if k.Retired {
					word = "retired"
				}
				say(c.OutOrStdout(), "  %s %s", word, k.Vkey)
			}
		}
		return nil
	})
	return group("log", "Add and list logs", logAddCommand(), list, logKeyCommand())
}

func logAddCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "add VKEY…", Short: "Make the witness know a log by its keys", Args: cobra.MinimumNArgs(1),
		Long: `Makes the witness know a log, from size 0, by the verifier keys that are given, all of one log. With a list of logs in the
configuration the keys are written to the list, which a running witness reads on SIGHUP (systemctl reload steno-witness).
Without one, the witness must not be running. No log is ever removed.`,
	}
	url := c.Flags().String("url", "", "where the log is, for people who read the list")
	return withConfig(c, func(c *cobra.Command, cfg Config, vkeys []string) error {
		if cfg.Logs == "" && *url != "" {
			return errors.New("--url is for the list of logs, and the configuration has none; way out: set logs")
		}
		origin, err := originOf(vkeys)
		if err != nil {
			return err
		}
		var lines string
		if cfg.Logs != "" {
			if lines, err = newLines(cfg.Logs, vkeys, *url); err != nil {
				return fmt.Errorf("adding to the list: %w", err)
			}
		}
		err = withStore(cfg, func(s *witness.Store) error { return s.AddLog(c.Context(), vkeys) })
		running := errors.Is(err, witness.ErrLocked)
		if err != nil && (!running || cfg.Logs == "") {
			return whileRunning(err, "set logs in the configuration to a file; or end the witness first")
		}
		if err := appendList(cfg.Logs, lines); err != nil {
			return fmt.Errorf("adding to the list: %w; way out: add to %s: %s", err, cfg.Logs, strings.TrimSpace(lines))
		}
		if running {
			say(c.OutOrStdout(), "listed %s; the witness is running, and reads the list on SIGHUP", origin)
		} else {
			say(c.OutOrStdout(), "added %s", origin)
		}
		return nil
	})
}

func logKeyCommand() *cobra.Command {
	add := &cobra.Command{Use: "add VKEY…", Short: "Add keys of a log that is known already: as log add, for a log that rotates its keys", Args: cobra.MinimumNArgs(1)}
	withConfig(add, func(c *cobra.Command, cfg Config, vkeys []string) error {
		origin, err := originOf(vkeys)
		if err != nil {
			return err
		}
		err = withStore(cfg, func(s *witness.Store) error {
			logs, err := s.Logs(c.Context())
			if err != nil {
				return err
			}
			for _, l := range logs {
				if l.Origin == origin {
					return s.AddLog(c.Context(), vkeys)
				}
			}
			return fmt.Errorf("the witness does not know the log %s; way out: log add", origin)
		})
		if err != nil {
			return whileRunning(err, "log add, with a list of logs in the configuration; or end the witness first")
		}
		say(c.OutOrStdout(), "added to %s", origin)
		return nil
	})
	retire := &cobra.Command{
		Use: "retire VKEY", Short: "Ignore a key of a log from now on, for good", Args: cobra.ExactArgs(1),
		Long: "Makes the witness ignore a key of a log, lost or replaced. The log and its size stay. It can't be undone, and the list of\nlogs does not bring it back.",
	}
	withConfig(retire, func(c *cobra.Command, cfg Config, args []string) error {
		err := withStore(cfg, func(s *witness.Store) error { return s.RetireKey(c.Context(), args[0]) })
		if err != nil {
			return whileRunning(err, "end the witness first, and start it after")
		}
		say(c.OutOrStdout(), "retired %s", args[0])
		return nil
	})
	return group("key", "Rotate the keys of a log", add, retire)
}

func clockCommand() *cobra.Command {
	show := &cobra.Command{Use: "show", Short: "Print the time now, and the latest that the witness noted", Args: cobra.NoArgs}
	withConfig(show, func(c *cobra.Command, cfg Config, _ []string) (err error) {
		r, err := witness.OpenReader(cfg.Dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		noted, err := r.Noted(c.Context())
		if err != nil {
			return err
		}
		word := "never"
		if !noted.IsZero() {
			word = noted.UTC().Format(time.RFC3339)
		}
		say(c.OutOrStdout(), "now   %s", time.Now().UTC().Format(time.RFC3339))
		say(c.OutOrStdout(), "noted %s", word)
		return nil
	})
	accept := &cobra.Command{
		Use: "accept", Short: "Take the machine's clock as right, after it was set", Args: cobra.NoArgs,
		Long: `Tells the witness, which must not be running, that the machine's clock is right now. It is for a clock that was wrong and
has been set: look at the time first. Cosignatures may then bear earlier times than those before.`,
	}
	withConfig(accept, func(c *cobra.Command, cfg Config, _ []string) error {
		now := time.Now()
		err := withStore(cfg, func(s *witness.Store) error { return s.AcceptClock(c.Context(), now) })
		if err != nil {
			return whileRunning(err, "end the witness first, and start it after")
		}
		say(c.OutOrStdout(), "from now on it is %s", now.UTC().Format(time.RFC3339))
		return nil
	})
	return group("clock", "Look at the witness's time, and reset it", show, accept)
}
