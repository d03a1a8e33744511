//! `orze-runtime data`: feature packs.

use orze_campaign::InputError;
use orze_train::pack::{BackboneSource, ImportRequest, PackSummary, Precision, import, inspect};

use crate::arguments::DataCommand;
use crate::outcome::Done;

/// Inspects or imports a pack, and prints what is in it.
pub fn command(command: &DataCommand) -> anyhow::Result<Done> {
    let summary = match command {
        DataCommand::Inspect { pack } => inspect(pack)?,
        DataCommand::Import {
            out,
            features,
            labels,
            positive,
            task,
            provenance,
            licence,
        } => {
            let name = out
                .file_name()
                .map_or_else(|| "task".into(), |name| name.to_string_lossy());
            import(&ImportRequest {
                name: name.into_owned(),
                description: task.clone(),
                labels: labels.clone(),
                positive: positive.clone(),
                backbones: features
                    .iter()
                    .map(|text| backbone(text))
                    .collect::<Result<_, _>>()?,
                precision: Precision::default(),
                provenance: provenance.clone(),
                licence: licence.clone(),
                out: out.clone(),
            })?
        }
    };
    print(&summary);
    Ok(Done::Success)
}

fn backbone(text: &str) -> Result<BackboneSource, InputError> {
    let (name, file) = text.split_once('=').ok_or_else(|| {
        InputError::new(format!("`{text}` is not BACKBONE=FILE"))
            .at_key("--features")
            .hint("for example `--features vjepa2=vjepa2.npy`")
    })?;
    Ok(BackboneSource {
        name: name.to_owned(),
        file: file.into(),
        kind: "imported".to_owned(),
        description: format!("imported from {file}"),
        frames_per_second: None,
    })
}

fn print(summary: &PackSummary) {
    println!("{}: {}", summary.task, summary.description);
    println!(
        "detect `{}`, ranked by {}; digest {}; licence {}",
        summary.positive, summary.metric, summary.digest, summary.licence
    );
    println!("\n{:<12} {:>6} {:>7}  labels", "split", "clips", "groups");
    for split in &summary.splits {
        let labels: Vec<String> = split
            .labels
            .iter()
            .map(|(label, clips)| format!("{label} {clips}"))
            .collect();
        println!(
            "{:<12} {:>6} {:>7}  {}",
            split.split,
            split.clips,
            split.groups,
            labels.join(", ")
        );
    }
    println!(
        "\n{:<20} {:>5} {:>8} {:>10}  kind",
        "backbone", "dim", "frames", "per clip"
    );
    for backbone in &summary.backbones {
        let per_clip = if backbone.shortest == backbone.longest {
            backbone.shortest.to_string()
        } else {
            format!("{}–{}", backbone.shortest, backbone.longest)
        };
        println!(
            "{:<20} {:>5} {:>8} {per_clip:>10}  {}",
            backbone.name, backbone.dim, backbone.frames, backbone.kind
        );
    }
}
