//! One function a command: ask, then print as a table or as JSON.

use crate::cli::{Incidents, Knowledge, Logs, Tools};
use crate::client::Client;
use crate::export;
use crate::failure::{Exit, Failure};
use crate::output::{self, say, tell};
use crate::story::{self, Story};
use crate::text::{Style, Table, ago, block, duration, instant, now_ms, plain, quoted, short};
use medic_proto::v1;
use std::path::Path;
use tokio::io::AsyncReadExt as _;

/// Bytes of one message of an upload.
const CHUNK_BYTES: usize = 256 * 1024;

pub async fn incidents(
    client: impl FnOnce() -> Result<Client, Failure>,
    command: Incidents,
    json: bool,
) -> Result<Exit, Failure> {
    match command {
        Incidents::List { live, phase, limit, before } => {
            let request = v1::ListIncidentsRequest { live_only: live, phase, limit, before };
            let page = client()?.incidents().list(request).await?.into_inner();
            if json {
                output::document(&page)?;
                return Ok(Exit::Done);
            }
            let now = now_ms();
            let mut table =
                Table::new(&["INCIDENT", "PHASE", "SEVERITY", "OPENED", "FIRING", "CAUSE", "TITLE"]);
            for one in &page.incidents {
                let cause = if one.component.is_empty() {
                    String::new()
                } else {
                    format!("{:.2} {} / {}", one.confidence, one.component, one.category)
                };
                let phase = if one.escalation_code.is_empty() {
                    one.phase.clone()
                } else {
                    format!("{} ({})", one.phase, one.escalation_code)
                };
                table.row(vec![
                    one.id.clone(),
                    phase,
                    one.severity.clone(),
                    ago(one.opened_at_ms, now),
                    format!("{}/{}", one.alerts_firing, one.alerts),
                    cause,
                    short(&one.title, 60),
                ]);
            }
            if table.is_empty() {
                eprintln!("no incidents");
            } else {
                tell!("{}", table.render(Style::of_stdout()));
            }
            if !page.next.is_empty() {
                eprintln!("more: medic incidents list --before {}", plain(&page.next));
            }
        }
        Incidents::Create { title, labels, annotations, request_id } => {
            let request = v1::CreateIncidentRequest {
                title,
                labels: labels.into_iter().collect(),
                annotations: annotations.into_iter().collect(),
                request_id,
            };
            let created = client()?.incidents().create(request).await?.into_inner();
            if json {
                output::document(&created)?;
            } else {
                say!("{}", plain(&created.incident_id));
            }
        }
        Incidents::Export { id, to, dir } => return export::run(client, id, to, dir).await,
    }
    Ok(Exit::Done)
}

pub async fn show(client: &Client, id: String, json: bool) -> Result<Exit, Failure> {
    let incident = client.incidents().get(v1::GetIncidentRequest { incident_id: id }).await?.into_inner();
    if json {
        output::document(&incident)?;
    } else {
        tell!("{}", Story { incident: &incident, now_ms: now_ms(), style: Style::of_stdout() }.whole());
    }
    Ok(Exit::Done)
}

pub fn decided(told: &v1::DecisionResponse, what: &str, json: bool) -> Result<Exit, Failure> {
    if json {
        output::document(told)?;
    } else {
        say!("{what}; the incident is {}", plain(&told.phase));
    }
    Ok(Exit::Done)
}

pub async fn diagnose(client: &Client, id: String, fresh: bool, json: bool) -> Result<Exit, Failure> {
    let request = v1::DiagnoseRequest { incident_id: id, fresh, request_id: None };
    let answer = client.incidents().diagnose(request).await?.into_inner();
    if json {
        output::document(&answer)?;
        return Ok(Exit::Done);
    }
    let style = Style::of_stdout();
    if fresh {
        eprintln!("a fresh look has been ordered; what follows is known so far");
    }
    say!("{}  {}", style.bold(&plain(&answer.incident_id)), style.phase(&answer.phase));
    match &answer.diagnosis {
        Some(diagnosis) => tell!("{}", story::diagnosis(diagnosis, &answer.evidence, style)),
        None => eprintln!("no diagnosis yet"),
    }
    Ok(Exit::Done)
}

pub async fn tools(client: &Client, command: Tools, json: bool) -> Result<Exit, Failure> {
    let style = Style::of_stdout();
    match command {
        Tools::List => {
            let answer = client.tools().list(v1::ListToolsRequest {}).await?.into_inner();
            if json {
                output::document(&answer)?;
                return Ok(Exit::Done);
            }
            let mut table = Table::new(&["TOOL", "CATEGORY", "PLUGIN", "GRANTED", "ITS OWN TITLE"]);
            for tool in &answer.tools {
                table.row(vec![
                    tool.name.clone(),
                    tool.category.clone(),
                    tool.plugin.clone(),
                    short(&tool.granted.join(" "), 60),
                    quoted(&short(&tool.title, 60)),
                ]);
            }
            if table.is_empty() {
                eprintln!("no tools are loaded");
            } else {
                tell!("{}", table.render(style));
            }
            for rejected in &answer.rejected {
                let why = format!("not loaded: {} {}: {}", rejected.file, rejected.code, rejected.reason);
                eprintln!("{}", plain(&why));
            }
        }
        Tools::Describe { name } => {
            let tool = client.tools().describe(v1::DescribeToolRequest { name }).await?.into_inner();
            if json {
                output::document(&tool)?;
                return Ok(Exit::Done);
            }
            say!("{}  {}", style.bold(&plain(&tool.name)), plain(&tool.category));
            say!("plugin   {}  {}", plain(&tool.plugin), plain(&tool.digest));
            say!("imports  {}", plain(&tool.imports.join(" ")));
            say!("granted  {}", plain(&tool.granted.join(" ")));
            say!("it says  {}", quoted(&tool.title));
            tell!("{}", block(&tool.description, "         "));
            let schema: serde_json::Value = serde_json::from_str(&tool.input_schema).unwrap_or_default();
            say!("takes");
            tell!("{}", block(&format!("{schema:#}"), "  "));
        }
        Tools::Exec { name, arguments, args, incident } => {
            let args_json = match args {
                Some(args) => args,
                None => serde_json::Value::Object(arguments.into_iter().collect()).to_string(),
            };
            let request = v1::ExecuteToolRequest { tool: name, args_json, incident_id: incident };
            let answer = client.tools().execute(request).await?.into_inner();
            if json {
                output::document(&answer)?;
                return Ok(Exit::Done);
            }
            if let Some(incident) = &answer.proposed_incident_id {
                say!("{}", plain(incident));
                eprintln!(
                    "the change is being planned and will wait for its approvals: medic watch {}",
                    plain(incident)
                );
            }
            if let Some(output) = &answer.output {
                tell!("{}", block(&output.summary, ""));
                if let Some(data) = &output.data_json {
                    let data: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
                    tell!("{}", block(&format!("{data:#}"), "  "));
                }
                for artifact in &output.artifacts {
                    say!("artifact {}", plain(artifact));
                }
            }
        }
    }
    Ok(Exit::Done)
}

pub async fn logs(client: &Client, command: Logs, json: bool) -> Result<Exit, Failure> {
    match command {
        Logs::Analyze { files, service, year } => {
            for file in &files {
                let name = service.clone().unwrap_or_else(|| {
                    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
                });
                let options = v1::AnalyzeLogsOptions { name, year };
                let answer = client.logs().analyze(upload(file, options).await?).await?.into_inner();
                if json {
                    output::record(&answer)?;
                    continue;
                }
                if files.len() > 1 {
                    say!("{}", Style::of_stdout().bold(&plain(&file.display().to_string())));
                }
                say!("{} lines, {} not understood", answer.lines, answer.broken);
                tell!("{}", block(&answer.summary, ""));
            }
        }
        Logs::Query { words, limit, now } => {
            let request = v1::QueryLogsRequest { text: words.join(" "), now_ms: now, limit };
            let answer = client.logs().query(request).await?.into_inner();
            if json {
                output::document(&answer)?;
                return Ok(Exit::Done);
            }
            eprintln!("understood: {}", plain(&answer.understood));
            if !answer.not_understood.is_empty() {
                eprintln!("not understood: {}", plain(&answer.not_understood.join(" ")));
            }
            for line in &answer.lines {
                let service = line.labels.get("service").map(String::as_str).unwrap_or("-");
                let at = line.at_ms.map_or_else(|| "-".to_owned(), instant);
                output::line(&format!("{at}  {}  {}", plain(service), plain(&line.line)))?;
            }
            if answer.dropped > 0 {
                eprintln!("{} more lines match", answer.dropped);
            } else if answer.lines.is_empty() {
                let window = duration(answer.window_end_ms.saturating_sub(answer.window_start_ms));
                eprintln!("no line matches within {window} from {}", instant(answer.window_start_ms));
            }
        }
    }
    Ok(Exit::Done)
}

/// The file in pieces; the first message carries the options.
async fn upload(
    file: &Path,
    options: v1::AnalyzeLogsOptions,
) -> Result<impl tokio_stream::Stream<Item = v1::AnalyzeLogsRequest> + Send + 'static, Failure> {
    let mut source: Box<dyn tokio::io::AsyncRead + Send + Unpin> = if file.as_os_str() == "-" {
        Box::new(tokio::io::stdin())
    } else {
        let opened = tokio::fs::File::open(file).await;
        Box::new(
            opened.map_err(|error| Failure::new("IO", format!("cannot read {}: {error}", file.display())))?,
        )
    };
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let name = file.display().to_string();
    tokio::spawn(async move {
        let mut options = Some(options);
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = match source.read(&mut chunk).await {
                Ok(read) => read,
                Err(error) => {
                    // What was read is analysed; that it is not all is said.
                    eprintln!("medic: {name} cannot be read to its end: {error}");
                    0
                }
            };
            chunk.truncate(read);
            let first = options.is_some();
            let message = v1::AnalyzeLogsRequest { options: options.take(), chunk };
            let over = read == 0;
            // An empty file is one message too: its options must arrive.
            if over && !first {
                return;
            }
            if sender.send(message).await.is_err() || over {
                return;
            }
        }
    });
    Ok(tokio_stream::wrappers::ReceiverStream::new(receiver))
}

pub async fn knowledge(client: &Client, command: Knowledge, json: bool) -> Result<Exit, Failure> {
    match command {
        Knowledge::Search { words, service, limit } => {
            let request = v1::SearchKnowledgeRequest { text: words.join(" "), service, limit };
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
                say!(
                    "{:.3}  {}  {}",
                    passage.score,
                    style.bold(&place),
                    style.dim(&plain(&passage.document))
                );
                say!("       {}", style.dim(&plain(&passage.matched)));
                tell!("{}", block(&passage.text, "       "));
            }
            Ok(if answer.insufficient.is_some() { Exit::Failed } else { Exit::Done })
        }
        Knowledge::Ingest { files, folder } => {
            for file in &files {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    Failure::new("IO", format!("cannot read {}: {error}", file.display()))
                })?;
                let name =
                    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let name =
                    if folder.is_empty() { name } else { format!("{}/{name}", folder.trim_matches('/')) };
                let request = v1::IngestKnowledgeRequest { name: name.clone(), text };
                let answer = client.knowledge().ingest(request).await?.into_inner();
                if json {
                    output::record(&answer)?;
                } else {
                    say!(
                        "{}: {} passages, version {}",
                        plain(&name),
                        answer.passages,
                        plain(&answer.version)
                    );
                }
            }
            Ok(Exit::Done)
        }
    }
}
