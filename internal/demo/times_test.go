package demo

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTimes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.get("/times").shows(t, 200, "Nothing has been measured yet.", "Log in to measure")
	s.submit("/times").shows(t, 200, "Nothing has been measured yet.") // nobody is signed in
	s.submit("/login").shows(t, 200, `href="/times"`)

	s.issuer.set(func() { s.issuer.lag = 5 * time.Millisecond })
	p := s.submit("/times")
	p.shows(t, 200, "Measured.", "10 fresh access tokens were revoked", `id="count">10<`, `id="median"`, `id="slowest"`)
	if n := strings.Count(p.body, "<rect "); n != 10 {
		t.Errorf("%d bars", n)
	}
	if n := strings.Count(p.body, "<tr>"); n != 11 {
		t.Errorf("%d rows", n)
	}
	// The tokens died, the grant lives on with a good one.
	s.get("/").shows(t, 200, ">11 times<", `id="number">12<`, "You are logged in.")
	s.submit("/call-api").shows(t, 200, "The API took the token.")

	s.submit("/revoke").shows(t, 200, "Revoked.", "later, at call number")
	s.get("/times").shows(t, 200, `id="count">11<`, "10 fresh", "Log in to measure")
	s.submit("/revoke").shows(t, 200, "refused the token before already")
	s.submit("/times").shows(t, 200, "The issuer gave no new token.", `id="count">11<`)
}

// An issuer that ends a grant of which many tokens were revoked makes one log in again.
func TestTimesUntilTheGrantEnds(t *testing.T) {
	t.Parallel()
	for most, want := range map[int]string{3: "3 fresh", rounds: "10 fresh"} {
		s := newStage(t)
		s.issuer.set(func() { s.issuer.most = most })
		s.submit("/login")
		s.submit("/times").shows(t, 200, "Measured.", want, "The issuer ended the grant then", "Log in to measure")
		s.get("/").shows(t, 200, ">revoked<")
	}
}

func TestTimesFail(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.submit("/login")
	s.issuer.set(func() { s.issuer.opaque = true }) // which this issuer does not revoke alone
	s.submit("/times").shows(t, 200, "The issuer did not revoke.", "Nothing has been measured yet.")
	s.issuer.Close()
	s.submit("/times").shows(t, 200, "the issuer can&#39;t be reached")
}

// Nothing on the page needs more than its policy allows, and a picture has its words.
func TestTimesPage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for i := range timesKept + 5 {
		s.demo.web.times.add(measurement{s.clock.Now(), time.Duration(i) * time.Millisecond, i})
	}
	p := s.get("/times")
	p.shows(t, 200, `id="count">100<`, "id=\"median\">54.5\u00a0ms<", "id=\"slowest\">104.0\u00a0ms<", `role="img"`, `aria-labelledby="chart-title"`, "<title id=", "<desc id=", "<table", "<td>104.00</td>")
	if strings.Contains(p.body, "<td>4.00</td>") || strings.Index(p.body, "<td>104.00</td>") > strings.Index(p.body, "<td>5.00</td>") {
		t.Error("the rows are not the newest hundred, the newest first")
	}
	if m := regexp.MustCompile(`style=|<style|<script|\son[a-z]+=`).FindString(p.body); m != "" {
		t.Errorf("the page has %s", m)
	}
	if csp := p.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'self';") {
		t.Errorf("the policy is %s", csp)
	}
	for header, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"} {
		req := s.request("POST", "/times", "")
		req.Header.Set(header, value)
		s.do(req).shows(t, http.StatusForbidden)
	}
}

func TestScale(t *testing.T) {
	t.Parallel()
	for most, want := range map[float64]string{
		0: "0.02 5", 0.1: "0.02 5", 0.4: "0.1 4", 1: "0.2 5", 1.01: "0.5 3", 2.5: "0.5 5", 2.6: "1 3", 7: "2 4", 10: "2 5",
		11: "5 3", 26: "10 3", 99: "20 5", 101: "50 3", 5000: "1000 5",
	} {
		step, steps := scale([]float64{0, most, most / 3})
		if got := fmt.Sprintf("%.3g %d", step, steps); strings.ReplaceAll(got, "1e+03", "1000") != want {
			t.Errorf("up to %g: %s, not %s", most, got, want)
		}
	}
}

// Whatever is measured, the bars stand on the ground, side by side, within the picture.
func TestChart(t *testing.T) {
	t.Parallel()
	for _, all := range [][]time.Duration{
		{0},
		{-time.Second, time.Nanosecond},
		{time.Millisecond, 2 * time.Millisecond, time.Millisecond},
		{time.Microsecond, 4999 * time.Millisecond},
		many(100),
	} {
		c := newChart(all)
		if len(c.Bars) != len(all) || len(c.Ticks) < 3 || len(c.Ticks) > 6 || c.Ticks[0].Label != "0" {
			t.Errorf("%d durations: %d bars, ticks %v", len(all), len(c.Bars), c.Ticks)
		}
		right := chartLeft
		for i, b := range c.Bars {
			x, y, w, h := read(t, b.X), read(t, b.Y), read(t, b.Width), read(t, b.Height)
			if x < right || w <= 0 || h < 0.5 || y < chartTop-0.01 || y+h < chartBottom-0.02 || y+h > chartBottom+0.02 {
				t.Errorf("bar %d of %d: %+v", i, len(all), b)
			}
			right = x + w
		}
		if right > 100 {
			t.Errorf("the bars end at %g %%", right)
		}
	}
	c := newChart([]time.Duration{time.Millisecond, 2 * time.Millisecond, 4 * time.Millisecond})
	want := []tick{{"95.00%", "0"}, {"72.50%", "1"}, {"50.00%", "2"}, {"27.50%", "3"}, {"5.00%", "4"}}
	if diff := cmp.Diff(want, c.Ticks); diff != "" || c.Median != "50.00%" || c.Bars[2].Height != "90.00%" {
		t.Errorf("%s, the median at %s, the highest bar %+v", diff, c.Median, c.Bars[2])
	}
}

func many(n int) (all []time.Duration) {
	for i := range n {
		all = append(all, time.Duration(i*i)*time.Microsecond)
	}
	return all
}

func read(t *testing.T, percent string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(strings.TrimSuffix(percent, "%"), 64)
	if err != nil || !strings.HasSuffix(percent, "%") {
		t.Fatalf("%q is no percentage", percent)
	}
	return v
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for want, all := range map[time.Duration][]time.Duration{1: {1}, 2: {3, 1}, 3: {9, 3, 1}, 4: {5, 100, 1, 3}} {
		if got := median(all); got != want {
			t.Errorf("median of %v: %d", all, got)
		}
	}
}
