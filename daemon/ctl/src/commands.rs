//! One function a command: ask, then print as a table or as JSON.

use crate::cli::{Incidents, Tools};
use crate::client::Client;
use crate::export;
use crate::failure::{Exit, Failure};
use crate::output::{self, say, tell};
use crate::story::{self, Story};
use crate::text::{Style, Table, ago, block, now_ms, plain, quoted, short};
use medic_proto::v1;

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
