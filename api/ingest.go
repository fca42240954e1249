package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recording"
)

func who(r *http.Request) recording.Who {
	p := traceOf(r).principal
	return recording.Who{Principal: p.Name, How: p.How}
}

// An appending says what a kind of body does on a path: nil refuses it.
type appending struct {
	signed  func(ctx context.Context, who recording.Who, subs []recording.Submitted) (recording.Result, error)
	managed func(ctx context.Context, who recording.Who, req recording.Request) (recording.Result, error)
	params  []string
}

// session is the {id} of the path, or unknown-session: what is no session's name names none.
func session(r *http.Request) (string, error) {
	id := chi.URLParam(r, "id")
	if err := entry.CheckSession(id); err != nil {
		return "", refuse(string(recording.CodeUnknownSession), "the path names no session: "+err.Error())
	}
	return id, nil
}

func (a *API) open(w http.ResponseWriter, r *http.Request) {
	a.append(w, r, appending{
		signed: func(ctx context.Context, who recording.Who, subs []recording.Submitted) (recording.Result, error) {
			return a.Recording.Submit(ctx, who, "", subs)
		},
		managed: a.Recording.OpenManaged,
	})
}

// join takes what entries takes: whether an entry opens a track, it says itself.
func (a *API) join(w http.ResponseWriter, r *http.Request) {
	id, err := session(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.append(w, r, appending{
		signed: func(ctx context.Context, who recording.Who, subs []recording.Submitted) (recording.Result, error) {
			return a.Recording.Submit(ctx, who, id, subs)
		},
		managed: func(ctx context.Context, who recording.Who, req recording.Request) (recording.Result, error) {
			return a.Recording.JoinManaged(ctx, who, id, req)
		},
	})
}

func (a *API) entries(w http.ResponseWriter, r *http.Request) {
	id, err := session(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.append(w, r, appending{
		signed: func(ctx context.Context, who recording.Who, subs []recording.Submitted) (recording.Result, error) {
			return a.Recording.Submit(ctx, who, id, subs)
		},
	})
}

func (a *API) events(w http.ResponseWriter, r *http.Request) {
	id, err := session(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.append(w, r, appending{
		params: []string{"track"},
		managed: func(ctx context.Context, who recording.Who, req recording.Request) (recording.Result, error) {
			return a.Recording.ManagedEvents(ctx, who, id, r.URL.Query().Get("track"), req)
		},
	})
}

func (a *API) close(w http.ResponseWriter, r *http.Request) {
	id, err := session(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.append(w, r, appending{
		managed: func(ctx context.Context, who recording.Who, req recording.Request) (recording.Result, error) {
			return a.Recording.CloseManaged(ctx, who, id, req)
		},
	})
}

func (a *API) record(w http.ResponseWriter, r *http.Request) {
	a.append(w, r, appending{managed: a.Recording.Record})
}

// levels are what ?wait= can ask for.
var levels = []string{string(wire.Durable), string(wire.Integrated), string(wire.Witnessed)}

// append reads a request, has it recorded, and answers.
func (a *API) append(w http.ResponseWriter, r *http.Request, do appending) {
	q, err := query(r, append(do.params, "wait")...)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	wait := q.Get("wait")
	if wait != "" && !slices.Contains(levels, wait) {
		a.fail(w, r, refuse(codeParameter, "wait is none of "+list(levels)))
		return
	}
	key, err := idempotencyKey(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	mt := mediaType(r)
	signed, managed := mt == wire.SubmissionType && do.signed != nil, mt == wire.JSONType && do.managed != nil
	if !signed && !managed {
		w.Header().Set("Accept-Post", acceptPost(do))
		a.fail(w, r, refuse(codeMediaType, "taken here: "+acceptPost(do)))
		return
	}
	b, err := a.readBody(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer b.release()
	var result recording.Result
	if signed {
		result, err = submit(r, b.bytes, do.signed)
	} else {
		result, err = do.managed(r.Context(), who(r), recording.Request{Key: key, Body: b.bytes})
	}
	a.answer(w, r, result, err, wire.Level(wait))
}

func acceptPost(do appending) string {
	switch {
	case do.managed == nil:
		return wire.SubmissionType
	case do.signed == nil:
		return wire.JSONType
	}
	return bodyTypes
}

func submit(r *http.Request, body []byte, signed func(context.Context, recording.Who, []recording.Submitted) (recording.Result, error)) (recording.Result, error) {
	framed, err := wire.Parse(body)
	if err != nil {
		return recording.Result{}, err
	}
	subs := make([]recording.Submitted, len(framed))
	for i, f := range framed {
		subs[i] = recording.Submitted{Entry: f.Entry, Blobs: f.Blobs}
		for _, wr := range f.Wraps {
			subs[i].Wraps = append(subs[i].Wraps, recording.Wrap(wr))
		}
	}
	return signed(r.Context(), who(r), subs)
}

// idempotencyKey reads the header that stands for the event_id of a single event.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	// The header is a structured field string in the IETF's draft, and bare everywhere else: both are taken.
	key := strings.TrimSuffix(strings.TrimPrefix(values[0], `"`), `"`)
	if len(values) > 1 || entry.CheckID(key) != nil {
		return "", refuse(codeParameter, "Idempotency-Key is not one id: 1 to 128 of letters, digits and . _ : / + -")
	}
	return key, nil
}

// answer writes receipts. A problem comes with the receipts of the prefix that was taken.
func (a *API) answer(w http.ResponseWriter, r *http.Request, res recording.Result, err error, level wire.Level) {
	answer := wire.Answer{Session: res.Session, Track: res.Track, Next: res.Next, Head: res.Head, Receipts: []wire.Receipt{}}
	full, status := !prefersMinimal(r), http.StatusOK
	for _, rc := range res.Receipts {
		if rc.Seq == 0 && !rc.Repeated {
			status = http.StatusCreated // a session or a track
		}
		out := wire.Receipt{Seq: rc.Seq, Count: rc.Count, Index: rc.Index, Hash: rc.Hash, Received: rc.Received,
			Level: wire.Durable, Repeated: rc.Repeated}
		if full {
			out.Leaf = string(rc.Leaf)
		}
		answer.Receipts = append(answer.Receipts, out)
	}
	if level == wire.Integrated || level == wire.Witnessed {
		a.raise(r.Context(), answer.Receipts, level)
	}
	if err != nil {
		a.failPrefix(w, r, err, &answer)
		return
	}
	if status == http.StatusCreated {
		w.Header().Set("Location", strings.Replace(wire.PathHead, "{id}", res.Session, 1))
	}
	a.json(w, r, status, answer)
}

// raise waits until a checkpoint of the wanted level covers all receipts, and says of each what is so by then. What is not
// reached in time is no error: durable they are all the same.
func (a *API) raise(ctx context.Context, receipts []wire.Receipt, want wire.Level) {
	if len(receipts) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, a.Limits.MaxWait)
	defer cancel()
	var last uint64
	for _, rc := range receipts {
		last = max(last, rc.Index)
	}
	wait := a.Log.WaitSigned
	if want == wire.Witnessed && a.Witnessed {
		wait = a.Log.WaitCovered
	}
	_, _ = wait(ctx, last) // whether it came, or time or the log is over: what is so is looked up
	signed, signedNote := a.Log.Signed()
	published, publishedNote := a.Log.Checkpoint()
	for i := range receipts {
		rc := &receipts[i]
		switch {
		case rc.Index < published && a.Witnessed:
			rc.Level, rc.Checkpoint = wire.Witnessed, string(publishedNote)
		case rc.Index < published:
			rc.Level, rc.Checkpoint = wire.Integrated, string(publishedNote)
		case rc.Index < signed:
			rc.Level, rc.Checkpoint = wire.Integrated, string(signedNote)
		}
	}
}

// prefersMinimal reads the Prefer header. SPEC: RFC 7240 4.2: return=minimal.
func prefersMinimal(r *http.Request) bool {
	for _, v := range r.Header.Values("Prefer") {
		for _, p := range strings.Split(v, ",") {
			if strings.EqualFold(strings.TrimSpace(p), "return=minimal") {
				return true
			}
		}
	}
	return false
}

func (a *API) heartbeat(w http.ResponseWriter, r *http.Request) {
	id, err := session(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	b, err := a.readBody(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer b.release()
	if len(b.bytes) > 0 {
		a.fail(w, r, refuse(codeParameter, "a heartbeat has no body"))
		return
	}
	pulse, err := a.Recording.Heartbeat(r.Context(), who(r), id)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.json(w, r, http.StatusOK, wire.Heartbeat{NextS: uint64(pulse.Next.Seconds()), State: pulse.State})
}

func (a *API) head(w http.ResponseWriter, r *http.Request) {
	id, err := session(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	h, err := a.Recording.Head(r.Context(), who(r), id)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	out := wire.Head{Session: h.Session, State: h.State, First: a.first(r.Context(), id), Tracks: []wire.TrackHead{}}
	for _, t := range h.Tracks {
		out.Tracks = append(out.Tracks, wire.TrackHead(t))
	}
	a.json(w, r, http.StatusOK, out)
}

// first is the hash of the session's first entry. The recording does not keep it, the log does.
func (a *API) first(ctx context.Context, session string) *entry.Hash {
	row, err := a.Index.Session(ctx, session)
	if err != nil {
		return nil
	}
	e, err := a.leaf(ctx, row.OpenIndex)
	if err != nil || e.Session != session || e.Seq != 0 {
		return nil
	}
	h := e.Hash()
	return &h
}

// json writes an answer, with a marshaller that leaves < and > in leaves alone.
func (a *API) json(w http.ResponseWriter, r *http.Request, status int, v any) {
	var buf strings.Builder
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		a.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", wire.JSONType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	w.Write([]byte(buf.String())) //nolint:errcheck // the client is gone
}
