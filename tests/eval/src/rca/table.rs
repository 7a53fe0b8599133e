//! Recorded series as tables: a time column, and series named by their selectors across or by columns of calls.

use crate::input;
use anyhow::{Context as _, bail};
use medic_signals::series::{Sample, Series};
use std::collections::BTreeMap;
use std::path::Path;

/// Beyond this a time is in milliseconds: in seconds it would be the year 5138.
const SECONDS_MAX: f64 = 1e11;

/// Milliseconds since the epoch from a number of seconds or milliseconds.
pub fn time_ms(number: f64) -> u64 {
    (if number.abs() < SECONDS_MAX { number * 1000.0 } else { number }).max(0.0) as u64
}

fn rows(path: &Path) -> anyhow::Result<(Vec<String>, Vec<csv::StringRecord>)> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input::open(path)?);
    let reading = || format!("cannot read {}", path.display());
    let header = reader.headers().with_context(reading)?.iter().map(str::to_owned).collect();
    let rows = reader.records().collect::<Result<Vec<_>, _>>().with_context(reading)?;
    Ok((header, rows))
}

fn sample(time: u64, cell: &str) -> Option<Sample> {
    let value = cell.trim().parse().ok()?;
    Some(Sample { at_ms: time, value })
}

/// One series a column, named by the header's selector; the first column is the time. Empty cells are no samples.
pub fn read_series(path: &Path) -> anyhow::Result<Vec<Series>> {
    let (header, rows) = rows(path)?;
    let mut columns: Vec<Vec<Sample>> = vec![Vec::with_capacity(rows.len()); header.len()];
    for row in &rows {
        let Some(time) = row.get(0).and_then(|cell| cell.trim().parse().ok()).map(time_ms) else {
            bail!("{} has a row whose time is {:?}", path.display(), row.get(0).unwrap_or_default());
        };
        for (column, cell) in columns.iter_mut().zip(row.iter()).skip(1) {
            column.extend(sample(time, cell));
        }
    }
    let named = header.iter().zip(columns).skip(1);
    Ok(named.map(|(selector, samples)| Series::new(labels_of(selector), samples)).collect())
}

/// One series for each call and figure of a table with the columns `caller` and `callee`; the first column is the time.
pub fn read_calls(path: &Path) -> anyhow::Result<Vec<Series>> {
    let (header, rows) = rows(path)?;
    let at = |name: &str| header.iter().position(|cell| cell.eq_ignore_ascii_case(name));
    let (Some(caller_at), Some(callee_at)) = (at("caller"), at("callee")) else {
        bail!("{} has no columns caller and callee", path.display());
    };
    let mut series: BTreeMap<(String, String, usize), Vec<Sample>> = BTreeMap::new();
    for row in &rows {
        let Some(time) = row.get(0).and_then(|cell| cell.trim().parse().ok()).map(time_ms) else { continue };
        let (Some(caller), Some(callee)) = (row.get(caller_at), row.get(callee_at)) else { continue };
        for (column, cell) in row.iter().enumerate().skip(1) {
            if column != caller_at
                && column != callee_at
                && let Some(sample) = sample(time, cell)
            {
                series.entry((caller.to_owned(), callee.to_owned(), column)).or_default().push(sample);
            }
        }
    }
    Ok(series
        .into_iter()
        .map(|((caller, callee, column), samples)| {
            let name = header.get(column).cloned().unwrap_or_default();
            let labels = [("__name__", name), ("caller", caller), ("callee", callee)];
            Series::new(labels.into_iter().map(|(label, value)| (label.to_owned(), value)).collect(), samples)
        })
        .collect())
}

/// Adds `past` before `series`, moved so that its last sample comes `gap_ms` before the first of theirs: it was recorded
/// at another time, in health. The gap keeps the seam from looking like an onset.
pub fn with_past(mut series: Vec<Series>, past: Vec<Series>, gap_ms: u64) -> Vec<Series> {
    let first = series.iter().filter_map(|one| one.samples.first()).map(|sample| sample.at_ms).min();
    let last = past.iter().filter_map(|one| one.samples.last()).map(|sample| sample.at_ms).max();
    let (Some(first), Some(last)) = (first, last) else { return series };
    let mut by_labels: BTreeMap<BTreeMap<String, String>, usize> =
        series.iter().enumerate().map(|(index, one)| (one.labels.clone(), index)).collect();
    for mut old in past {
        for sample in &mut old.samples {
            sample.at_ms = (sample.at_ms + first).saturating_sub(last + gap_ms);
        }
        match by_labels.get(&old.labels).and_then(|index| series.get_mut(*index)) {
            Some(own) => {
                *own = Series::new(old.labels, [old.samples, std::mem::take(&mut own.samples)].concat())
            }
            None => {
                by_labels.insert(old.labels.clone(), series.len());
                series.push(old);
            }
        }
    }
    series
}

/// The labels in a selector like `up{job="x",instance="y"}`, its name as `__name__`. A text that is none is a name.
pub fn labels_of(selector: &str) -> BTreeMap<String, String> {
    let selector = selector.trim();
    let (name, inner) = match selector.split_once('{') {
        Some((name, rest)) if rest.ends_with('}') => (name, rest.trim_end_matches('}')),
        _ => (selector, ""),
    };
    let mut labels = BTreeMap::from([("__name__".to_owned(), name.to_owned())]);
    let mut rest = inner;
    while let Some((label, value)) = rest.split_once('=') {
        let Some(value) = value.trim_start().strip_prefix('"') else { break };
        let mut text = String::new();
        let mut chars = value.char_indices();
        let mut end = value.len();
        while let Some((at, next)) = chars.next() {
            match next {
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, other)) => text.push(other),
                    None => {}
                },
                '"' => {
                    end = at + 1;
                    break;
                }
                other => text.push(other),
            }
        }
        labels.insert(label.trim_matches([',', ' ']).to_owned(), text);
        rest = value.get(end..).unwrap_or_default();
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn selectors_become_labels() {
        assert_eq!(
            labels_of(r#"up{job="a,b=c}", instance="x\"y"}"#),
            labels(&[("__name__", "up"), ("job", "a,b=c}"), ("instance", "x\"y")])
        );
        assert_eq!(labels_of("cart_cpu"), labels(&[("__name__", "cart_cpu")]));
        assert_eq!(labels_of("{a=\"b\"}"), labels(&[("__name__", ""), ("a", "b")]));
        assert_eq!(labels_of("x{broken"), labels(&[("__name__", "x{broken")]));
        assert_eq!(labels_of("x{a=}"), labels(&[("__name__", "x")]));
    }

    #[test]
    fn the_past_ends_a_gap_before_the_recording() {
        let series = |times: &[u64]| {
            let samples = times.iter().map(|at_ms| Sample { at_ms: *at_ms, value: 1.0 }).collect();
            Series::new(labels(&[("__name__", "m")]), samples)
        };
        let joined = with_past(vec![series(&[1000, 1060])], vec![series(&[50, 110])], 60);
        let times: Vec<u64> = joined[0].samples.iter().map(|sample| sample.at_ms).collect();
        assert_eq!((joined.len(), times), (1, vec![880, 940, 1000, 1060]));
    }

    #[test]
    fn times_are_seconds_or_milliseconds() {
        assert_eq!(time_ms(1_661_149_920.0), 1_661_149_920_000);
        assert_eq!(time_ms(1_661_149_920_000.0), 1_661_149_920_000);
    }
}
