package main

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/timestamp/authority"
)

// startTSA runs the deployment's development authority, if it has one and the server asks it, and tells the server where.
func (u up) startTSA(cfg *daemon.Config) (stop func(), err error) {
	for i := range cfg.Authorities {
		at := &cfg.Authorities[i]
		if at.Name != localTSA {
			continue
		}
		m, err := authority.Load(filepath.Join(u.dir, localTSA))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		a, err := authority.New(authority.Config{Material: m})
		if err != nil {
			return nil, err
		}
		where, err := url.Parse(at.URL)
		if err != nil {
			return nil, err
		}
		address := where.Host
		if u.portGiven {
			address = addresses(u.port)[tsaPort]
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		at.URL = "http://" + l.Addr().String()
		server := tsaServer(a)
		go server.Serve(l)                    //nolint:errcheck // it ends with this process; a server that fails is an authority that is late
		return func() { server.Close() }, nil //nolint:errcheck // likewise
	}
	return func() {}, nil
}

func tsaServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadTimeout: tsaReadTimeout, WriteTimeout: tsaWriteTimeout, IdleTimeout: tsaIdleTimeout, MaxHeaderBytes: tsaMaxHeader,
	}
}
