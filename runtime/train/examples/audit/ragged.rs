//! A copy of a pack whose clips differ in length, so that batches are padded.

use std::path::{Path, PathBuf};

use orze_train::pack::{BackboneSource, ImportRequest, Pack, Precision, import};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

use super::Anything;

/// Frames that are left of clip `clip`, of so many.
fn left(clip: usize, frames: usize) -> usize {
    frames - (clip * 7 + clip / 5) % (frames / 2 + 1)
}

/// Writes the copy into a folder; gives back where it is.
pub fn copy(pack: &Path, folder: &Path) -> Anything<PathBuf> {
    let pack = Pack::open(pack)?;
    let manifest = pack.manifest();
    std::fs::create_dir_all(folder)?;
    let mut labels = "id,label,split,group\n".to_owned();
    for clip in &manifest.clips {
        let (id, label, split) = (&clip.id, &clip.label, clip.split.name());
        labels += &format!("{id},{label},{split},{}\n", clip.group);
    }
    let file = folder.join("labels.csv");
    std::fs::write(&file, labels)?;
    let mut backbones = Vec::new();
    for entry in &manifest.backbones {
        let map = pack.backbone(&entry.name)?.ok_or("a map is missing")?;
        let clips = manifest.clips.iter().enumerate().map(|(index, clip)| {
            let rows = map.clip(index);
            let frames = left(index, rows.len() / map.dim);
            let values = rows[..frames * map.dim].iter();
            let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
            (clip.id.clone(), vec![frames, map.dim], bytes)
        });
        let clips: Vec<_> = clips.collect();
        let views = clips
            .iter()
            .map(|(id, shape, bytes)| Ok((id, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
        let views = views.collect::<Anything<Vec<_>>>()?;
        let file = folder.join(format!("{}.safetensors", entry.name));
        std::fs::write(&file, serialize(views, None)?)?;
        backbones.push(BackboneSource {
            name: entry.name.clone(),
            file,
            kind: entry.kind.clone(),
            description: entry.description.clone(),
            frames_per_second: entry.frames_per_second,
        });
    }
    let request = ImportRequest {
        name: manifest.task.name.clone(),
        description: manifest.task.description.clone(),
        labels: file,
        positive: manifest.task.positive.clone(),
        backbones,
        precision: Precision::F16,
        provenance: "clips cut short".to_owned(),
        licence: manifest.licence.clone(),
        out: folder.join("pack"),
    };
    import(&request)?;
    Ok(request.out)
}
