package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browserPage counts its visits in each store that a browser has, and says so.
const browserPage = `<!doctype html><script>
(async () => {
  const local = Number(localStorage.n || 0) + 1
  localStorage.n = local
  const db = await new Promise((yes, no) => {
    const r = indexedDB.open("visits", 1)
    r.onupgradeneeded = () => r.result.createObjectStore("s")
    r.onsuccess = () => yes(r.result)
    r.onerror = () => no(r.error)
  })
  const indexed = await new Promise((yes, no) => {
    const t = db.transaction("s", "readwrite", {durability: "strict"}), s = t.objectStore("s"), g = s.get("n")
    let n
    g.onsuccess = () => { n = (g.result || 0) + 1; s.put(n, "n") }
    t.oncomplete = () => yes(n)
    t.onerror = () => no(t.error)
  })
  const cache = await caches.open("c"), kept = await cache.match("/n")
  const cached = Number(kept ? await kept.text() : 0) + 1
  await cache.put("/n", new Response(String(cached)))
  await fetch("/visited?" + [local, indexed, cached])
})().catch(e => fetch("/visited?" + e))
</script>`

// runBrowser opens a page several times with its profile in the folder, each
// time in a browser that has just been started.
func runBrowser(t *testing.T, w *world, dir string) {
	visited := make(chan string, 16)
	site := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			out.Header().Set("Content-Type", "text/html")
			fmt.Fprint(out, browserPage)
		case "/visited":
			visited <- r.URL.RawQuery
		default:
			http.NotFound(out, r)
		}
	}))
	defer site.Close()
	for visit := 1; visit <= 4; visit++ {
		browser := runner{dir: dir}.start(t, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
			"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
			"--user-data-dir="+filepath.Join(dir, "profile"), site.URL)
		select {
		case got := <-visited:
			if want := fmt.Sprintf("%d,%d,%d", visit, visit, visit); visit < 4 && got != want {
				t.Errorf("visit %d found %s, not %s", visit, got, want)
			}
			if part := strings.Split(got, ","); visit == 4 && (len(part) != 3 || part[1] != "4") {
				t.Errorf("after the crash the strict database is not what was committed: %s", got)
			}
		case <-time.After(2 * time.Minute):
			browser.kill()
			t.Fatalf("visit %d was not within two minutes:\n%s", visit, browser.out.String())
		}
		if visit == 3 {
			browser.kill() // a crash, which only the strict database promises to survive
		} else {
			browser.end(t)
		}
		if visit == 2 {
			w.unmount()
			w.mountAgain()
		}
	}
}
