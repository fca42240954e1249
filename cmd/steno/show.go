package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/trust"
)

func newSessionShow() *cobra.Command {
	var identity string
	var asJSON, full, pending bool
	cmd := &cobra.Command{
		Use: "show SESSION", Short: "Tell what happened in a session, as far as it is proven", Args: exactly(1, "one session is needed"),
		Long: `Tell what happened in a session: its tracks merged by time, what was sealed if you hold a key to it, and what the log
said of it. Every entry shown was checked: proven in the log's tree, enrolled, signed, chained. That you read it is recorded.`,
	}
	dir := dirFlag(cmd)
	cmd.Flags().StringVar(&identity, "identity", "", "file of an age identity that opens what is sealed, such as vault.key")
	cmd.Flags().BoolVar(&pending, "pending", false, "do not wait for the witnesses: prove it by what only the log has signed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	cmd.Flags().BoolVar(&full, "full", false, "show what was opened at full length")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := sessionArg(args[0])
		if err != nil {
			return err
		}
		s, err := readStory(cmd.Context(), dirOr(*dir), id, identity, pending)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(cmd.OutOrStdout(), s)
		}
		return s.text(cmd.OutOrStdout(), full)
	}
	return cmd
}

// sessionArg reads a session from the command line, with or without the hash of its first entry.
func sessionArg(s string) (string, error) {
	ref, err := client.ParseSessionRef(s)
	if err != nil {
		return "", usage("%w", err)
	}
	return ref.Session, nil
}

func readStory(ctx context.Context, dir, id, identity string, pending bool) (story, error) {
	r, err := newReader(dir)
	if err != nil {
		return story{}, err
	}
	rec, err := readSession(ctx, r, id, pending)
	if err != nil {
		return story{}, err
	}
	s := story{Proven: evidence.CheckpointInfoOf(r.trust, rec.Checkpoint)}
	if s.Session, err = judge(r.trust, rec); err != nil {
		return story{}, err
	}
	if s.Steps, err = tell(id, leavesOf(rec)); err != nil {
		return story{}, err
	}
	if identity == "" {
		return s, nil
	}
	o, err := unlock(ctx, r, rec.Summary, identity)
	if err != nil {
		return story{}, err
	}
	blobs, err := fetchBlobs(ctx, r, rec.Summary)
	if err != nil {
		return story{}, err
	}
	o.Blob = blobs.blob
	for i := range s.Steps {
		for j := range s.Steps[i].Payloads {
			s.Steps[i].Payloads[j].open(ctx, o)
		}
	}
	return s, blobs.close()
}

func leavesOf(rec *client.SessionRecord) []leaf {
	var all []leaf
	for _, x := range rec.Recorded() {
		all = append(all, leaf{x.Index, x.Entry, x.Entry.Track == entry.SystemTrack})
	}
	return all
}

// judge draws the verdict as the verifier of evidence does.
func judge(t *trust.Trust, rec *client.SessionRecord) (evidence.SessionReport, error) {
	s := evidence.Keys{Trust: t, Witnessed: rec.Checkpoint.Witnessed}.Session(rec.Session)
	for _, x := range rec.Recorded() {
		if x.Entry.Track != entry.SystemTrack {
			s.Add(x.Index, x.Entry)
			continue
		}
		for i, ev := range x.Entry.Events {
			if evidence.Mentions(ev) != rec.Session {
				continue
			}
			if err := s.Say(x.Index, x.Entry, i); err != nil {
				return evidence.SessionReport{}, fmt.Errorf("log index %d: %w", x.Index, err)
			}
		}
	}
	report, findings := s.Judge()
	for _, f := range findings {
		if f.Outcome == evidence.Failed {
			return report, fmt.Errorf("session %s is not to be believed: %s", rec.Session, f)
		}
	}
	return report, nil
}

// open shows as much as the keys allow. What can't be opened is not an error of the session.
func (p *sealedPayload) open(ctx context.Context, o *client.Opener) {
	opened, err := o.Open(ctx, p.entry, p.event, p.Slot)
	if err != nil {
		p.Problem = err.Error()
		return
	}
	p.Segments = segmentsOf(opened.Shown)
}

// unlock opens a session's keys.
func unlock(ctx context.Context, r *reader, of *client.SessionSummary, identity string) (*client.Opener, error) {
	ids, err := readIdentities(identity)
	if err != nil {
		return nil, err
	}
	o, err := r.UnlockSession(ctx, of, ids...)
	if err != nil {
		return nil, hint(fmt.Errorf("opening what is sealed: %w", err), "is %s the identity that the session was sealed to?", identity)
	}
	return o, nil
}
