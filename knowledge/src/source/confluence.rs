//! Confluence, through the content API that Server, Data Center and Cloud share (`/rest/api/content`). The pages of a
//! space; one whose version is known is not fetched again.

use async_trait::async_trait;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::read::html;
use super::rest::{Auth, Refusal, Rest, page};
use super::{Broken, Known, Listing, Raw, Seen, Source};
use crate::config::ConfluenceConfig;
use crate::error::Result;

/// Pages listed by one request; Cloud gives at most this many when labels are asked for.
const PAGE_SIZE: usize = 100;
/// Pages of a space.
const PAGES_MAX: usize = 50_000;

pub(crate) struct Confluence {
    rest: Rest,
    space: String,
    name: String,
    base: String,
}

#[derive(Deserialize)]
struct Page {
    id: String,
    title: String,
    version: Version,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default, rename = "_links")]
    links: Links,
    body: Option<Body>,
}

#[derive(Deserialize)]
struct Version {
    number: u64,
    when: Option<String>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    labels: Labels,
}

#[derive(Deserialize, Default)]
struct Labels {
    #[serde(default)]
    results: Vec<Label>,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize, Default)]
struct Links {
    webui: Option<String>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    storage: Storage,
}

#[derive(Deserialize)]
struct Storage {
    value: String,
}

#[derive(Deserialize)]
struct Pages {
    results: Vec<Value>,
    #[serde(default, rename = "_links")]
    links: Links,
}

impl Confluence {
    pub(crate) fn new(config: &ConfluenceConfig) -> Result<Self> {
        let base = config.base_url.trim_end_matches('/').to_owned();
        let name = format!("confluence:{base}/{}", config.space);
        let auth = match &config.user {
            Some(user) => Auth::Basic { user: user.clone(), token: config.token.clone() },
            None => Auth::Bearer(config.token.clone()),
        };
        let rest = Rest::new(&name, &base, auth, HeaderMap::new(), config.pace_ms)?;
        Ok(Self { rest, space: config.space.clone(), name, base })
    }

    fn whole(&self, refusal: Refusal) -> crate::Error {
        match refusal {
            Refusal::Absent(reason) => self.rest.failed(reason),
            Refusal::Failed(error) => error,
        }
    }

    async fn list_pages(&self) -> Result<Vec<Page>> {
        let mut pages: Vec<Page> = Vec::new();
        let size = PAGE_SIZE.to_string();
        let mut start = 0_usize;
        loop {
            let from = start.to_string();
            let query = [
                ("spaceKey", self.space.as_str()),
                ("type", "page"),
                ("status", "current"),
                ("expand", "version,metadata.labels"),
                ("limit", &size),
                ("start", &from),
            ];
            let answer =
                self.rest.get("rest/api/content", &query).await.map_err(|refusal| self.whole(refusal))?;
            let listed: Pages = serde_json::from_value(answer)
                .map_err(|error| self.rest.failed(format!("its list of pages is not the API's: {error}")))?;
            // A server may give fewer than asked: the next page begins where this one ended.
            start += listed.results.len();
            let more = listed.links.next.is_some() && !listed.results.is_empty();
            for one in listed.results {
                let one = serde_json::from_value(one)
                    .map_err(|error| self.rest.failed(format!("a page is not the API's: {error}")))?;
                pages.push(one);
            }
            if pages.len() > PAGES_MAX {
                return Err(self.rest.failed(format!("the space has more than {PAGES_MAX} pages")));
            }
            if !more {
                return Ok(pages);
            }
        }
    }

    /// `Err(Absent)` costs this page only.
    async fn fetch(&self, id: &str) -> std::result::Result<Page, Refusal> {
        let query = [("expand", "body.storage,version,metadata.labels")];
        let answer = self.rest.get(&format!("rest/api/content/{id}"), &query).await?;
        serde_json::from_value(answer).map_err(|error| Refusal::Absent(format!("is not the API's: {error}")))
    }

    fn text(&self, fetched: &Page) -> std::result::Result<String, String> {
        let storage =
            fetched.body.as_ref().map(|body| body.storage.value.as_str()).ok_or("came without its body")?;
        let body = html::to_markdown(without_macros(storage))?;
        let labels: Vec<String> =
            fetched.metadata.labels.results.iter().map(|label| label.name.clone()).collect();
        let url = fetched.links.webui.as_ref().map(|path| format!("{}{path}", self.base));
        Ok(page(&fetched.title, &labels, url.as_deref(), fetched.version.when.as_deref(), &body))
    }
}

#[async_trait]
impl Source for Confluence {
    fn name(&self) -> &str {
        &self.name
    }

    async fn list(&self, known: &Known, seen: &mut Seen<'_>) -> Result<Listing> {
        let mut listing = Listing::default();
        for listed in self.list_pages().await? {
            let path = format!("{}.md", listed.id);
            seen(&path);
            let revision = listed.version.number.to_string();
            if known.revision(&path) == Some(revision.as_str()) {
                listing.unchanged.push(path);
                continue;
            }
            match self.fetch(&listed.id).await {
                Ok(fetched) => match self.text(&fetched) {
                    Ok(text) => {
                        let revision = Some(fetched.version.number.to_string());
                        listing.documents.push(Raw { path, text, revision });
                    }
                    Err(reason) => listing.broken.push(Broken::new(path, reason)),
                },
                Err(Refusal::Absent(reason)) => listing.broken.push(Broken::new(path, reason)),
                Err(Refusal::Failed(error)) => return Err(error),
            }
        }
        Ok(listing)
    }
}

/// Storage format is XHTML with elements of Confluence's own. Code stands in CDATA, which HTML knows as a comment: it is
/// written out as a code block. Names of macros and their parameters are no text.
fn without_macros(storage: &str) -> String {
    let mut out = String::with_capacity(storage.len());
    let mut rest = storage;
    while let Some(at) = rest.find("<![CDATA[") {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let after = after.get("<![CDATA[".len()..).unwrap_or_default();
        let end = after.find("]]>").unwrap_or(after.len());
        let code = after.get(..end).unwrap_or_default();
        out.push_str("<pre><code>");
        out.push_str(&code.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
        out.push_str("</code></pre>");
        rest = after.get(end + 3..).unwrap_or_default();
    }
    out.push_str(rest);
    let mut text = String::with_capacity(out.len());
    let mut rest = out.as_str();
    while let Some(at) = rest.find("<ac:parameter") {
        text.push_str(rest.get(..at).unwrap_or_default());
        let after = rest.get(at..).unwrap_or_default();
        let closed =
            after.find('>').is_some_and(|end| after.get(..end).is_some_and(|tag| tag.ends_with('/')));
        let end = if closed { after.find('>').map(|end| end + 1) } else { None }
            .or_else(|| after.find("</ac:parameter>").map(|end| end + "</ac:parameter>".len()));
        rest = end.and_then(|end| after.get(end..)).unwrap_or_default();
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_in_a_macro_is_kept_and_its_parameters_are_not() {
        let storage = "<h2>Remedy</h2><ac:structured-macro ac:name=\"code\"><ac:parameter ac:name=\"language\">bash\
                       </ac:parameter><ac:parameter ac:name=\"x\"/><ac:plain-text-body><![CDATA[if a < b; then\n  kubectl get pods\nfi]]>\
                       </ac:plain-text-body></ac:structured-macro><p>Done &amp; dusted.</p>";
        let markdown = html::to_markdown(without_macros(storage)).unwrap();
        assert!(markdown.contains("if a < b; then\n  kubectl get pods\nfi"), "{markdown}");
        assert!(markdown.contains("## Remedy") && markdown.contains("Done & dusted."));
        assert!(!markdown.contains("bash"));
        assert_eq!(without_macros("<![CDATA[cut off"), "<pre><code>cut off</code></pre>");
    }
}
