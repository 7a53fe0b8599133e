#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may be blunt")]

use super::*;

fn of(file: &str, diff: &str) -> Behaviour {
    read(Some(diff), &[file.to_owned()])
}

#[test]
fn what_leaves_behaviour_as_it_was_scores_low() {
    let check = |file: &str, diff: &str, most: f64| {
        let read = of(file, diff);
        assert!(read.change <= most, "{} ({}): {diff}", read.change, read.reason);
    };
    check("a/run.go", "@@ a @@\n-// waits for all\n+// waits for all of them", 0.05);
    check("a/run.go", "-\tif ok {\n-\t  go()\n-\t}\n+\tif ok {\n+\t\tgo()\n+\t}", 0.1);
    check(
        "a/run.go",
        "-\tx := open(p)\n-\treturn x.read()\n+\treturn load(p)\n+}\n+\n+func load(p string) T {\n+\tx := open(p)\n+\treturn x.read()",
        0.15,
    );
    check("a/run.go", "-\tc := root()\n-\tserve(c, 1)\n+\tctx := root()\n+\tserve(ctx, 1)", 0.1);
    check("go.mod", "-\texample.org/lib v1.4.2\n+\texample.org/lib v1.4.3", 0.12);
    check("a/errors.go", "-\tsay(\"canot open the file\")\n+\tsay(\"cannot open the file\")", 0.15);
    check("a/hits.go", "+\thits.Inc()\n+\tlog.Info(\"hit\")", 0.2);
    check("web/page.css", "-.box { width: 1px }\n+.box { width: 900px }", 0.1);
    check("a/run_test.go", "-const limit = 50\n+const limit = 1", 0.02);
    check("db/0042.sql", "+CREATE INDEX CONCURRENTLY by_day ON visits (day);", 0.2);
}

#[test]
fn what_alters_behaviour_scores_high_whatever_it_looks_like() {
    let check = |file: &str, diff: &str, least: f64| {
        let read = of(file, diff);
        assert!(read.change >= least, "{} ({}): {diff}", read.change, read.reason);
    };
    check("a/boot.ts", "-  seedDefaults(store);\n", 0.85);
    check("a/pool.go", "-const ceiling = 80\n+const ceiling = 8", 0.8);
    check("a/cache.go", "-\tKeep: 20 * time.Minute,\n+\tKeep: 20 * time.Second,", 0.9);
    check("conf/app.yaml", "-  keep: 20m\n+  keep: 20s", 0.9);
    check("conf/app.yaml", "-  verbosity: warn\n+  verbosity: trace", 0.75);
    check("conf/app.yaml", "-  memory: 2Gi\n+  memory: 128Mi", 0.8);
    check("a/map.go", "-\t\"owner\": text,\n+\t\"holder\": text,", 0.75);
    check(
        "a/store.go",
        "-\treturn db.Query(\"SELECT a FROM t WHERE id = $1\")\n+\treturn db.Query(\"SELECT a FROM t\")",
        0.6,
    );
    check(
        "a/write.go",
        "-\tsendAll(ctx, items)\n+\tfor _, one := range items {\n+\t\tsendOne(ctx, one)\n+\t}",
        0.6,
    );
    check("db/0043.sql", "+ALTER TABLE visits DROP COLUMN day;", 0.85);
    check("a/guard.go", "-\tif stale {\n-\t\treturn old\n-\t}", 0.7);
}

#[test]
fn the_size_of_a_changed_value_matters_not_its_spelling() {
    let of_value = |old: &str, new: &str| of("a.yaml", &format!("-  wait: {old}\n+  wait: {new}")).change;
    assert!(of_value("50000", "60000") < 0.45);
    assert!(of_value("30s", "35s") < of_value("30s", "90s"));
    assert!(of_value("30s", "90s") < of_value("30s", "3s"));
    assert!((of_value("60s", "1s") - of_value("1m", "1s")).abs() < 1e-9);
    assert_eq!(of("a.yaml", "-  size: 50\n+  size: 10").values, [(50.0, 10.0)]);
}

#[test]
fn words_that_went_weigh_more_than_those_beside() {
    let read = of("a/boot.ts", " const registry = build();\n-  seedPresets(registry);\n registry.warm();");
    assert!(read.words["preset"] > read.words["warm"], "{:?}", read.words);
    assert!(read.removed.contains("seed"), "{:?}", read.removed);
}

#[test]
fn nothing_at_hand_is_neither_innocent_nor_guilty() {
    let unread = read(None, &["a/run.go".into()]);
    assert!((0.2..0.5).contains(&unread.change));
    assert_eq!(read(None, &["docs/run.md".into()]).change, 0.02);
}
