//! A metric before and after, drawn with characters. Owns the drawing; the numbers are Prometheus'.

use anyhow::Context;
use std::time::Duration;

const COLUMNS: usize = 64;
const ROWS: usize = 8;
const QUERY_WAIT: Duration = Duration::from_secs(10);

/// Points in order of time: (seconds since the epoch, value).
pub type Points = Vec<(f64, f64)>;

/// A moment to mark under the chart.
pub struct Mark {
    pub at_s: f64,
    pub letter: char,
    pub meaning: String,
}

/// Asks Prometheus for one series, as many points as the chart has columns.
///
/// # Errors
/// When it cannot be asked or answers something else.
pub async fn points(prometheus_url: &str, promql: &str, from_s: f64, to_s: f64) -> anyhow::Result<Points> {
    let client = reqwest::Client::builder().no_proxy().timeout(QUERY_WAIT).build()?;
    let step_s = ((to_s - from_s) / COLUMNS as f64).max(1.0);
    let answer: serde_json::Value = client
        .get(format!("{prometheus_url}/api/v1/query_range"))
        .query(&[
            ("query", promql),
            ("start", &from_s.to_string()),
            ("end", &to_s.to_string()),
            ("step", &step_s.to_string()),
        ])
        .send()
        .await?
        .error_for_status()?
        .json()
        .await
        .context("cannot understand Prometheus")?;
    let values = answer.pointer("/data/result/0/values").and_then(serde_json::Value::as_array);
    let point = |value: &serde_json::Value| {
        let (at, value) = (value.get(0)?.as_f64()?, value.get(1)?.as_str()?.parse::<f64>().ok()?);
        value.is_finite().then_some((at, value))
    };
    Ok(values.into_iter().flatten().filter_map(point).collect())
}

/// Lines of a chart from zero to the highest value. Empty when there is nothing to draw.
pub fn draw(points: &Points, unit: &str, from_s: f64, to_s: f64, marks: &[Mark]) -> Vec<String> {
    let highest = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    if points.is_empty() || to_s <= from_s {
        return Vec::new();
    }
    let top = if highest > 0.0 { highest } else { 1.0 };
    let column = |at_s: f64| {
        let share = ((at_s - from_s) / (to_s - from_s)).clamp(0.0, 1.0);
        ((share * COLUMNS as f64) as usize).min(COLUMNS - 1)
    };
    let mut heights: Vec<Option<f64>> = vec![None; COLUMNS];
    for (at_s, value) in points {
        if let Some(height) = heights.get_mut(column(*at_s)) {
            // Two points of a column: the higher one, so that no peak is lost.
            *height = Some(height.map_or(*value, |known: f64| known.max(*value)));
        }
    }
    fill_gaps(&mut heights);
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut lines = Vec::new();
    for row in (0..ROWS).rev() {
        let label = if row == ROWS - 1 { format!("{top:.0} {unit}") } else { String::new() };
        let bars: String = heights
            .iter()
            .map(|height| {
                let eighths = height.map_or(0.0, |value| value.max(0.0) / top * (ROWS * 8) as f64);
                let here = (eighths.round() as usize).saturating_sub(row * 8).min(8);
                EIGHTHS.get(here).copied().unwrap_or(' ')
            })
            .collect();
        lines.push(format!("{label:>9} │{bars}"));
    }
    let mut axis = vec!['─'; COLUMNS];
    for mark in marks {
        if let Some(place) = axis.get_mut(column(mark.at_s)) {
            *place = mark.letter;
        }
    }
    lines.push(format!("{:>9} └{}", format!("0 {unit}").trim_end(), axis.iter().collect::<String>()));
    let meanings: Vec<String> =
        marks.iter().map(|mark| format!("{} {}", mark.letter, mark.meaning)).collect();
    lines.push(format!("{:>9}  {}", "", meanings.join(" · ")));
    lines
}

/// A column that no point fell into shows what was there before; a real gap, of several columns, stays one.
fn fill_gaps(heights: &mut [Option<f64>]) {
    let mut before = None;
    for height in heights {
        let here = *height;
        if here.is_none() {
            *height = before;
        }
        before = here;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_value_fills_its_column_and_zero_leaves_it_empty() {
        let points = vec![(0.0, 0.0), (50.0, 40.0), (51.6, 0.0), (100.0, 0.0)];
        let marks = [Mark { at_s: 50.0, letter: 'F', meaning: "fault".to_owned() }];
        let lines = draw(&points, "%", 0.0, 100.0, &marks);
        assert_eq!(lines.len(), ROWS + 2);
        for line in &lines[..ROWS] {
            assert_eq!(line.chars().filter(|c| *c == '█').count(), 1, "{line}");
        }
        assert!(lines[0].starts_with("     40 %"), "{}", lines[0]);
        // The mark is under the peak.
        let place = |line: &str, wanted: char| line.chars().position(|c| c == wanted).unwrap();
        assert_eq!(place(&lines[0], '█'), place(&lines[ROWS], 'F'));
        assert!(lines[ROWS + 1].contains("F fault"));
    }

    #[test]
    fn a_column_between_two_points_is_filled_and_a_gap_is_not() {
        let mut heights = [Some(1.0), None, Some(2.0), None, None, Some(3.0)];
        fill_gaps(&mut heights);
        assert_eq!(heights, [Some(1.0), Some(1.0), Some(2.0), Some(2.0), None, Some(3.0)]);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(draw(&Points::new(), "", 0.0, 1.0, &[]).is_empty());
        let flat = draw(&vec![(0.0, 0.0)], "", 0.0, 1.0, &[]);
        assert!(!flat[0].contains('█'));
    }
}
