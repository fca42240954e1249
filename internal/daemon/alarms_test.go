package daemon

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
)

type written struct{ alerts chan entry.Alert }

func (w written) Alert(_ context.Context, v entry.Alert) error {
	w.alerts <- v
	return nil
}

// Whatever witnesses do, the log gets few alerts about it, each loss of a quorum with its end; and the publisher never waits.
func TestAlarms_areFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, w := newAlarms(slog.New(slog.DiscardHandler)), written{make(chan entry.Alert, 1000)}
		for range 10 * alarmsKept { // nobody reads yet
			a.raise(log.Alarm{Kind: log.AlarmCosignerAhead, Cosigner: "w1", Size: 9})
		}
		stop := a.start(w)
		synctest.Wait()
		count := func(name string) (n int) {
			for range len(w.alerts) {
				v := <-w.alerts
				if string(v.Alert) == name {
					n++
				} else {
					w.alerts <- v
				}
			}
			return n
		}
		if n := count(alertWitnessAhead); n != alarmsBurst {
			t.Errorf("%d alerts about claims", n)
		}
		flap := func() {
			a.raise(log.Alarm{Kind: log.AlarmQuorumLost})
			a.raise(log.Alarm{Kind: log.AlarmQuorumRestored})
			synctest.Wait()
		}
		for range 10 * alarmsBurst {
			flap()
		}
		if lost, back := count(alertQuorumLost), count(alertQuorumRestored); lost != alarmsBurst || back != alarmsBurst {
			t.Errorf("%d losses, %d ends", lost, back)
		}
		time.Sleep(alarmsEvery) // of the bubble's clock
		flap()
		if lost, back := count(alertQuorumLost), count(alertQuorumRestored); lost != 1 || back != 1 {
			t.Errorf("after a while: %d losses, %d ends", lost, back)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		a.raise(log.Alarm{Kind: log.AlarmQuorumLost})
	})
}
