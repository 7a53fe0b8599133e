//! What was measured, in a form that cannot be quoted without its unit, its count and its method.

use anyhow::Context;
use medic_tests::load::Samples;
use serde::Serialize;
use std::{fmt::Write, time::Duration};

/// Width of the column that names a figure.
const WHAT_WIDTH: usize = 46;

/// Where and with what the figures were taken.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Of this build, and so of the `medicd` beside it: assertions mean an unoptimised one.
    pub debug_assertions: bool,
    /// Hardware threads this process may use.
    pub cores: usize,
    /// Mean number of runnable tasks in the minute before: above 0.5 somebody else was at work.
    pub load_before: f64,
}

impl Machine {
    /// # Errors
    /// When the system does not tell.
    pub fn look() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().context("cannot count the cores")?.get();
        let load = std::fs::read_to_string("/proc/loadavg").context("cannot read the load")?;
        let load_before = load.split(' ').next().and_then(|first| first.parse().ok());
        Ok(Self {
            debug_assertions: cfg!(debug_assertions),
            cores,
            load_before: load_before.context("cannot understand the load")?,
        })
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Value {
    /// Empty when the figure's name says it all.
    pub name: &'static str,
    pub value: f64,
    pub unit: &'static str,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub what: String,
    pub values: Vec<Value>,
    /// Samples behind the values.
    pub n: usize,
    pub how: String,
}

impl Figure {
    pub fn new(what: impl Into<String>, n: usize, how: impl Into<String>) -> Self {
        Self { what: what.into(), values: Vec::new(), n, how: how.into() }
    }

    pub fn value(mut self, name: &'static str, value: f64, unit: &'static str) -> Self {
        self.values.push(Value { name, value, unit });
        self
    }

    /// Median and 99th percentile, by nearest rank; nothing when nothing was measured.
    pub fn percentiles(mut self, samples: &Samples) -> Self {
        for (name, percent) in [("p50", 50), ("p99", 99)] {
            if let Some(value) = samples.percentile_ms(percent) {
                self = self.value(name, value, "ms");
            }
        }
        self
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    machine: Machine,
    figures: Vec<Figure>,
    /// Of the whole run.
    took_s: f64,
}

impl Figures {
    pub fn new(machine: Machine) -> Self {
        Self { machine, figures: Vec::new(), took_s: 0.0 }
    }

    pub fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    pub fn extend(&mut self, figures: impl IntoIterator<Item = Figure>) {
        self.figures.extend(figures);
    }

    pub fn took(&mut self, took: Duration) {
        self.took_s = took.as_secs_f64();
    }

    /// # Errors
    /// When a value is not a number.
    pub fn json(&self) -> anyhow::Result<String> {
        serde_json::to_string_pretty(self).context("cannot write the figures as JSON")
    }

    /// For people: a line for each figure, and below it how it was measured.
    pub fn table(&self) -> String {
        let Machine { debug_assertions, cores, load_before } = &self.machine;
        let build = if *debug_assertions { "unoptimised, with debug assertions" } else { "optimised" };
        let mut table = format!(
            "build: {build}   cores: {cores}, shared with the load   load before: {load_before:.2}   took: {:.0} s\n",
            self.took_s
        );
        for Figure { what, values, n, how } in &self.figures {
            let said: Vec<String> = values.iter().map(said).collect();
            // Writing to a String cannot fail.
            let _ = write!(table, "\n{what:<WHAT_WIDTH$} {}   n={n}\n    {how}\n", said.join("   "));
        }
        table
    }
}

/// Three digits that mean something, and no more.
fn said(Value { name, value, unit }: &Value) -> String {
    let digits = match value.abs() {
        value if value.fract() == 0.0 || value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    let name = if name.is_empty() { String::new() } else { format!("{name} ") };
    format!("{name}{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let mut figures = Figures::new(Machine { debug_assertions: true, cores: 2, load_before: 0.25 });
        let mut samples = Samples::default();
        samples.push(Duration::from_micros(1_234));
        figures.add(Figure::new("a round trip", 1, "by hand").value("", 812.4, "1/s").percentiles(&samples));
        figures
    }

    #[test]
    fn no_figure_is_without_unit_count_and_method() {
        let table = figures().table();
        assert!(table.contains("812 1/s   p50 1.23 ms   p99 1.23 ms   n=1"), "{table}");
        assert!(table.contains("\n    by hand\n") && table.contains("with debug assertions"), "{table}");
    }

    #[test]
    fn programs_read_what_people_read() {
        let read: serde_json::Value = serde_json::from_str(&figures().json().unwrap()).unwrap();
        assert_eq!(read["machine"]["cores"], 2);
        let figure = &read["figures"][0];
        assert_eq!((figure["n"].as_u64(), figure["how"].as_str()), (Some(1), Some("by hand")));
        assert_eq!(figure["values"][1], serde_json::json!({ "name": "p50", "value": 1.234, "unit": "ms" }));
    }

    #[test]
    fn figures_of_nothing_claim_no_time() {
        let figure = Figure::new("nothing", 0, "").percentiles(&Samples::default());
        assert!(figure.values.is_empty());
    }
}
