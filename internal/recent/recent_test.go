package recent_test

import (
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/jeton-auth/jeton/internal/recent"
)

// Whatever happens, an answer is the value last put, and what is kept stays in bounds.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		const limit = 20
		c := recent.New[int, int](limit)
		model := map[int]int{}
		for step := range rapid.IntRange(1, 200).Draw(rt, "steps") {
			key := rapid.IntRange(0, 9).Draw(rt, "key")
			switch rapid.IntRange(0, 2).Draw(rt, "act") {
			case 0:
				c.Put(key, step, rapid.IntRange(1, 12).Draw(rt, "cost"))
				model[key] = step
			case 1:
				c.Drop(key)
				delete(model, key)
			case 2:
				if got, ok := c.Get(key); ok && got != model[key] {
					rt.Fatalf("key %d: %d, want %d", key, got, model[key])
				}
			}
			kept := 0
			for k := range 10 {
				if _, ok := model[k]; !ok {
					if _, ok := c.Get(k); ok {
						rt.Fatalf("key %d was dropped and is there", k)
					}
				}
				if _, ok := c.Get(k); ok {
					kept++
				}
			}
			if kept > limit {
				rt.Fatalf("%d values of cost 1 or more are kept, want at most %d", kept, limit)
			}
		}
	})
}

func TestUsedStays(t *testing.T) {
	t.Parallel()
	c := recent.New[int, string](10)
	c.Put(0, "used", 1)
	for i := 1; i < 1000; i++ {
		c.Put(i, "once", 1)
		if v, ok := c.Get(0); !ok || v != "used" {
			t.Fatalf("after %d others the used value is gone", i)
		}
	}
	if _, ok := c.Get(500); ok {
		t.Error("an unused value outlived the bound")
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	c := recent.New[int, int](64)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				k := (i + w) % 50
				c.Put(k, k, 1)
				if v, ok := c.Get(k); ok && v != k {
					t.Errorf("key %d: %d", k, v)
				}
				if i%7 == 0 {
					c.Drop(k)
				}
			}
		})
	}
	wg.Wait()
}
