package server

import "crypto/tls"

// ciphers are the suites of TLS 1.2 that RFC 9325 §4.2 recommends, which FAPI 2.0 Security
// Profile 5.2.1 leaves alone; those of TLS 1.3 are no choice.
var ciphers = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
}
