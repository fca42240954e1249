package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
)

const defaultEnrolmentDays = 365

type enrolFlags struct {
	enroller, key, origin, holder, out string
	agents                             []string
	from, until                        string
}

func newEnrol() *cobra.Command {
	var f enrolFlags
	cmd := &cobra.Command{
		Use:   "enrol --enroller FILE --key VKEY --origin ORIGIN --holder agent|gateway|operator --agent ID… -o FILE",
		Short: "Sign an enrolment: whose a recorder's key is, and which agents it may record",
		Long: `Sign an enrolment with an enroller's key. It binds a recorder's key to agents, for one log and a window of time;
the recorder shows it when it opens a session. Do this where the enroller's key is: not on the log's machine.`,
		Args: none(),
		RunE: func(cmd *cobra.Command, _ []string) error { return enrol(f, time.Now()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.enroller, "enroller", "", "file of the enroller's key")
	flags.StringVar(&f.key, "key", "", "the recorder's verifier key, as key generate printed it")
	flags.StringVar(&f.origin, "origin", "", "the log's origin")
	flags.StringVar(&f.holder, "holder", "", "who holds the recorder's key: agent, gateway or operator")
	flags.StringSliceVar(&f.agents, "agent", nil, "an agent that may be recorded; * for any, not with --holder agent")
	flags.StringVar(&f.from, "from", "", "RFC 3339 time or date from which it is valid (now)")
	flags.StringVar(&f.until, "until", "", fmt.Sprintf("time until which it is valid (%d days from then)", defaultEnrolmentDays))
	flags.StringVarP(&f.out, "out", "o", "", "file of the enrolment; it must not exist")
	return cmd
}

func enrol(f enrolFlags, now time.Time) error {
	if f.enroller == "" || f.key == "" || f.origin == "" || f.holder == "" || len(f.agents) == 0 || f.out == "" {
		return usage("--enroller, --key, --origin, --holder, --agent and -o are needed")
	}
	from, err := timeOr(f.from, now)
	if err != nil {
		return usage("--from: %w", err)
	}
	until, err := timeOr(f.until, from.AddDate(0, 0, defaultEnrolmentDays))
	if err != nil {
		return usage("--until: %w", err)
	}
	enroller, err := readSigner(f.enroller)
	if err != nil {
		return err
	}
	agents := slices.Compact(slices.Sorted(slices.Values(f.agents)))
	signed, err := signEnrolment(enroller, entry.Enrolment{
		Origin: f.origin, RecorderKey: f.key, Holder: entry.Holder(f.holder), Agents: agents,
		From: entry.TimeOf(from), Until: entry.TimeOf(until),
	})
	if err != nil {
		return err
	}
	return createSecret(f.out, signed)
}

// signEnrolment refuses, as bad usage, what could not be an enrolment.
func signEnrolment(enroller note.Signer, e entry.Enrolment) ([]byte, error) {
	signed, err := entry.SignEnrolment(e, enroller)
	var bad *entry.Error
	if errors.As(err, &bad) {
		return nil, &exitError{code: exitUsage, err: err}
	}
	return signed, err
}

// timeOr reads a time or date, or gives another where there is none.
func timeOr(s string, otherwise time.Time) (time.Time, error) {
	if s == "" {
		return otherwise.UTC(), nil
	}
	layout := time.RFC3339
	if !strings.Contains(s, "T") {
		layout = time.DateOnly
	}
	t, err := time.Parse(layout, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a date such as 2026-11-24 nor a time such as 2026-11-24T12:00:00Z", s)
	}
	return t.UTC(), nil
}
