package server

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// heapRoom is how much the heap may grow between two collections however little of it
// is alive: a server this small would otherwise collect many times a second for
// nothing. What is alive beyond it is collected as Go does by itself.
const heapRoom = 16 << 20

// tuneMemory keeps the collector's percentage at what fits what is alive, until ctx
// ends. Whoever sets GOGC decides instead.
func (s *Server) tuneMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for now := 0; ; {
		metrics.Read(live)
		if next := percent(live[0].Value.Uint64()); next != now {
			debug.SetGCPercent(next)
			now = next
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func percent(live uint64) int {
	return int(min(max(heapRoom*100/max(live, 1), 100), 800))
}
