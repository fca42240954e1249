package api

import (
	"net/http"

	"github.com/stenolog/steno/api/wire"
)

// maxDisclosure is how many bytes a disclosure may have: 1024 sessions, and some white space.
const maxDisclosure = 128 << 10

// disclose records that evidence is about to be handed out. Whoever makes evidence waits for the answer first: without it there
// is none.
func (a *API) disclose(w http.ResponseWriter, r *http.Request) {
	if _, err := query(r); err != nil {
		a.fail(w, r, err)
		return
	}
	if mediaType(r) != wire.JSONType {
		w.Header().Set("Accept-Post", wire.JSONType)
		a.fail(w, r, refuse(codeMediaType, "taken here: "+wire.JSONType))
		return
	}
	b, err := a.readBodyOf(w, r, maxDisclosure)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer b.release()
	indexes, err := a.Recording.Disclose(r.Context(), who(r), b.bytes)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.json(w, r, http.StatusCreated, wire.Disclosed{Principal: traceOf(r).principal.Name, Indexes: indexes})
}
