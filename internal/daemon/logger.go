package daemon

import (
	"fmt"
	"io"
	"log/slog"

	"k8s.io/klog/v2"
)

func newLogger(w io.Writer, c Logging) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, fmt.Errorf("logging.level is none of debug, info, warn, error")
	}
	opts := &slog.HandlerOptions{Level: level}
	switch c.Format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("logging.format is none of json, text")
}

// NewLogger makes the logger that a configuration asks for, and sends it what Tessera has to say, which logs through klog's
// one global logger. A command calls it once, before anything runs.
func NewLogger(w io.Writer, c Config) (*slog.Logger, error) {
	logger, err := newLogger(w, c.Logging)
	if err == nil {
		klog.SetSlogLogger(logger.With("component", "tessera"))
	}
	return logger, err
}
