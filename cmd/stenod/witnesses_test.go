package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/witness"
)

// witnesses KEYS FILE N K runs N real witnesses of the log whose keys "stenod key generate" printed, and writes the trust file
// of a log that K of them must cosign. "halt N" ends one.
func runWitnesses(ts *testscript.TestScript, neg bool, args []string) {
	makeTrust(ts, false, args[:2])
	t, err := trust.Parse([]byte(ts.ReadFile(args[1])))
	ts.Check(err)
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	c := trust.Config{Version: 1, Received: t.Received, System: t.System, Enrollers: t.Enrollers}
	policy, names := "log "+t.Log+"\n", ""
	for i := range n {
		name := fmt.Sprintf("w%d", i+1)
		vkey, url := runWitness(ts, name, t.Log)
		policy += fmt.Sprintf("witness %s %s %s\n", name, vkey, url)
		names += " " + name
		c.Operators = append(c.Operators, trust.Operator{Name: name + ".example", Witnesses: []string{name}})
	}
	c.Policy = []byte(policy + "group all " + args[3] + names + "\nquorum all\n")
	t, err = trust.Make(c)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), t.Marshal(), 0o644))
}

func runWitness(ts *testscript.TestScript, name, log string) (vkey, url string) {
	skey, vkey, err := checkpoint.GenerateKey(checkpoint.CosignatureEd25519, name+".example/"+rand.Text())
	ts.Check(err)
	signer, err := checkpoint.NewSigner(skey)
	ts.Check(err)
	state, published := ts.MkAbs(name+"/state"), ts.MkAbs(name+"/published")
	ts.Check(errors.Join(os.MkdirAll(state, 0o700), os.MkdirAll(published, 0o700), witness.Create(state, published)))
	store, err := witness.OpenStore(state, published)
	ts.Check(err)
	ts.Check(store.AddLog(context.Background(), []string{log}))
	w, err := witness.New(context.Background(), witness.Config{Signers: []*checkpoint.Signer{signer}, State: store})
	ts.Check(err)
	s := httptest.NewServer(w.Handler())
	ts.Setenv(strings.ToUpper(name), s.URL)
	halts(ts)[name] = s.Close
	ts.Defer(func() {
		s.Close()
		ts.Check(errors.Join(w.Close(), store.Close()))
	})
	return vkey, s.URL
}

// witnessesKey names, among a script's values, how its witnesses are halted.
type witnessesKey struct{}

func halts(ts *testscript.TestScript) map[string]func() {
	return ts.Value(witnessesKey{}).(map[string]func())
}

func haltWitness(ts *testscript.TestScript, neg bool, args []string) { halts(ts)[args[0]]() }

// await ADDRESS: until the log has published a checkpoint of a size above 0.
func await(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get("http://" + args[0] + "/checkpoint")
		ts.Check(err)
		b := make([]byte, checkpoint.MaxNote)
		n, _ := resp.Body.Read(b)
		resp.Body.Close()
		if lines := strings.SplitN(string(b[:n]), "\n", 3); resp.StatusCode == 200 && len(lines) == 3 && lines[1] != "0" {
			return
		}
	}
	ts.Fatalf("nothing was published")
}
