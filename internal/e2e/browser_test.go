//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// chromium starts one browser for all tests of a test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("no Chromium in PATH: run make need, or apt-get install chromium")
	}
	// chromedp adds a directory of its own for the user's data and, for root alone,
	// --no-sandbox.
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", "en"),
	)
	// Not the test's context: the browser has to be there for what cleans up after it.
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	return ctx
}

// tab is one of a person's browser.
type tab struct {
	t   *testing.T
	ctx context.Context

	// provoked is in the console's messages that the test itself provokes.
	provoked string

	mu       sync.Mutex
	messages []chromedp.ConsoleMessage
}

// newBrowser gives the first tab of a browser that shares nothing with others.
func newBrowser(t *testing.T, chromium context.Context) *tab {
	t.Helper()
	return newTab(t, chromium, chromedp.WithNewBrowserContext())
}

// another opens a second tab of the same browser.
func (b *tab) another() *tab {
	b.t.Helper()
	return newTab(b.t, b.ctx)
}

func newTab(t *testing.T, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	b := &tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		cancel()
		b.checkConsole()
	})
	b.do(chromedp.Steps())
	console := chromedp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.messages = append(b.messages, m)
			b.mu.Unlock()
		}
	}()
	return b
}

// said counts the messages in the console that hold a text.
func (b *tab) said(text string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages {
		if strings.Contains(m.Text, text) {
			n++
		}
	}
	return n
}

// checkConsole holds what is true for every page: no script fails, and none of our
// own parts is refused by a policy of ours.
func (b *tab) checkConsole() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages {
		if b.provoked != "" && strings.Contains(m.Text, b.provoked) {
			continue
		}
		// Of an answer 400 the console says so, and the tests look at the page.
		if m.IsException() || m.Type == chromedp.ConsoleError && m.Source != "network" {
			b.t.Errorf("the console says %s: %s (%s)", m.Type, m.Text, m.URL)
		}
	}
}

// within bounds what a browser may take for anything.
const within = 30 * time.Second

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	run(b, chromedp.Steps(steps...))
}

func run[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	if chromedp.FromContext(b.ctx).Target == nil {
		ctx = b.ctx // the first action makes the tab, which ends with its context
	}
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("%v\n%s", err, b.shown())
	}
	return v
}

// shown is what a failed test tells about the page.
func (b *tab) shown() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	at, err1 := chromedp.Run(ctx, chromedp.Location())
	text, err2 := chromedp.Run(ctx, chromedp.TextContent(chromedp.CSS("body")))
	return fmt.Sprintf("the tab is at %s and shows %q (%v)", at, text, errors.Join(err1, err2))
}

// open goes to an address and gives the status of the page.
func (b *tab) open(address string) int64 {
	b.t.Helper()
	if resp := run(b, chromedp.NavigateResponse(address)); resp != nil {
		return resp.Status
	}
	return 0
}

// click clicks on what has an id and gives the status of the page that follows.
func (b *tab) click(id string) int64 {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	resp, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS("#"+id)))
	if err != nil {
		b.t.Fatalf("click on %s: %v\n%s", id, err, b.shown())
	}
	if resp == nil {
		return 0
	}
	return resp.Status
}

func (b *tab) fill(id, text string) {
	b.t.Helper()
	b.do(chromedp.Clear(chromedp.CSS("#"+id)), chromedp.SendKeys(chromedp.CSS("#"+id), text))
}

func (b *tab) text(id string) string {
	b.t.Helper()
	return strings.TrimSpace(run(b, chromedp.TextContent(chromedp.CSS("#"+id))))
}

func (b *tab) attribute(id, name string) string {
	b.t.Helper()
	return run(b, chromedp.AttributeValue(chromedp.CSS("#"+id), name)).Value
}

// has tells whether the page that is loaded has something with an id.
func (b *tab) has(id string) bool {
	b.t.Helper()
	return len(run(b, chromedp.Nodes(chromedp.CSS("#"+id), chromedp.AtLeast(0)))) > 0
}

func (b *tab) at() string {
	b.t.Helper()
	return run(b, chromedp.Location())
}

// expect fails the test unless the tab is at a page of a place that has all the ids.
func (b *tab) expect(place string, ids ...string) {
	b.t.Helper()
	if at := b.at(); !strings.HasPrefix(at, place) {
		b.t.Fatalf("the tab is not at %s: %s", place, b.shown())
	}
	for _, id := range ids {
		if !b.has(id) {
			b.t.Fatalf("the page has no %s: %s", id, b.shown())
		}
	}
}

// noScripts switches JavaScript off.
func (b *tab) noScripts() {
	b.t.Helper()
	run(b, func(ctx context.Context, t *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	})
}
