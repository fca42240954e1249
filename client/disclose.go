package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/stenolog/steno/api/wire"
)

// Disclose has the log record that evidence is about to be handed out, and returns when the server says that this is durable. With
// an error there is no record that one could count on, and nothing may be handed out. It tries again where that may help: that
// leaves two events where only an answer was lost, which say no more than one.
//
// The answer is the server's word: what proves it is the events at the indexes it names, once a checkpoint covers them.
func (r *Reader) Disclose(ctx context.Context, d wire.Disclosure) (wire.Disclosed, error) {
	var out wire.Disclosed
	body, err := json.Marshal(d)
	if err != nil {
		return out, fmt.Errorf("disclosing: %w", err)
	}
	b, err := r.http.again(ctx, request{method: http.MethodPost, path: wire.PathDisclosures, mediaType: wire.JSONType, body: body, limit: maxAnswer})
	if err != nil {
		return out, fmt.Errorf("disclosing: %w", err)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("disclosing: reading the answer: %w", err)
	}
	ascending := slices.IsSorted(out.Indexes) && len(slices.Compact(slices.Clone(out.Indexes))) == len(out.Indexes)
	if out.Principal == "" || len(out.Indexes) == 0 || len(out.Indexes) > len(d.Sessions) || !ascending {
		return out, errors.New("disclosing: the server's answer says not where it is recorded, or by whom")
	}
	return out, nil
}

// Time is the server's word on between which times an entry was logged, and which anchors say so.
func (r *Reader) Time(ctx context.Context, index uint64) (t wire.Time, err error) {
	if _, err = r.http.getJSON(ctx, pathFor(wire.PathTime, strconv.FormatUint(index, 10)), nil, maxAnswer, &t); err != nil {
		return t, fmt.Errorf("asking when entry %d was logged: %w", index, err)
	}
	if t.Index != index {
		return t, fmt.Errorf("asking when entry %d was logged: the server answered with another", index)
	}
	return t, nil
}
