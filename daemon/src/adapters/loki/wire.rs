//! Loki's answers, read.
//!
//! Owns the forms: streams with entries of two or three parts, a vector for a count, lists of names. Whatever else comes is
//! an error that says what it was.

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::sync::Arc;

/// One line as Loki keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub at_ns: u64,
    /// The stream's labels, with what Loki read out of the line. Shared by the stream's entries.
    pub stream: Arc<BTreeMap<String, String>>,
    pub line: String,
}

#[derive(Deserialize)]
struct Envelope<T> {
    status: String,
    data: T,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    stream: BTreeMap<String, String>,
    values: Vec<Vec<serde_json::Value>>,
}

fn envelope<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, String> {
    let envelope: Envelope<T> = serde_json::from_slice(bytes).map_err(|error| {
        let text =
            crate::adapters::http::excerpt(&String::from_utf8_lossy(bytes.get(..400).unwrap_or(bytes)));
        format!("not an answer of Loki ({error}): {text}")
    })?;
    if envelope.status == "success" { Ok(envelope.data) } else { Err(format!("status {}", envelope.status)) }
}

/// Log entries, in the order of the answer.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let data: Data = envelope(bytes)?;
    if data.result_type != "streams" {
        return Err(format!("{} in place of log lines", data.result_type));
    }
    let streams: Vec<Stream> = serde_json::from_value(data.result).map_err(|error| error.to_string())?;
    let mut entries = Vec::new();
    for Stream { stream, values } in streams {
        let stream = Arc::new(stream);
        for value in values {
            entries.push(entry(&stream, &value).ok_or("an entry that is no pair of time and line")?);
        }
    }
    Ok(entries)
}

/// `["1795349178641192579", "line"]`, behind which Loki may put what it knows besides.
fn entry(stream: &Arc<BTreeMap<String, String>>, value: &[serde_json::Value]) -> Option<Entry> {
    let [at, line, ..] = value else { return None };
    let mut stream = stream.clone();
    if let Some(known) = value.get(2).and_then(serde_json::Value::as_object) {
        let mut labels = stream.as_ref().clone();
        let nested = ["structuredMetadata", "parsed"].iter().filter_map(|part| known.get(*part)?.as_object());
        for (name, value) in nested.flatten().chain(known.iter()) {
            if let Some(value) = value.as_str() {
                labels.entry(name.clone()).or_insert_with(|| value.to_owned());
            }
        }
        stream = Arc::new(labels);
    }
    Some(Entry { at_ns: at.as_str()?.parse().ok()?, stream, line: line.as_str()?.to_owned() })
}

/// `page` without what `found` holds of its moment `at_ns`: as often as it stands there.
pub(super) fn without_known(page: Vec<Entry>, found: &[Entry], at_ns: u64) -> Vec<Entry> {
    let mut known: Vec<&Entry> = found.iter().rev().take_while(|entry| entry.at_ns == at_ns).collect();
    page.into_iter()
        .filter(|entry| match known.iter().position(|known| *known == entry) {
            Some(place) => {
                known.swap_remove(place);
                false
            }
            None => true,
        })
        .collect()
}

/// Names of labels, or values of one. Loki leaves the list out when it is empty.
pub(super) fn names(bytes: &[u8]) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Names {
        status: String,
        #[serde(default)]
        data: Vec<String>,
    }
    let names: Names =
        serde_json::from_slice(bytes).map_err(|error| format!("not an answer of Loki: {error}"))?;
    if names.status == "success" { Ok(names.data) } else { Err(format!("status {}", names.status)) }
}

/// Label sets of streams.
pub(super) fn streams(bytes: &[u8]) -> Result<Vec<BTreeMap<String, String>>, String> {
    envelope(bytes)
}

/// The only number of a vector; zero for an empty one.
pub(super) fn count(bytes: &[u8]) -> Option<u64> {
    let data: Data = envelope(bytes).ok()?;
    let vector = data.result.as_array().filter(|_| data.result_type == "vector")?;
    match vector.as_slice() {
        [] => Some(0),
        [only] => {
            let value: f64 = only.pointer("/value/1")?.as_str()?.parse().ok()?;
            (value.is_finite() && value >= 0.0).then_some(value as u64)
        }
        _ => None,
    }
}

/// `max entries limit per query exceeded, limit > max_entries_limit_per_query (100000 > 5000)`: the last number.
pub(super) fn entries_max(text: &str) -> Option<usize> {
    let (_, numbers) = text.split_once("max_entries_limit")?;
    numbers.rsplit_once('>')?.1.trim().trim_end_matches(')').trim().parse().ok()
}

/// `None`: more than `bytes_max`.
pub(super) fn unpacked(bytes: &[u8], bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes).take(bytes_max as u64 + 1).read_to_end(&mut unpacked)?;
    Ok((unpacked.len() <= bytes_max).then_some(unpacked))
}
