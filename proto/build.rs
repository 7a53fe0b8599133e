//! Generates messages, clients and servers from `medic/v1`, with the JSON form of each message beside its binary one.

use std::path::PathBuf;

const FILES: [&str; 8] = ["incidents", "tools", "logs", "knowledge", "audit", "status", "store", "mailboxes"];

/// JSON kept as text on the wire, embedded as JSON in the gateway: field, its name there.
const EMBEDDED: [(&str, &str); 9] = [
    ("args_json", "args"),
    ("params_json", "params"),
    ("input_schema", "input_schema"),
    ("report_json", "report"),
    ("query_json", "query"),
    ("detail_json", "detail"),
    ("letter_json", "letter"),
    ("ToolOutput.data_json", "data"),
    ("ExecutedAction.receipts", "receipts"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<String> = FILES.iter().map(|name| format!("medic/v1/{name}.proto")).collect();
    for file in &files {
        println!("cargo:rerun-if-changed={file}");
    }
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    let descriptors = compiler.file_descriptor_set();

    #[expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through its environment")]
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("medic_v1.descriptors"), compiler.encode_file_descriptor_set())?;

    let mut builder = tonic_prost_build::configure()
        .btree_map(".")
        .message_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .message_attribute(".", "#[serde(default)]")
        .field_attribute("ExecuteToolRequest.incident_id", "#[serde(alias = \"incident\")]")
        .field_attribute("QueryLogsRequest.now_ms", "#[serde(alias = \"now\")]")
        .field_attribute("AuditRecord.export_line", "#[serde(skip)]")
        .field_attribute("ExportIncidentPiece.data", "#[serde(skip)]")
        .field_attribute("AnalyzeLogsRequest.chunk", "#[serde(skip)]")
        .field_attribute("AnalyzeLogsRequest.baseline_chunk", "#[serde(skip)]");
    for (field, name) in EMBEDDED {
        let with = match field {
            "ToolOutput.data_json" => "optional",
            "ExecutedAction.receipts" => "list",
            _ => "text",
        };
        builder = builder.field_attribute(
            field,
            format!("#[serde(rename = \"{name}\", with = \"crate::json_text::{with}\")]"),
        );
    }
    builder.compile_fds(descriptors)?;
    Ok(())
}
