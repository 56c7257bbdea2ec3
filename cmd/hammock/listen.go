package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// A node listens at the port of its last run if that is free, so that those who
// know its address find it again, and firewalls and routers need one rule.

// listenAddrs is where a node listens: where it was told, else at the port.
func listenAddrs(asked []string, port int, loopback bool) []string {
	if len(asked) > 0 {
		return asked
	}
	host := ""
	if loopback {
		host = "127.0.0.1"
	}
	if !free(host, port) {
		port = 0 // any
	}
	if loopback {
		return []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port)}
	}
	return []string{fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", port), fmt.Sprintf("/ip4/0.0.0.0/udp/%d/quic-v1", port), fmt.Sprintf("/ip6/::/tcp/%d", port)}
}

// free says whether a TCP port can be listened at.
func free(host string, port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// portOf is the TCP port of a node that listens at these addresses; 0 if there
// is none.
func portOf(addrs []string) int {
	for _, a := range addrs {
		_, rest, ok := strings.Cut(a, "/tcp/")
		if !ok {
			continue
		}
		digits, _, _ := strings.Cut(rest, "/")
		if port, err := strconv.Atoi(digits); err == nil && port > 0 {
			return port
		}
	}
	return 0
}
