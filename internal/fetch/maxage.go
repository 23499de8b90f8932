package fetch

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxAge reads how long an answer may be kept (RFC 9111 §5.2.2.1).
func maxAge(h http.Header) time.Duration {
	for part := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
			return time.Duration(n) * time.Second
		}
	}
	return 0
}
