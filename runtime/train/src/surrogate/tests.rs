use super::*;

fn closed_form() -> Surrogate {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../configs/surrogates/search_surrogate.json");
    Surrogate::open(&file, 0.0, 0.0).unwrap()
}

fn probes() -> Vec<(Configuration, f64)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../configs/surrogates/search_surrogate.json");
    let file: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    file["objective"]["objective_probe"]
        .as_array()
        .unwrap()
        .iter()
        .map(|probe| {
            let params = serde_json::from_value(probe["params"].clone()).unwrap();
            (params, probe["y"].as_f64().unwrap())
        })
        .collect()
}

#[test]
fn agrees_with_the_probes_of_its_file() {
    let surrogate = closed_form();
    assert_eq!(probes().len(), 5);
    for (configuration, expected) in probes() {
        let found = surrogate.evaluate(&configuration, 0).unwrap();
        assert!(
            (found - expected).abs() < 1e-12,
            "{found}, expected {expected}"
        );
    }
}

#[test]
fn the_figures_that_the_paper_prints_are_those_of_its_surrogate() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/surrogates/paper_cells.json");
    let surrogate = Surrogate::open(&file, 0.0, 0.0).unwrap();
    let best = |backbone: &str, encoder: &str| {
        Configuration::default()
            .with("backbone", backbone)
            .with("temporal_encoder", encoder)
            .with("pooling", "attention")
            .with("loss", "focal")
            .with("focal_gamma", 3.0)
            .with("focal_alpha", 0.5)
            .with("learning_rate", 3e-4)
            .with("weight_decay", 1e-2)
            .with("batch_size", 32)
            .with("scheduler", "cosine")
            .with("seq_len", 20)
            .with("epochs", 15)
            .with("oversampling", 3.0)
            .with("mixup_alpha", 0.1)
            .with("feature_noise", 0.02)
    };
    let value = |configuration: &Configuration| surrogate.evaluate(configuration, 0).unwrap();
    for (backbone, encoder, printed) in [
        ("vjepa2_vitl14", "zipformer", 0.9245),
        ("vjepa2_vitl14", "retnet", 0.9132),
        ("vjepa2_vitl14", "hybrid", 0.9054),
        ("vjepa2_vitl14", "bimamba", 0.9016),
        ("dinov3_l", "zipformer", 0.824),
        ("dinov3_b", "zipformer", 0.556),
    ] {
        let found = value(&best(backbone, encoder));
        assert!(
            (found - printed).abs() < 1e-9,
            "{backbone} {encoder}: {found}"
        );
    }
    let champion = best("vjepa2_vitl14", "zipformer");
    let mut bce = champion.clone().with("loss", "bce");
    bce.values.remove("focal_gamma");
    bce.values.remove("focal_alpha");
    assert!((value(&bce) - 0.8763).abs() < 1e-9);
    assert!(value(&champion.with("focal_gamma", 1.0)) < 0.9245);
}

#[test]
fn takes_names_that_end_in_the_index() {
    let (configuration, expected) = probes().remove(0);
    let named = configuration
        .with("backbone", "b3")
        .with("encoder", "encoder-3");
    assert!((closed_form().evaluate(&named, 0).unwrap() - expected).abs() < 1e-12);
}

#[test]
fn refuses_what_it_does_not_consume() {
    let (configuration, _) = probes().remove(0);
    for (broken, expected) in [
        (configuration.clone().with("depth", 3), "depth"),
        (configuration.clone().with("backbone", 6), "backbone"),
        (configuration.clone().with("lr", 1.0), "lr"),
    ] {
        let failure = closed_form().evaluate(&broken, 0).unwrap_err();
        assert_eq!(failure.kind, FailureKind::BadConfiguration);
        assert!(failure.message.contains(expected), "{}", failure.message);
    }
}

#[test]
fn noise_comes_from_the_seed() {
    let folder = tempfile::tempdir().unwrap();
    let mut surrogate = closed_form();
    surrogate.noise_sd = 0.01;
    let (configuration, exact) = probes().remove(0);
    let run = |seed| {
        surrogate
            .run(&configuration, seed, folder.path(), &mut || {
                ControlFlow::Continue(())
            })
            .unwrap()
            .objective
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert!((run(3) - exact).abs() < 0.06);
}

#[test]
fn a_long_simulation_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut surrogate = closed_form();
    surrogate.seconds = 3600.0;
    let (configuration, _) = probes().remove(0);
    let failure = surrogate
        .run(&configuration, 0, folder.path(), &mut || {
            ControlFlow::Break(())
        })
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimedOut);
}

#[test]
fn tables_answer_by_configuration_and_seed() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("results.csv");
    std::fs::write(
        &csv,
        "backbone,lr,objective\nraw,0.001,0.8\nraw,1e-3,0.9\nmotion,,0.5\n",
    )
    .unwrap();
    let table = Surrogate::open(&csv, 0.0, 0.0).unwrap();
    let raw = Configuration::default()
        .with("backbone", "raw")
        .with("lr", 0.001);
    assert_eq!(table.evaluate(&raw, 0).unwrap(), 0.8);
    assert_eq!(table.evaluate(&raw, 1).unwrap(), 0.9);
    let motion = Configuration::default().with("backbone", "motion");
    assert_eq!(table.evaluate(&motion, 5).unwrap(), 0.5);
    assert!(table.evaluate(&motion.with("lr", 0.1), 0).is_err());

    let lines = folder.path().join("results.jsonl");
    std::fs::write(
        &lines,
        "{\"config\":{\"k\":1},\"objective\":0.25}\n{\"k\":2,\"objective\":0.5}\n\
         {\"k\":3,\"objective\":null}\n",
    )
    .unwrap();
    let table = Surrogate::open(&lines, 0.0, 0.0).unwrap();
    let k = |k: i64| table.evaluate(&Configuration::default().with("k", k), 0);
    assert_eq!((k(1).unwrap(), k(2).unwrap()), (0.25, 0.5));
    assert!(k(3).is_err());
}
