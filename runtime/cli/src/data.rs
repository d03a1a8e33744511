//! `orze-runtime data`: feature packs.

use orze_campaign::InputError;
use orze_train::pack::{BackboneSource, ImportRequest, Precision, import, inspect};

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
    println!("{summary}");
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
