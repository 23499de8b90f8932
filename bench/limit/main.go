// Command limit is what any net/http server could do at best: it answers with 700
// bytes of JSON after parsing a form and making a number of ES256 signatures, or,
// for a GET, after nothing. The product is measured beside it.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"flag"
	"log"
	"net/http"
	"strconv"
	"strings"
)

// size is how long an answer is, in bytes.
const size = 700

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address and port")
	signs := flag.Int("signs", 0, "ES256 signatures made for each POST")
	flag.Parse()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	body := answer()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { write(w, body) })
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || len(r.PostForm) == 0 {
			http.Error(w, "no form", http.StatusBadRequest)
			return
		}
		for range *signs {
			digest := sha256.Sum256(body)
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
				http.Error(w, "no signature", http.StatusInternalServerError)
				return
			}
		}
		write(w, body)
	})
	log.Fatal(http.ListenAndServe(*listen, mux))
}

func write(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

func answer() []byte {
	const frame = `{"access_token":"","expires_in":300,"token_type":"Bearer"}`
	return []byte(strings.Replace(frame, `""`, `"`+strings.Repeat("a", size-len(frame))+`"`, 1))
}
