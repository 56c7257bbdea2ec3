package netbench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// rawTLS is how many bytes a second TLS 1.3 of the standard library carries on
// the loopback network, both ends in this process: one
// connection for each of four peers, written 1 MiB at a time.
func rawTLS(b *testing.B, size int64) float64 {
	b.Helper()
	const streams = 4
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate(b)}, MinVersion: tls.VersionTLS13})
	ok(b, err)
	defer l.Close()
	var wg sync.WaitGroup
	start := time.Now()
	for range streams {
		wg.Go(func() { serveBytes(b, l, size/streams) })
		wg.Go(func() { readBytes(b, l.Addr().String()) })
	}
	wg.Wait()
	return float64(size) / time.Since(start).Seconds()
}

func serveBytes(b *testing.B, l net.Listener, n int64) {
	c, err := l.Accept()
	if err != nil {
		b.Error(err)
		return
	}
	defer c.Close()
	for buf := make([]byte, 1<<20); n > 0; n -= int64(len(buf)) {
		if _, err := c.Write(buf); err != nil {
			b.Error(err)
			return
		}
	}
}

func readBytes(b *testing.B, addr string) {
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	if err != nil {
		b.Error(err)
		return
	}
	defer c.Close()
	for buf := make([]byte, 1<<20); ; {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

func certificate(b *testing.B) tls.Certificate {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(b, err)
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	ok(b, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
