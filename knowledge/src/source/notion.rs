//! Notion, through its public API: the pages shared with an integration, their blocks written as Markdown. A page whose
//! last edit is known is not fetched again.

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::rest::{Auth, Refusal, Rest, page};
use super::{Broken, Known, Listing, Raw, Seen, Source};
use crate::config::NotionConfig;
use crate::error::{Error, Result};

/// The version of the API whose answers are read here.
const API_VERSION: &str = "2022-06-28";
/// Results a request: the API's largest.
const PAGE_SIZE: u32 = 100;
const PAGES_MAX: usize = 50_000;
/// Blocks inside one another.
const DEPTH_MAX: usize = 8;
/// Blocks of one page.
const BLOCKS_MAX: usize = 20_000;

pub(crate) struct Notion {
    rest: Rest,
    database: Option<String>,
    name: String,
}

impl Notion {
    pub(crate) fn new(config: &NotionConfig) -> Result<Self> {
        let name = match &config.database {
            Some(database) => format!("notion:{database}"),
            None => "notion".to_owned(),
        };
        if config.database.as_ref().is_some_and(|id| !id.chars().all(|c| c.is_ascii_hexdigit() || c == '-')) {
            return Err(Error::Config { reason: format!("{name}: a database's id is made of hex digits") });
        }
        let headers = HeaderMap::from_iter([(
            reqwest::header::HeaderName::from_static("notion-version"),
            HeaderValue::from_static(API_VERSION),
        )]);
        let rest =
            Rest::new(&name, &config.base_url, Auth::Bearer(config.token.clone()), headers, config.pace_ms)?;
        Ok(Self { rest, database: config.database.clone(), name })
    }

    async fn list_pages(&self) -> Result<Vec<Value>> {
        let mut pages = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut body = json!({ "page_size": PAGE_SIZE });
            let path = match &self.database {
                Some(database) => format!("v1/databases/{database}/query"),
                None => {
                    set(&mut body, "filter", json!({ "property": "object", "value": "page" }));
                    "v1/search".to_owned()
                }
            };
            if let Some(cursor) = &cursor {
                set(&mut body, "start_cursor", json!(cursor));
            }
            let answer = self.rest.post(&path, &body).await.map_err(|refusal| match refusal {
                Refusal::Absent(reason) => self.rest.failed(reason),
                Refusal::Failed(error) => error,
            })?;
            let results =
                list(&answer).ok_or_else(|| self.rest.failed("its list of pages is not the API's"))?;
            pages.extend(results.iter().filter(|one| text_at(one, "/object") == Some("page")).cloned());
            if pages.len() > PAGES_MAX {
                return Err(self.rest.failed(format!("more than {PAGES_MAX} pages are shared")));
            }
            let next = next_cursor(&answer);
            if next.is_none() || next == cursor {
                return Ok(pages);
            }
            cursor = next;
        }
    }

    /// The blocks below `id`, as Markdown.
    async fn blocks(
        &self,
        id: &str,
        depth: usize,
        count: &mut usize,
        out: &mut String,
    ) -> std::result::Result<(), Refusal> {
        let mut cursor: Option<String> = None;
        let size = PAGE_SIZE.to_string();
        loop {
            let mut query = vec![("page_size", size.as_str())];
            if let Some(cursor) = &cursor {
                query.push(("start_cursor", cursor));
            }
            let answer = self.rest.get(&format!("v1/blocks/{id}/children"), &query).await?;
            let Some(results) = list(&answer) else {
                return Err(Refusal::Absent("its blocks are not the API's".to_owned()));
            };
            for block in results {
                *count += 1;
                if *count > BLOCKS_MAX {
                    return Err(Refusal::Absent(format!("has more than {BLOCKS_MAX} blocks")));
                }
                let kind = text_at(block, "/type").unwrap_or_default();
                write_block(block, kind, depth, out);
                let has_children = block.get("has_children").and_then(Value::as_bool).unwrap_or(false);
                // A page below this one is a page of its own.
                if has_children
                    && depth < DEPTH_MAX
                    && !matches!(kind, "child_page" | "child_database")
                    && let Some(id) = text_at(block, "/id")
                {
                    Box::pin(self.blocks(id, depth + 1, count, out)).await?;
                }
            }
            let next = next_cursor(&answer);
            if next.is_none() || next == cursor {
                return Ok(());
            }
            cursor = next;
        }
    }
}

#[async_trait]
impl Source for Notion {
    fn name(&self) -> &str {
        &self.name
    }

    async fn list(&self, known: &Known, seen: &mut Seen<'_>) -> Result<Listing> {
        let mut listing = Listing::default();
        for listed in self.list_pages().await? {
            let (Some(id), Some(edited)) = (text_at(&listed, "/id"), text_at(&listed, "/last_edited_time"))
            else {
                return Err(self.rest.failed("a page without id or last_edited_time"));
            };
            if ["/archived", "/in_trash"].iter().any(|at| listed.pointer(at) == Some(&Value::Bool(true))) {
                continue;
            }
            let path = format!("{id}.md");
            seen(&path);
            if known.revision(&path) == Some(edited) {
                listing.unchanged.push(path);
                continue;
            }
            let mut body = String::new();
            match self.blocks(id, 0, &mut 0, &mut body).await {
                Ok(()) => {
                    let text = page(
                        &title(&listed),
                        &labels(&listed),
                        text_at(&listed, "/url"),
                        Some(edited),
                        &body,
                    );
                    listing.documents.push(Raw { path, text, revision: Some(edited.to_owned()) });
                }
                Err(Refusal::Absent(reason)) => listing.broken.push(Broken::new(path, reason)),
                Err(Refusal::Failed(error)) => return Err(error),
            }
        }
        Ok(listing)
    }
}

fn set(body: &mut Value, key: &str, value: Value) {
    if let Some(body) = body.as_object_mut() {
        body.insert(key.to_owned(), value);
    }
}

fn list(answer: &Value) -> Option<&Vec<Value>> {
    answer.get("results")?.as_array()
}

fn next_cursor(answer: &Value) -> Option<String> {
    let more = answer.get("has_more").and_then(Value::as_bool).unwrap_or(false);
    answer.get("next_cursor").and_then(Value::as_str).filter(|_| more).map(str::to_owned)
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

fn plain(rich: Option<&Value>) -> String {
    let pieces = rich.and_then(Value::as_array).into_iter().flatten();
    pieces.filter_map(|piece| piece.get("plain_text")?.as_str()).collect()
}

fn properties(listed: &Value) -> impl Iterator<Item = &Value> {
    listed.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(_, property)| property)
}

fn title(listed: &Value) -> String {
    let found = properties(listed).find(|property| text_at(property, "/type") == Some("title"));
    let title = plain(found.and_then(|property| property.get("title")));
    if title.trim().is_empty() { "Untitled".to_owned() } else { title }
}

/// Names of the options chosen, as labels.
fn labels(listed: &Value) -> Vec<String> {
    let mut labels = Vec::new();
    for property in properties(listed) {
        labels.extend(text_at(property, "/select/name").map(str::to_owned));
        let many = property.get("multi_select").and_then(Value::as_array).into_iter().flatten();
        labels.extend(many.filter_map(|option| option.get("name")?.as_str()).map(str::to_owned));
    }
    labels
}

fn write_block(block: &Value, kind: &str, depth: usize, out: &mut String) {
    let content = block.get(kind);
    let text = plain(content.and_then(|content| content.get("rich_text")));
    let indent = "  ".repeat(depth);
    match kind {
        "heading_1" => out.push_str(&format!("\n# {}\n\n", text.trim())),
        "heading_2" => out.push_str(&format!("\n## {}\n\n", text.trim())),
        "heading_3" => out.push_str(&format!("\n### {}\n\n", text.trim())),
        "bulleted_list_item" | "toggle" => out.push_str(&format!("{indent}- {text}\n")),
        "numbered_list_item" => out.push_str(&format!("{indent}1. {text}\n")),
        "to_do" => {
            let done = content.and_then(|content| content.get("checked")?.as_bool()).unwrap_or(false);
            out.push_str(&format!("{indent}- [{}] {text}\n", if done { 'x' } else { ' ' }));
        }
        "quote" | "callout" => out.push_str(&format!("\n> {}\n\n", text.replace('\n', "\n> "))),
        "code" => {
            // A fence longer than any run of back quotes in the code: it cannot end early.
            let run = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat(run.max(2) + 1);
            out.push_str(&format!("\n{fence}\n{text}\n{fence}\n\n"));
        }
        "table_row" => {
            let cells = content.and_then(|content| content.get("cells")?.as_array()).into_iter().flatten();
            let cells: Vec<String> = cells.map(|cell| plain(Some(cell)).replace('|', "\\|")).collect();
            let first = !out.trim_end().ends_with('|');
            out.push_str(&format!("{}| {} |\n", if first { "\n" } else { "" }, cells.join(" | ")));
            if first {
                out.push_str(&format!("|{}\n", " --- |".repeat(cells.len())));
            }
        }
        "divider" => out.push_str("\n---\n\n"),
        _ if !text.is_empty() => out.push_str(&format!("\n{text}\n\n")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_markdown_and_code_cannot_end_its_fence() {
        let rich = |text: &str| json!([{ "plain_text": text }]);
        let mut out = String::new();
        for block in [
            json!({ "type": "heading_2", "heading_2": { "rich_text": rich("Cause") } }),
            json!({ "type": "paragraph", "paragraph": { "rich_text": rich("The pool.") } }),
            json!({ "type": "bulleted_list_item", "bulleted_list_item": { "rich_text": rich("one") } }),
            json!({ "type": "to_do", "to_do": { "rich_text": rich("two"), "checked": true } }),
            json!({ "type": "code", "code": { "rich_text": rich("a\n```\n# no heading") } }),
            json!({ "type": "table_row", "table_row": { "cells": [rich("code"), rich("a|b")] } }),
            json!({ "type": "table_row", "table_row": { "cells": [rich("E1"), rich("x")] } }),
            json!({ "type": "unsupported", "unsupported": {} }),
        ] {
            write_block(&block, block["type"].as_str().unwrap(), 0, &mut out);
        }
        assert!(out.contains("## Cause\n\n\nThe pool.\n\n- one\n- [x] two\n"), "{out}");
        assert!(out.contains("````\na\n```\n# no heading\n````"), "{out}");
        assert!(out.ends_with("| code | a\\|b |\n| --- | --- |\n| E1 | x |\n"), "{out}");
    }
}
