package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// runSQLite fills a database in a journal mode with two writers at once.
func runSQLite(t *testing.T, dir, mode string) {
	file := filepath.Join(dir, "db")
	sql := func(text string) string {
		t.Helper()
		return strings.TrimSpace(program(t, dir, "sqlite3", "-bail", "-cmd", ".timeout 60000", file, text))
	}
	if got := sql("pragma journal_mode=" + mode); got != mode {
		t.Fatalf("the journal mode is %q, not %q", got, mode)
	}
	sql("create table t(id integer primary key, who text, v blob); create index i on t(who, id)")
	const writers, rows = 2, 40
	t.Run("writers", func(t *testing.T) {
		for i := range writers {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				var b strings.Builder
				for range rows {
					fmt.Fprintf(&b, "begin immediate; insert into t(who, v) values('w%d', randomblob(3000)); commit;\n", i)
				}
				program(t, dir, "sqlite3", "-bail", "-cmd", ".timeout 60000", file, b.String())
			})
		}
	})
	sql("begin; insert into t(who, v) select 'bulk', randomblob(200) from generate_series(1, 20000); commit")
	sql("begin; delete from t; rollback")
	sql("delete from t where who = 'bulk' and id % 2; vacuum")
	if got := sql("pragma integrity_check"); got != "ok" {
		t.Errorf("integrity_check: %s", got)
	}
	if got, want := sql("select count(*) from t where who like 'w%'"), fmt.Sprint(writers*rows); got != want {
		t.Errorf("%s rows of the writers, not %s", got, want)
	}
}
