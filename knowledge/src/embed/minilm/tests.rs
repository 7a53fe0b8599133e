use super::*;

#[derive(Deserialize)]
struct Golden {
    #[serde(default)]
    sha256: String,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    text: String,
    token_ids: Vec<u32>,
    embedding: Vec<f32>,
}

/// Set to a directory with the model, as `medic knowledge setup-model` makes it.
const MODEL_DIR: &str = "MEDIC_MINILM_DIR";

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert")
}

fn check(model: &MiniLm, golden: &str, tolerance: f32) {
    let golden: Golden = serde_json::from_str(golden).unwrap();
    assert!(golden.items.len() > 2);
    if !golden.sha256.is_empty() {
        assert!(model.id().contains(&golden.sha256[..12]), "{} is not the golden vectors' model", model.id());
    }
    for item in golden.items {
        assert_eq!(model.0.words.encode(&item.text, TOKENS_MAX), item.token_ids, "{}", item.text);
        let vector = model.0.vector(&item.text);
        assert_eq!(vector.len(), item.embedding.len());
        for (got, wanted) in vector.iter().zip(&item.embedding) {
            assert!((got - wanted).abs() < tolerance, "{}: {got} instead of {wanted}", item.text);
        }
    }
}

#[test]
fn a_model_of_two_layers_gives_the_vectors_of_the_reference() {
    let model = MiniLm::open(&tiny()).unwrap();
    check(&model, &std::fs::read_to_string(tiny().join("golden.json")).unwrap(), 1e-5);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the weights lie where the one who runs the test says")]
fn all_minilm_gives_its_golden_vectors_to_one_in_ten_thousand() {
    let Some(dir) = std::env::var_os(MODEL_DIR) else {
        eprintln!("not tried: no weights here; set {MODEL_DIR} to a directory with all-MiniLM-L6-v2");
        return;
    };
    let model = MiniLm::open(Path::new(&dir)).unwrap();
    check(&model, include_str!("../../../tests/fixtures/golden_minilm.json"), 1e-4);
}

#[tokio::test]
async fn many_passages_come_in_their_order_and_a_text_of_any_length_is_bounded() {
    let model = MiniLm::open(&tiny()).unwrap();
    let texts: Vec<String> = (0..37).map(|n| "disk slow node full ".repeat(n)).collect();
    let passages: Vec<Passage> =
        texts.iter().map(|text| Passage { context: "the disk".to_owned(), text: text.clone() }).collect();
    let together = model.embed(&passages).await.unwrap();
    for (passage, vector) in passages.iter().zip(&together) {
        assert_eq!(*vector, model.0.vector(&format!("{}\n{}", passage.context, passage.text)));
        assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
    }
    assert_ne!(together[1], together[2]);
}

#[test]
fn a_directory_that_is_no_model_is_refused_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |dir: &Path| MiniLm::open(dir).err().unwrap();
    assert_eq!(refused(dir.path()).code(), "KNOWLEDGE_IO");
    for name in ["config.json", "model.safetensors", "vocab.txt"] {
        std::fs::copy(tiny().join(name), dir.path().join(name)).unwrap();
    }
    assert!(MiniLm::open(dir.path()).is_ok());
    std::fs::write(
        dir.path().join("vocab.txt"),
        "[CLS]\n[SEP]\n[UNK]\n".to_owned() + &(0..40).map(|n| format!("x{n}\n")).collect::<String>(),
    )
    .unwrap();
    assert!(refused(dir.path()).to_string().contains("43 words"), "{}", refused(dir.path()));
    let config = std::fs::read_to_string(tiny().join("config.json")).unwrap();
    std::fs::copy(tiny().join("vocab.txt"), dir.path().join("vocab.txt")).unwrap();
    std::fs::write(
        dir.path().join("config.json"),
        config.replace("\"hidden_size\": 8", "\"hidden_size\": 16"),
    )
    .unwrap();
    assert_eq!(refused(dir.path()).code(), "KNOWLEDGE_MODEL");
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    let weights = std::fs::read(tiny().join("model.safetensors")).unwrap();
    std::fs::write(dir.path().join("model.safetensors"), &weights[..weights.len() - 1]).unwrap();
    assert!(refused(dir.path()).to_string().contains("cut off"), "{}", refused(dir.path()));
}
