package demo

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// qrQuiet is the white border that a scanner needs, in modules (ISO/IEC 18004 §6.3.8).
const qrQuiet = 4

// qrView is a QR code as an SVG draws it: a square of Size by Size modules with the
// border, and a path around the dark ones.
type qrView struct {
	Size int
	Path string
}

// drawQR is nil for a text that no QR code can hold.
func drawQR(text string) *qrView {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil
	}
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; {
			n := 0
			for code.Black(x+n, y) {
				n++
			}
			if n > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+qrQuiet, y+qrQuiet, n, n)
			}
			x += n + 1
		}
	}
	return &qrView{Size: code.Size + 2*qrQuiet, Path: path.String()}
}
