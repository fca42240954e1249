package daemon

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
)

const (
	alarmsKept  = 64               // that wait to be written
	alarmsEvery = 10 * time.Minute // on average, of a kind
	alarmsBurst = 6                // of a kind
)

// Alerts that the log writes about its witnesses.
const (
	alertQuorumLost     = "witness-quorum-lost"
	alertQuorumRestored = "witness-quorum-restored"
	alertWitnessAhead   = "witness-ahead"
)

// Alarms take what the log's publisher has to say, which cannot wait, and write it into the system session. A witness can
// cause both kinds at will, so that there is a limit to each: the log must not be filled by somebody else.
type alarms struct {
	logger *slog.Logger
	queue  chan log.Alarm
	lost   *rate.Limiter
	ahead  *rate.Limiter
	noted  bool // that the quorum is lost was written
}

func newAlarms(logger *slog.Logger) *alarms {
	return &alarms{
		logger: logger, queue: make(chan log.Alarm, alarmsKept),
		lost: rate.NewLimiter(rate.Every(alarmsEvery), alarmsBurst), ahead: rate.NewLimiter(rate.Every(alarmsEvery), alarmsBurst),
	}
}

// raise does not block.
func (a *alarms) raise(al log.Alarm) {
	select {
	case a.queue <- al:
	default:
		a.logger.Warn("alarm is not recorded: too many wait", "kind", al.Kind, "cosigner", al.Cosigner, "size", al.Size)
	}
}

// An alerter is a recording.
type alerter interface {
	Alert(ctx context.Context, v entry.Alert) error
}

// start writes alerts to a recording until stop is called.
func (a *alarms) start(rec alerter) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.run(ctx, rec)
	}()
	return func() error {
		cancel()
		<-ended
		return nil
	}
}

func (a *alarms) run(ctx context.Context, rec alerter) {
	for {
		select {
		case <-ctx.Done():
			return
		case al := <-a.queue:
			v, ok := a.alert(al)
			if !ok {
				continue
			}
			if err := rec.Alert(ctx, v); err != nil && ctx.Err() == nil {
				a.logger.Warn("alarm is not recorded", "kind", al.Kind, "cosigner", al.Cosigner, "size", al.Size, "error", err)
			}
		}
	}
}

// alert is what is written of an alarm, if anything is. Who it is about stands in the server's log.
func (a *alarms) alert(al log.Alarm) (v entry.Alert, ok bool) {
	switch al.Kind {
	case log.AlarmQuorumLost:
		a.noted = a.lost.Allow()
		return entry.Alert{Alert: alertQuorumLost, Severity: "warning"}, a.noted
	case log.AlarmQuorumRestored: // is written if its loss was
		ok, a.noted = a.noted, false
		return entry.Alert{Alert: alertQuorumRestored, Severity: "info"}, ok
	case log.AlarmCosignerAhead:
		return entry.Alert{Alert: alertWitnessAhead, Severity: "critical"}, a.ahead.Allow()
	}
	return v, false
}
