package server

import (
	"slices"
	"strings"
	"testing"
)

func TestWaiting(t *testing.T) {
	t.Parallel()
	dir, kek := t.TempDir(), "3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs="
	old := parseConfig(t, testConfig, dir, kek)
	if keys := waiting(old, parseConfig(t, testConfig, dir, kek)); len(keys) > 0 {
		t.Errorf("nothing changed, and %v wait for a restart", keys)
	}
	changed := strings.Replace(testConfig, "  - id: robot", "  - id: robot-2", 1) + "sessions: {idle: 2h}\nlog: {level: debug}\n"
	if keys := waiting(old, parseConfig(t, changed, dir, kek)); !slices.Equal(keys, []string{"log", "sessions"}) {
		t.Errorf("%v wait for a restart, want log and sessions", keys)
	}
}
