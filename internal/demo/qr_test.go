package demo

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rsc.io/qr"
	"rsc.io/qr/coding"
)

// readQR reads the code that a page draws back into text, as a scanner would whose picture
// has no fault.
func readQR(t *testing.T, body string) string {
	t.Helper()
	box := regexp.MustCompile(`<svg id="qr" viewBox="0 0 (\d+) (\d+)"`).FindStringSubmatch(body)
	path := regexp.MustCompile(`<path d="([^"]*)" fill="#000000"/>`).FindStringSubmatch(body)
	if box == nil || path == nil || box[1] != box[2] {
		t.Fatalf("no QR code: %s", body)
	}
	return decodeQR(t, modules(t, box[1], path[1]))
}

// modules are the dark ones of a path within its white border.
func modules(t *testing.T, side, path string) [][]bool {
	t.Helper()
	n, _ := strconv.Atoi(side)
	dark := make([][]bool, n)
	for y := range dark {
		dark[y] = make([]bool, n)
	}
	runs := regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)
	if rest := runs.ReplaceAllString(path, ""); rest != "" {
		t.Fatalf("the path has %q", rest)
	}
	for _, run := range runs.FindAllStringSubmatch(path, -1) {
		x, _ := strconv.Atoi(run[1])
		y, _ := strconv.Atoi(run[2])
		for i := range mustInt(t, run[3], run[4]) {
			dark[y][x+i] = true
		}
	}
	inner := dark[qrQuiet : n-qrQuiet]
	for y := range dark {
		for x := range dark {
			border := min(x, y, n-1-x, n-1-y) < qrQuiet
			if border && dark[y][x] {
				t.Fatalf("the border is dark at %d, %d", x, y)
			}
		}
	}
	for y := range inner {
		inner[y] = inner[y][qrQuiet : n-qrQuiet]
	}
	return inner
}

func mustInt(t *testing.T, a, b string) int {
	t.Helper()
	n, err := strconv.Atoi(a)
	if err != nil || a != b {
		t.Fatalf("a run goes %s there and %s back", a, b)
	}
	return n
}

// decodeQR takes the octets out of the modules by the standard's plan of them.
func decodeQR(t *testing.T, dark [][]bool) string {
	t.Helper()
	version := coding.Version((len(dark) - 17) / 4)
	plan, err := coding.NewPlan(version, coding.M, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Pixel) != len(dark) {
		t.Fatalf("%d modules a side", len(dark))
	}
	bits := make([]byte, 8*plan.DataBytes)
	for y, row := range plan.Pixel {
		for x, pixel := range row {
			switch pixel.Role() {
			case coding.Data:
				if dark[y][x] != (pixel&coding.Invert != 0) {
					bits[pixel.Offset()] = 1
				}
			case coding.Position, coding.Alignment, coding.Timing, coding.Format:
				if dark[y][x] != (pixel&coding.Black != 0) {
					t.Fatalf("the module at %d, %d is wrong", x, y)
				}
			}
		}
	}
	number := func(from, n int) (v int) {
		for _, bit := range bits[from : from+n] {
			v = v<<1 | int(bit)
		}
		return v
	}
	if mode := number(0, 4); mode != 4 || version > 9 {
		t.Fatalf("mode %d of version %d is not octets of a small code", mode, version)
	}
	text := make([]byte, number(4, 8))
	for i := range text {
		text[i] = byte(number(12+8*i, 8))
	}
	return string(text)
}

func TestDrawQR(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a", "https://login.example/device?user_code=BCDF-GHJK", "http://x/?" + strings.Repeat("é", 60)} {
		v := drawQR(text)
		if got := decodeQR(t, modules(t, strconv.Itoa(v.Size), v.Path)); got != text {
			t.Errorf("%q reads as %q", text, got)
		}
	}
	if drawQR(strings.Repeat("a", 3000)) != nil {
		t.Error("a code of 3000 octets")
	}
	code, err := qr.Encode("a", qr.M)
	if err != nil || code.Size != 21 || drawQR("a").Size != 29 {
		t.Errorf("%d modules, %v", code.Size, err)
	}
}
