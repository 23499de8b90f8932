package server

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A server this small would collect many times a second for nothing, so its heap may
// grow to several times what is alive, as long as all of Go's memory stays within
// smallMemory. A larger one is given twice what is alive, as Go does by itself.
const (
	growth      = 400 // percent
	smallMemory = 28 << 20
)

// tuneMemory keeps the collector's limit at what fits what is alive, until ctx ends.
// Whoever sets GOGC or GOMEMLIMIT decides instead.
func (s *Server) tuneMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(growth))
	defer debug.SetMemoryLimit(math.MaxInt64)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		metrics.Read(live)
		debug.SetMemoryLimit(limitFor(live[0].Value.Uint64()))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func limitFor(live uint64) int64 {
	return int64(max(smallMemory, 2*live+smallMemory/2))
}
