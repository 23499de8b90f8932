package server

import "testing"

func TestLimitFor(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int64{0: 28 << 20, 7 << 20: 28 << 20, 8 << 20: 30 << 20, 100 << 20: 214 << 20} {
		if got := limitFor(live); got != want {
			t.Errorf("limitFor(%d) = %d, want %d", live, got, want)
		}
	}
}
