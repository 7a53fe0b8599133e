//! `medic.v1`: the wire contract and its generated code.
//!
//! Owns the shape of everything that crosses the daemon's border, once: each message is protobuf for gRPC and, by the
//! same struct, JSON for REST, SSE and the WebSocket. Never holds a rule or a default of behaviour, and knows nothing
//! of the daemon's own nouns.
//!
//! JSON form: field names as in the `.proto`, absent optional fields as `null`, 64-bit numbers as numbers (instants in
//! milliseconds stay below 2^53), and fields that carry JSON as text (`args_json`) embedded as JSON (`args`). Reading is
//! lenient: unknown fields are ignored, missing ones take protobuf's defaults.

pub mod json_text;

/// Messages, clients and servers of package `medic.v1`.
pub mod v1 {
    #![allow(clippy::all, clippy::indexing_slicing, missing_docs, reason = "generated")]
    include!(concat!(env!("OUT_DIR"), "/medic.v1.rs"));
}

/// Encoded `FileDescriptorSet` of the package, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/medic_v1.descriptors"));

#[cfg(test)]
mod tests {
    use super::v1;
    use prost::Message as _;

    #[test]
    fn embedded_json_reads_back_as_the_same_text() {
        let action = v1::ExecutedAction {
            tool: "restart_service".into(),
            args_json: r#"{"service":"checkout","count":18446744073709551615}"#.into(),
            receipts: vec![r#"{"status":200}"#.into(), "not json".into()],
            ..Default::default()
        };
        let json = serde_json::to_value(&action).unwrap();
        assert_eq!(json["args"]["service"], "checkout");
        assert_eq!(json["receipts"][0]["status"], 200);
        assert_eq!(json["receipts"][1], "not json");
        assert!(json.get("args_json").is_none());
        let text = serde_json::to_string(&action).unwrap();
        // Key order and the widest integer survive: what is shown is what was digested.
        assert!(text.contains(r#""args":{"service":"checkout","count":18446744073709551615}"#), "{text}");
        assert_eq!(serde_json::from_str::<v1::ExecutedAction>(&text).unwrap(), action);
    }

    #[test]
    fn json_and_protobuf_agree_on_a_whole_incident() {
        let incident = v1::Incident {
            id: "01J".into(),
            revision: 7,
            phase: "AWAITING_DECISION".into(),
            deadline_ms: None,
            proposal: Some(v1::Proposal {
                plan: Some(v1::Plan {
                    items: vec![v1::PlanItem { args_json: "{}".into(), ..Default::default() }],
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let json = serde_json::to_string(&incident).unwrap();
        assert_eq!(serde_json::from_str::<v1::Incident>(&json).unwrap(), incident);
        assert_eq!(v1::Incident::decode(incident.encode_to_vec().as_slice()).unwrap(), incident);
        // Absent is said, not left out: a reader can tell it from an older server's silence.
        assert!(json.contains(r#""deadline_ms":null"#), "{json}");
    }

    #[test]
    fn requests_take_what_they_know_and_default_the_rest() {
        let request: v1::ExecuteToolRequest =
            serde_json::from_str(r#"{"tool":"top","args":{"a":1},"unknown":true}"#).unwrap();
        assert_eq!(request.args_json, r#"{"a":1}"#);
        assert_eq!(request.incident_id, "");
        serde_json::from_str::<v1::ApproveRequest>(r#"{"plan_digest":5}"#).unwrap_err();
    }

    #[test]
    fn reflection_knows_every_service_and_its_comments() {
        let set = prost_types::FileDescriptorSet::decode(super::FILE_DESCRIPTOR_SET).unwrap();
        let services: Vec<&str> =
            set.file.iter().flat_map(|file| &file.service).map(|service| service.name()).collect();
        assert_eq!(services.len(), 8, "{services:?}");
        for file in &set.file {
            assert!(
                file.source_code_info.as_ref().is_some_and(|info| !info.location.is_empty()),
                "{}",
                file.name()
            );
        }
    }
}
