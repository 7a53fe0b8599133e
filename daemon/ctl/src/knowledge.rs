//! `medic knowledge`: search, documents, versions.

use crate::cli::Knowledge;
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::{self, say, tell};
use crate::setup_model;
use crate::text::{Style, Table, ago, block, now_ms, plain};
use medic_proto::v1;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Passages asked for each question of an evaluation.
const EVAL_LIMIT: u32 = 10;

pub async fn run(
    client: impl FnOnce() -> Result<Client, Failure>,
    command: Knowledge,
    json: bool,
) -> Result<Exit, Failure> {
    let command = match command {
        // Needs no daemon.
        Knowledge::SetupModel { dir } => return setup_model::run(&dir),
        command => command,
    };
    let client = client()?;
    match command {
        Knowledge::Search { words, service, limit, kind, source, since, version, drafts } => {
            let text = words.join(" ");
            let request =
                v1::SearchKnowledgeRequest { text, service, limit, kind, source, since, version, drafts };
            search(&client, request, json).await
        }
        Knowledge::Ingest { files, folder } => ingest(&client, &files, &folder, json).await,
        Knowledge::Reread => reread(&client, json).await,
        Knowledge::Show { document, source, version } => {
            let request = v1::ShowKnowledgeRequest { document, source, version };
            let shown = client.knowledge().show(request).await?.into_inner();
            if json {
                output::document(&shown)?;
            } else {
                show(&shown)?;
            }
            Ok(Exit::Done)
        }
        Knowledge::Versions => versions(&client, json).await,
        Knowledge::Diff { from, to } => diff(&client, from, to, json).await,
        Knowledge::Pin { version } => {
            let request = v1::PinKnowledgeRequest { version: Some(version) };
            stats(&client.knowledge().pin(request).await?.into_inner(), json)
        }
        Knowledge::Unpin => {
            let request = v1::PinKnowledgeRequest { version: None };
            stats(&client.knowledge().pin(request).await?.into_inner(), json)
        }
        Knowledge::Rollback { version } => {
            let request = v1::RollBackKnowledgeRequest { version };
            stats(&client.knowledge().roll_back(request).await?.into_inner(), json)
        }
        Knowledge::Stats => {
            stats(&client.knowledge().stats(v1::KnowledgeStatsRequest {}).await?.into_inner(), json)
        }
        Knowledge::Eval { queries } => eval(&client, &queries, json).await,
        Knowledge::SetupModel { .. } => Ok(Exit::Done),
    }
}

async fn search(client: &Client, request: v1::SearchKnowledgeRequest, json: bool) -> Result<Exit, Failure> {
    let answer = client.knowledge().search(request).await?.into_inner();
    if json {
        output::document(&answer)?;
        return Ok(Exit::Done);
    }
    let style = Style::of_stdout();
    if let Some(why) = &answer.insufficient {
        say!("{} {}", style.attention("nothing to rely on:"), plain(why));
    }
    for passage in &answer.passages {
        let place = format!("{} › {}", plain(&passage.title), plain(&passage.heading));
        let draft = if passage.draft { format!("  {}", style.attention("draft")) } else { String::new() };
        say!("{:.3}  {}  {}{draft}", passage.score, style.bold(&place), style.dim(&plain(&passage.document)));
        say!("       {}", style.dim(&plain(&passage.matched)));
        if let Some(url) = &passage.url {
            say!("       {}", style.dim(&plain(url)));
        }
        tell!("{}", block(&passage.text, "       "));
    }
    Ok(if answer.insufficient.is_some() { Exit::Failed } else { Exit::Done })
}

async fn ingest(client: &Client, files: &[PathBuf], folder: &str, json: bool) -> Result<Exit, Failure> {
    for file in files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::new("IO", format!("cannot read {}: {error}", file.display())))?;
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = if folder.is_empty() { name } else { format!("{}/{name}", folder.trim_matches('/')) };
        let request = v1::IngestKnowledgeRequest { name: name.clone(), text };
        let answer = client.knowledge().ingest(request).await?.into_inner();
        if json {
            output::record(&answer)?;
        } else {
            say!("{}: {} passages, version {}", plain(&name), answer.passages, plain(&answer.version));
        }
    }
    Ok(Exit::Done)
}

async fn reread(client: &Client, json: bool) -> Result<Exit, Failure> {
    let answer = client.knowledge().reread(v1::RereadKnowledgeRequest {}).await?.into_inner();
    let failed = answer.sources.iter().any(|source| source.failure.is_some());
    if json {
        output::document(&answer)?;
    } else {
        let style = Style::of_stdout();
        for source in &answer.sources {
            let name = style.bold(&plain(&source.source));
            match &source.failure {
                Some(failure) => say!("{name}  {} {}", style.attention("not read:"), plain(failure)),
                None => say!(
                    "{name}  {} added, {} changed, {} gone, {} as before, version {}",
                    source.added.len(),
                    source.updated.len(),
                    source.removed.len(),
                    source.unchanged,
                    source.version
                ),
            }
            for broken in &source.broken {
                let kept = if broken.earlier_text_kept { "; its earlier text goes on to answer" } else { "" };
                say!("    {}  {}{kept}", plain(&broken.path), plain(&broken.reason));
            }
        }
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

fn show(shown: &v1::ShowKnowledgeResponse) -> Result<(), Failure> {
    let style = Style::of_stdout();
    let draft = if shown.draft { format!("  {}", style.attention("draft")) } else { String::new() };
    say!("{}  {}{draft}", style.bold(&plain(&shown.title)), plain(&shown.kind));
    let mut facts = vec![("source", shown.source.clone()), ("document", shown.document.clone())];
    facts.push(("services", shown.services.join(", ")));
    facts.push(("alerts", shown.alerts.join(", ")));
    facts.push(("category", shown.category.clone().unwrap_or_default()));
    facts.push(("date", shown.date.clone().unwrap_or_default()));
    facts.push(("url", shown.url.clone().unwrap_or_default()));
    facts.push(("digest", shown.digest.clone()));
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        say!("{name:<9} {}", plain(fact));
    }
    tell!("{}", block(&shown.text, ""));
    Ok(())
}

async fn versions(client: &Client, json: bool) -> Result<Exit, Failure> {
    let answer = client.knowledge().versions(v1::KnowledgeVersionsRequest {}).await?.into_inner();
    if json {
        output::document(&answer)?;
        return Ok(Exit::Done);
    }
    let now = now_ms();
    let mut table = Table::new(&["VERSION", "PUBLISHED", "DOCUMENTS", "PASSAGES", "EMBEDDER", ""]);
    for version in &answer.versions {
        let mut notes = Vec::new();
        if version.answers {
            notes.push("answers".to_owned());
        }
        if version.pinned {
            notes.push("pinned".to_owned());
        }
        notes.extend(version.damaged.as_ref().map(|why| format!("damaged: {}", plain(why))));
        table.row(vec![
            version.version.to_string(),
            version.published_at_ms.map_or_else(String::new, |at| ago(at, now)),
            version.documents.to_string(),
            version.passages.to_string(),
            plain(&version.embedder),
            notes.join(", "),
        ]);
    }
    tell!("{}", table.render(Style::of_stdout()));
    Ok(Exit::Done)
}

async fn diff(client: &Client, from: u64, to: u64, json: bool) -> Result<Exit, Failure> {
    let answer = client.knowledge().diff(v1::DiffKnowledgeRequest { from, to }).await?.into_inner();
    if json {
        output::document(&answer)?;
        return Ok(Exit::Done);
    }
    for (mark, names) in [('+', &answer.added), ('~', &answer.updated), ('-', &answer.removed)] {
        for name in names {
            say!("{mark} {}  {}", plain(&name.document), plain(&name.title));
        }
    }
    say!("{} as before", answer.unchanged);
    Ok(Exit::Done)
}

fn stats(stats: &v1::KnowledgeStats, json: bool) -> Result<Exit, Failure> {
    if json {
        output::document(stats)?;
        return Ok(Exit::Done);
    }
    let newest =
        if stats.newest == stats.version { String::new() } else { format!(", newest {}", stats.newest) };
    say!("version    {}{newest}, {} kept", stats.version, stats.versions);
    say!("documents  {} in {} passages", stats.documents, stats.passages);
    say!("embedder   {}", plain(&stats.embedder));
    say!("vectors    {}", plain(&stats.engine));
    for (source, documents) in &stats.sources {
        say!("source     {}  {documents}", plain(source));
    }
    for notice in &stats.notices {
        say!("notice     {}", plain(notice));
    }
    Ok(Exit::Done)
}

#[derive(Deserialize)]
struct Labelled {
    q: String,
    #[serde(default)]
    rel: Vec<String>,
}

async fn eval(client: &Client, path: &Path, json: bool) -> Result<Exit, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new("IO", format!("cannot read {}: {error}", path.display())))?;
    let (mut asked, mut within, mut insufficient) = (0_u32, [0_u32; 3], 0_u32);
    let (mut unanswerable, mut answered) = (0_u32, 0_u32);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let labelled: Labelled = serde_json::from_str(line)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        let request =
            v1::SearchKnowledgeRequest { text: labelled.q, limit: EVAL_LIMIT, ..Default::default() };
        let answer = client.knowledge().search(request).await?.into_inner();
        if labelled.rel.is_empty() {
            unanswerable += 1;
            answered += u32::from(answer.insufficient.is_none());
            continue;
        }
        asked += 1;
        insufficient += u32::from(answer.insufficient.is_some());
        let place = answer.passages.iter().position(|passage| {
            labelled.rel.iter().any(|wanted| {
                let (kept, wanted) = (Path::new(&passage.document), Path::new(wanted));
                kept.ends_with(wanted) || wanted.ends_with(kept)
            })
        });
        for (count, k) in within.iter_mut().zip([1, 3, 5]) {
            *count += u32::from(place.is_some_and(|place| place < k));
        }
    }
    let share = |count: u32, of: u32| f64::from(count) / f64::from(of.max(1));
    let [one, three, five] = within.map(|count| share(count, asked));
    let (lost, false_answers) = (share(insufficient, asked), share(answered, unanswerable));
    if json {
        output::document(&serde_json::json!({
            "asked": asked, "hit1": one, "hit3": three, "hit5": five, "insufficient": lost,
            "without_an_answer": unanswerable, "answered_all_the_same": false_answers,
        }))?;
    } else {
        say!(
            "{asked} questions: the right document first {one:.3}, among three {three:.3}, among five {five:.3}"
        );
        say!("called insufficient {lost:.3}");
        say!("{unanswerable} without an answer: answered all the same {false_answers:.3}");
    }
    Ok(Exit::Done)
}
