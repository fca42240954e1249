package anchoring_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stenolog/steno/anchoring"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/authority"
)

// listPeriod is a little longer than it takes until the next list comes.
const listPeriod = 26 * time.Hour

// giveLists makes a peer an authority whose certificate names a revocation list, good for a period, of which there is another one
// every day.
func (p *peer) giveLists(t *testing.T, period time.Duration) {
	t.Helper()
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: p.name}, NotBefore: begun.AddDate(-1, 0, 0), NotAfter: begun.AddDate(1, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte(p.name),
	}
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	signer := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: p.name + " signer"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtraExtensions:       []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku}},
		CRLDistributionPoints: []string{"http://" + p.name + ".example/crl"},
	}
	var chain []*x509.Certificate
	for i, c := range []*x509.Certificate{root, signer} {
		der, err := x509.CreateCertificate(rand.Reader, c, root, &keys[i].PublicKey, keys[0])
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append([]*x509.Certificate{made}, chain...)
	}
	tsa, err := authority.New(authority.Config{Material: authority.Material{Key: keys[1], Chain: chain}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", tsa)
	mux.HandleFunc("/crl", func(w http.ResponseWriter, _ *http.Request) {
		made := begun.Add(time.Since(begun).Truncate(24 * time.Hour))
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(made.Unix()), ThisUpdate: made, NextUpdate: made.Add(period),
		}, chain[1], keys[0])
		if err != nil {
			t.Error(err)
		}
		w.Write(der) //nolint:errcheck
	})
	p.real, p.pinned.Anchors = mux, [][]byte{chain[1].Raw}
}

// list is the revocation list that came with an authority's last token, and what the token was made for.
func (w *world) list(name string) (list *x509.RevocationList, v entry.Anchor) {
	w.t.Helper()
	w.do(func() {
		for _, e := range w.events {
			if string(e.Authority) == name {
				v = e
			}
		}
		for _, b := range v.LongTerm {
			if b.Kind == "crl" {
				var err error
				if list, err = x509.ParseRevocationList(w.blobs[b.SHA256]); err != nil {
					w.t.Fatal(err)
				}
			}
		}
	})
	return list, v
}

// What an authority says of revocation is collected once more when its lists have been replaced, also where nothing was recorded
// since: by a token that covers the earlier one. Then a log that is silent is silent.
func TestFollowUp_onceWhereTheLogIsSilent(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.halt()
		w.peers[0].giveLists(t, listPeriod)
		w.start()
		w.record(false)
		w.want("a", 1)
		w.want("b", 1)
		w.publish()
		first, _ := w.list("a")
		w.sleep(anchoring.DefaultPeriod - time.Minute)
		w.want("b", 1)
		w.sleep(2 * time.Minute)
		w.want("a", 1)
		w.want("b", 1, 3) // it has no lists
		w.publish()
		w.sleep(listPeriod - anchoring.DefaultPeriod)
		w.want("a", 1, 4)
		w.publish()
		again, v := w.list("a")
		if !again.ThisUpdate.After(first.ThisUpdate) || v.Covers == nil || *v.Covers != w.at[2].Token {
			t.Errorf("collected again was the list of %s; the first is of %s; it covers %x", again.ThisUpdate, first.ThisUpdate, v.Covers)
		}
		for range 2 { // what is owed follows from the log alone
			w.sleep(listPeriod + time.Hour)
			w.halt()
			w.start()
		}
		w.want("a", 1, 4)
		w.want("b", 1, 3)
		w.record(false)
		w.want("a", 1, 4, w.published)
		last := w.published
		w.publish()
		w.sleep(2 * listPeriod)
		if a, b := w.anchored("a"), w.anchored("b"); len(a) != 4 || len(b) != 4 || a[3] <= last || b[3] <= last {
			t.Errorf("after another entry: anchored %v and %v", a, b)
		}
	})
}

// An authority whose lists are good for a minute is not asked more often than it would be by rounds.
func TestFollowUp_noSoonerThanARound(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.halt()
		w.peers[0].giveLists(t, time.Minute)
		w.start()
		w.record(false)
		w.publish()
		w.sleep(time.Hour - time.Minute)
		w.want("a", 1)
		w.sleep(2 * time.Minute)
		w.want("a", 1, 3)
		w.want("b", 1)
	})
}

// A log that records has rounds, and needs nothing else.
func TestFollowUp_noneWhereThereAreRounds(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		for range 30 {
			w.record(false)
			w.publish()
			w.sleep(time.Hour)
		}
		if a := w.anchored("a"); len(a) != 30 {
			t.Errorf("%d tokens of 30 rounds: %v", len(a), a)
		}
	})
}

// A process that starts owes what the one before it would have; who does not answer is late, and heals.
func TestFollowUp_survivesRestartAndFailure(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.record(false)
		w.publish()
		w.sleep(anchoring.DefaultPeriod / 2)
		w.halt()
		w.peers[1].set(http.NotFound)
		w.start()
		w.sleep(anchoring.DefaultPeriod/2 + time.Minute)
		w.want("a", 1, 3)
		w.want("b", 1)
		if h := w.health("b"); h.Late || h.Since.IsZero() || h.Reason != "bad-answer" {
			t.Errorf("health: %+v", h)
		}
		w.publish()
		w.sleep(2 * time.Hour)
		if h := w.health("b"); !h.Late || !slices.Equal(w.raised(), []entry.ID{"authority-late"}) {
			t.Errorf("health: %+v, alerts %v", h, w.raised())
		}
		w.publish()
		w.halt()
		w.peers[1].set(nil)
		w.start()
		o, err := w.a.Anchor(t.Context()) // who owes one is asked at once
		if err != nil || o.New {
			t.Errorf("%+v %v", o, err)
		}
		w.sleep(2 * anchoring.DefaultPeriod)
		w.want("a", 1, 3)
		w.want("b", 1, w.published)
	})
}

// Renewal is due while nothing but tokens that end soon speaks for what is recorded. It is said once a day, also by a log that
// is started again, and not where an authority that goes on has stamped the same.
func TestRenewal(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		ends := time.Now().Add(anchoring.RenewalNotice + 12*time.Hour)
		w.halt()
		for i, p := range w.peers {
			p.pinned.Until = ends.Add(-time.Duration(i) * time.Hour)
		}
		w.start()
		if h := w.a.Health(); !h.RenewBy.IsZero() {
			t.Errorf("nothing is stamped: %+v", h)
		}
		w.record(false)
		w.publish()
		w.sleep(10 * time.Hour)
		if h := w.a.Health(); !h.RenewBy.Equal(ends) || !h.Authorities[0].RenewBy.Equal(ends) || !h.Authorities[1].RenewBy.Equal(ends.Add(-time.Hour)) {
			t.Errorf("health: %+v", h)
		}
		if len(w.raised()) > 0 {
			t.Errorf("alerts %v", w.raised())
		}
		w.sleep(3 * time.Hour)
		for range 3 {
			w.publish()
			w.halt()
			w.start()
			w.sleep(4 * time.Hour)
		}
		if got := w.raised(); !slices.Equal(got, []entry.ID{"renewal-due"}) {
			t.Fatalf("alerts of a day: %v", got)
		}
		w.sleep(48 * time.Hour)
		if got := w.raised(); len(got) != 3 {
			t.Errorf("alerts of three days: %v", got)
		}
		w.publish()
		w.halt()
		w.peers[1].pinned.Until = ends.AddDate(1, 0, 0) // and its certificate for nearly a year
		w.start()
		w.sleep(25 * time.Hour)
		if got := w.raised(); len(got) != 3 || w.a.Health().RenewBy.Before(ends.AddDate(0, 6, 0)) {
			t.Errorf("renewed: alerts %v, health %+v", got, w.a.Health())
		}
	})
}

// One authority that is good does not help where a bound takes two, nor where it has not stamped what is recorded.
func TestRenewal_byWhoSpeaksForAll(t *testing.T) {
	soon := func(w *world) time.Time { return time.Now().Add(anchoring.RenewalNotice * 2) }
	for name, change := range map[string]func(w *world){
		"two are demanded":               func(w *world) { w.demand = 2 },
		"the other is compromised later": func(w *world) { w.peers[1].pinned.Compromised = time.Now().AddDate(0, 1, 0) },
		"the other's algorithm ends": func(w *world) {
			w.peers[1].pinned.Algorithms = []timestamp.AlgorithmEnd{{Name: "sha-256", End: soon(w)}}
		},
		"the other is in no trust file": func(w *world) { w.trusts = []timestamp.Authority{w.peers[0].pinned} },
		"the other's token is late": func(w *world) {
			w.record(false)
			w.publish()
			w.peers[1].set(http.NotFound)
			w.sleep(2 * time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.halt()
				w.peers[0].pinned.Until = soon(w)
				w.start()
				change(w)
				w.halt()
				w.start()
				w.record(false)
				w.publish()
				w.sleep(2 * time.Hour)
				if by := w.a.Health().RenewBy; by.IsZero() || time.Until(by) > 2*anchoring.RenewalNotice {
					t.Errorf("renewal is due in %s", time.Until(by))
				}
			})
		})
	}
}

// Whose tokens count says the trust file, not who is asked.
func TestBracketByTheTrustFile(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.record(false)
		w.publish()
		w.sleep(2 * time.Hour)
		w.record(false)
		w.publish()
		asked := w.peers
		w.halt()
		w.peers, w.trusts = asked[:1], []timestamp.Authority{asked[1].pinned} // b is trusted, and asked no more
		w.start()
		b, err := w.a.Bracket(t.Context(), 3)
		if err != nil || b.NotBefore == nil || b.NotBefore.Authority != "b" || b.NotAfter == nil || b.NotAfter.Authority != "b" {
			t.Errorf("%+v %v", b, err)
		}
		if len(b.Authorities) != 2 {
			t.Fatalf("%+v", b.Authorities)
		}
		for i, n := range b.Authorities {
			if n.Authority != []string{"a", "b"}[i] || n.Counts != (i == 1) || n.NotBefore == nil || n.NotAfter == nil ||
				n.NotBefore.Index > 2 || n.NotAfter.Index < 4 || n.NotAfter.Size != 4 {
				t.Errorf("%+v", n)
			}
		}
		w.halt()
		w.trusts = []timestamp.Authority{}
		w.start()
		if b, err := w.a.Bracket(t.Context(), 3); err != nil || b.NotBefore != nil || b.NotAfter != nil || len(b.Authorities) != 1 || b.Authorities[0].Counts {
			t.Errorf("nobody is trusted: %+v %v", b, err)
		}
	})
}

// A token by an algorithm that is broken counts if another that needs no proof shows it to be older than the end.
func TestBracketByABrokenAlgorithm(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.halt()
		w.peers[0].pinned.Algorithms = []timestamp.AlgorithmEnd{{Name: "sha-256", End: time.Now().Add(24 * time.Hour), Broken: true}}
		w.demand = 2
		w.start()
		w.record(false)
		w.publish()
		if b, err := w.a.Bracket(t.Context(), 0); err != nil || b.NotAfter != nil || b.Authorities[0].NotAfter != nil || b.Authorities[1].NotAfter == nil {
			t.Errorf("nothing proves that the token is older: %+v, %v", b, err)
		}
		w.sleep(2 * time.Hour)
		w.record(false)
		w.publish()
		if b, err := w.a.Bracket(t.Context(), 0); err != nil || b.NotAfter == nil {
			t.Errorf("b has proven it: %+v, %v", b, err)
		}
	})
}
