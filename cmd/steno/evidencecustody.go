package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/payload"
)

// readCustody completes what flags say of the hand-over, and refuses it if it can't stand in a custody record.
func (f *evidenceFlags) readCustody(now time.Time) error {
	c := &f.custody
	c.Made = now.UTC().Truncate(time.Second)
	if c.Exhibit == "" {
		c.Exhibit = "E-" + c.Made.Format("20060102T150405Z")
	}
	if c.Exporter == "" {
		u, err := user.Current()
		if err != nil {
			return hint(fmt.Errorf("finding out who makes the file: %w", err), "say it: --exporter 'NAME, FUNCTION'")
		}
		c.Exporter = u.Username
	}
	for _, arg := range f.withhold {
		class, reason, given := strings.Cut(arg, "=")
		if _, err := payload.ParseClass(class); err != nil {
			return usage("--withhold %q: the classes are %s", class, joinClasses())
		}
		if given && reason == "" {
			return usage("--withhold %s=: the reason is missing", class)
		}
		if slices.ContainsFunc(c.Withheld, func(w evidence.Withheld) bool { return w.Class == class }) {
			return usage("--withhold %s is given twice", class)
		}
		c.Withheld = append(c.Withheld, evidence.Withheld{Class: class, Reason: reason})
	}
	c.Withheld = sortWithheld(c.Withheld)
	if err := c.Check(); err != nil {
		return usage("%w", err)
	}
	return nil
}

func joinClasses() string {
	var names []string
	for _, c := range payload.Classes() {
		names = append(names, c.String())
	}
	return strings.Join(names, ", ")
}

func sortWithheld(all []evidence.Withheld) []evidence.Withheld {
	slices.SortFunc(all, func(a, b evidence.Withheld) int { return strings.Compare(a.Class, b.Class) })
	return all
}

// withheld tells whether a class was asked to be left out.
func (f *evidenceFlags) withheld(class string) bool {
	return slices.ContainsFunc(f.custody.Withheld, func(w evidence.Withheld) bool { return w.Class == class })
}

// handOver has the log record what is about to be handed out. There is none of it without the log's answer. Nothing is recorded
// where there is no session that the log could name.
func (x *export) handOver(ctx context.Context) (*evidence.Custody, wire.Disclosed, error) {
	if len(x.sessions) == 0 {
		return nil, wire.Disclosed{}, nil
	}
	c := x.custody
	c.Disclosed = x.held.shown.sorted()
	for _, class := range x.held.sealed.sorted() {
		if !slices.Contains(c.Disclosed, class) && !x.withheld(class) {
			c.Withheld = append(c.Withheld, evidence.Withheld{Class: class})
		}
	}
	c.Withheld = sortWithheld(slices.Clone(c.Withheld))
	var err error
	if c.Entries, c.EntriesHash, err = x.entries(); err != nil {
		return nil, wire.Disclosed{}, err
	}
	if _, err := rand.Read(c.Nonce[:]); err != nil {
		return nil, wire.Disclosed{}, err
	}
	if _, err := evidence.ParseCustody(c.Marshal()); err != nil {
		return nil, wire.Disclosed{}, err
	}
	// The approver is a person's name, which has no place in clear in the log: the record's hash commits to it.
	said, err := x.r.Disclose(ctx, wire.Disclosure{Exhibit: c.Exhibit, Digest: c.Hash(), Matter: c.Matter, Sessions: x.sessions, Classes: c.Disclosed})
	var p *client.Problem
	if errors.As(err, &p) && p.Code == "forbidden" {
		err = hint(err, "only an auditor may take evidence away")
	}
	if err != nil {
		return nil, said, fmt.Errorf("having the log record the hand-over, without which there is none: %w", err)
	}
	return &c, said, nil
}

// entries counts the leaves of the named sessions that the file has, and hashes them together.
func (x *export) entries() (n int, sum [sha256.Size]byte, err error) {
	h := sha256.New()
	x.held.settle()
	for _, l := range x.held.leaves {
		if x.held.system[l.Index] {
			continue
		}
		b, err := l.Load()
		if err != nil {
			return 0, sum, err
		}
		hash := tiles.LeafHash(b)
		n++
		h.Write(hash[:])
	}
	return n, [sha256.Size]byte(h.Sum(nil)), nil
}
