use std::path::{Path, PathBuf};

use super::*;

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shoulder/pack")
}

/// A folder of a test that is gone with it.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write_npy(file: &Path, shape: &[u64], values: &[f32]) {
    use npyz::WriterBuilder;
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(shape)
        .writer(&mut bytes)
        .begin_nd()
        .unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
    std::fs::write(file, bytes).unwrap();
}

const LABELS: &str = "id,label,split,group\n\
    a,hit,train,1\nb,miss,train,1\nc,hit,validation,2\nd,miss,validation,2\n";

fn request(folder: &Path, labels: &str, values: &[f32]) -> ImportRequest {
    std::fs::write(folder.join("labels.csv"), labels).unwrap();
    write_npy(&folder.join("map.npy"), &[4, 3, 2], values);
    ImportRequest {
        name: "task".to_owned(),
        description: "a task".to_owned(),
        labels: folder.join("labels.csv"),
        positive: "hit".to_owned(),
        backbones: vec![BackboneSource {
            name: "map".to_owned(),
            file: folder.join("map.npy"),
            kind: "test".to_owned(),
            description: String::new(),
            frames_per_second: None,
        }],
        precision: Precision::F32,
        provenance: "a test".to_owned(),
        licence: "none".to_owned(),
        out: folder.join("pack"),
    }
}

fn values() -> Vec<f32> {
    (0..24_u8).map(f32::from).collect()
}

/// The error of a pack after `damage` was done to it, with the folder's name taken out.
fn error_after(damage: impl FnOnce(&Path)) -> String {
    let folder = folder();
    let request = request(folder.path(), LABELS, &values());
    import(&request).unwrap();
    damage(&request.out);
    let error = Pack::open(&request.out).unwrap_err();
    assert!(error.hint.is_some() || error.key.is_some(), "{error}");
    error
        .to_string()
        .replace(&request.out.display().to_string(), "PACK")
}

fn edit(pack: &Path, from: &str, to: &str) {
    let file = pack.join(MANIFEST);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn the_bundled_pack_opens_and_says_what_it_holds() {
    let summary = inspect(&bundled()).unwrap();
    assert_eq!(summary.backbones.len(), 5);
    let counts: Vec<(usize, usize)> = summary
        .splits
        .iter()
        .map(|split| (split.clips, split.labels["ER"]))
        .collect();
    assert_eq!(counts, [(976, 153), (388, 57), (307, 48)]);
    assert!(
        summary
            .backbones
            .iter()
            .all(|map| (map.shortest, map.longest) == (30, 30))
    );
}

#[test]
fn import_gives_back_what_it_was_given() {
    let folder = folder();
    let summary = import(&request(folder.path(), LABELS, &values())).unwrap();
    assert_eq!(summary.backbones[0].frames, 12);
    let pack = Pack::open(&folder.path().join("pack")).unwrap();
    let map = pack.backbone("map").unwrap().unwrap();
    assert_eq!(map.values, values());
    assert_eq!(map.clip(1), &values()[6..12]);
    assert!(pack.backbone("other").unwrap().is_none());
}

#[test]
fn import_takes_clips_of_different_length_by_id() {
    use safetensors::{Dtype, serialize, tensor::TensorView};
    let folder = folder();
    let mut request = request(folder.path(), LABELS, &values());
    let lengths = [("a", 2), ("b", 1), ("c", 3), ("d", 1)];
    let bytes: Vec<(&str, usize, Vec<u8>)> = lengths
        .iter()
        .map(|&(id, length)| {
            let value = f32::from(id.as_bytes()[0]);
            (
                id,
                length,
                (0..length * 2).flat_map(|_| value.to_le_bytes()).collect(),
            )
        })
        .collect();
    let views = bytes.iter().map(|(id, length, bytes)| {
        (
            *id,
            TensorView::new(Dtype::F32, vec![*length, 2], bytes).unwrap(),
        )
    });
    let file = folder.path().join("map.safetensors");
    std::fs::write(&file, serialize(views, None).unwrap()).unwrap();
    request.backbones[0].file = file;
    let summary = import(&request).unwrap();
    assert_eq!(
        (summary.backbones[0].shortest, summary.backbones[0].longest),
        (1, 3)
    );
    let map = Pack::open(&request.out)
        .unwrap()
        .backbone("map")
        .unwrap()
        .unwrap();
    assert_eq!(map.offsets, [0, 2, 3, 6, 7]);
    assert_eq!(map.clip(2), [99.0; 6]);
}

#[test]
fn import_refuses_and_writes_nothing() {
    let cases = [
        (LABELS.replace("b,miss,train", "b,miss,trian"), "no split"),
        (
            LABELS.replace("c,hit,validation,2", "c,hit,validation,1"),
            "group `1`",
        ),
        (LABELS.replace("b,miss", "a,miss"), "twice"),
        (LABELS.replace("c,hit", "c,miss"), "0 positive"),
        (
            LABELS.replace("d,miss,validation,2\n", ""),
            "features of 4 clips",
        ),
    ];
    for (labels, expected) in cases {
        let folder = folder();
        let request = request(folder.path(), &labels, &values());
        let error = import(&request).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!request.out.exists(), "{expected}");
    }
    let folder = folder();
    let mut broken = values();
    broken[7] = f32::NAN;
    let error = import(&request(folder.path(), LABELS, &broken)).unwrap_err();
    assert!(error.to_string().contains("not finite"), "{error}");
}

#[test]
fn a_damaged_pack_is_refused_with_file_and_place() {
    let features = "features.safetensors";
    let truncate = |pack: &Path| {
        let file = pack.join(features);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 9]).unwrap();
    };
    let message = error_after(truncate);
    assert!(
        message.starts_with("PACK/features.safetensors: has "),
        "{message}"
    );

    let message = error_after(|pack| std::fs::remove_file(pack.join(features)).unwrap());
    assert!(
        message.starts_with("PACK/features.safetensors: can't be read"),
        "{message}"
    );

    let message = error_after(|pack| std::fs::remove_dir_all(pack).unwrap());
    assert_eq!(message, "PACK: this feature pack does not exist");

    let message = error_after(|pack| edit(pack, "\"version\": 1", "\"version\": 2"));
    assert_eq!(
        message,
        "PACK/manifest.json: version: is 2; this build reads version 1"
    );

    let message = error_after(|pack| edit(pack, "\"dim\": 2", "\"dim\": 3"));
    assert_eq!(
        message,
        "PACK/features.safetensors: map: has width 2; the manifest says 3"
    );

    let message = error_after(|pack| edit(pack, "\"label\": \"miss\"", "\"label\": \"mis\""));
    assert_eq!(
        message,
        "PACK/manifest.json: clip b: `mis` is not one of the labels"
    );

    let message = error_after(|pack| edit(pack, "\"split\": \"train\"", "\"split\": \"trian\""));
    assert!(message.contains("trian"), "{message}");

    let flip = |pack: &Path| {
        let file = pack.join(features);
        let mut bytes = std::fs::read(&file).unwrap();
        let place = bytes
            .windows(4)
            .position(|w| w == 23.0_f32.to_le_bytes())
            .unwrap();
        bytes[place + 1] ^= 1;
        std::fs::write(&file, bytes).unwrap();
    };
    let message = error_after(flip);
    assert!(
        message.starts_with("PACK/features.safetensors: clip d: "),
        "{message}"
    );

    let poison = |pack: &Path| {
        let file = pack.join(features);
        let mut bytes = std::fs::read(&file).unwrap();
        let place = bytes
            .windows(4)
            .position(|w| w == 7.0_f32.to_le_bytes())
            .unwrap();
        bytes[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(&file, bytes).unwrap();
    };
    let message = error_after(poison);
    assert!(
        message.contains("map: clip b has a feature that is not finite"),
        "{message}"
    );
}

/// A pack of 60 training clips and two of validation, of one frame each.
fn many(folder: &Path) -> PathBuf {
    let mut labels = "id,label,split,group\n".to_owned();
    for clip in 0..62 {
        let split = if clip < 2 { "validation" } else { "train" };
        let label = if clip % 2 == 0 { "hit" } else { "miss" };
        labels += &format!("c{clip},{label},{split},{clip}\n");
    }
    let values: Vec<f32> = (0..62 * 6).map(|i| i as f32 + 0.5).collect();
    let mut request = request(folder, &labels, &self::values());
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![62, 1, 6], &bytes);
    let file = folder.join("map.safetensors");
    std::fs::write(
        &file,
        safetensors::serialize([("features", view.unwrap())], None).unwrap(),
    )
    .unwrap();
    request.backbones[0].file = file;
    import(&request).unwrap();
    request.out
}

/// Overwrites the first feature of these clips.
fn overwrite(pack: &Path, clips: &[usize], with: f32) {
    let file = pack.join("features.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    for clip in clips {
        let value = ((clip * 6) as f32 + 0.5).to_le_bytes();
        let place = bytes.windows(4).position(|w| w == value).unwrap();
        bytes[place..place + 4].copy_from_slice(&with.to_le_bytes());
    }
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_few_damaged_training_clips_are_known_and_the_others_are_what_they_were() {
    let folder = folder();
    let pack = many(folder.path());
    let whole = Pack::open_damaged(&pack).unwrap();
    assert!(whole.damage().is_none());
    for (clips, with) in [(vec![7], f32::NAN), (vec![3, 7, 61], 1e9)] {
        overwrite(&pack, &clips, with);
        assert!(Pack::open(&pack).is_err());
        let damaged = Pack::open_damaged(&pack).unwrap();
        let damage = damaged.damage().unwrap();
        assert!(damage.clips.iter().eq(&clips), "{:?}", damage.clips);
        let error = damage.error.to_string();
        assert!(error.contains("features.safetensors"), "{error}");
        let map = |pack: &Pack| pack.backbone("map").unwrap().unwrap();
        for clip in (0..62).filter(|clip| !clips.contains(clip)) {
            assert_eq!(map(&damaged).clip(clip), map(&whole).clip(clip));
        }
        std::fs::remove_dir_all(&pack).unwrap();
        many(folder.path());
    }
}

#[test]
fn a_file_that_is_cut_off_has_lost_its_last_clips() {
    let folder = folder();
    let pack = many(folder.path());
    let file = pack.join("features.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    let cut = |bytes: &[u8], count: usize| {
        std::fs::write(&file, &bytes[..bytes.len() - count]).unwrap();
        Pack::open_damaged(&pack)
    };
    // Six values of four bytes a clip: one whole clip and the end of another.
    let damaged = cut(&bytes, 30).unwrap();
    assert!(damaged.damage().unwrap().clips.iter().eq(&[60, 61]));
    let error = cut(&bytes, 24 * 4).unwrap_err().to_string();
    assert!(error.contains("4 of 60 training clips"), "{error}");
    // The header is gone too.
    let error = cut(&bytes, bytes.len() - 40).unwrap_err().to_string();
    assert!(
        error.contains("features.safetensors: has 40 bytes"),
        "{error}"
    );
}

#[test]
fn what_may_not_be_left_out_is_refused() {
    let folder = folder();
    let pack = many(folder.path());
    overwrite(&pack, &[1], f32::NAN);
    let error = Pack::open_damaged(&pack).unwrap_err().to_string();
    assert!(
        error.contains("validation clip c1 can't be used"),
        "{error}"
    );
    assert!(error.contains("only training clips"), "{error}");
    std::fs::remove_dir_all(&pack).unwrap();
    many(folder.path());
    overwrite(&pack, &[2, 3, 4, 5], f32::NAN);
    let error = Pack::open_damaged(&pack).unwrap_err().to_string();
    assert!(error.contains("4 of 60 training clips"), "{error}");
    // Damage that no clip explains.
    std::fs::remove_dir_all(&pack).unwrap();
    many(folder.path());
    let file = pack.join("features.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.push(0);
    std::fs::write(&file, bytes).unwrap();
    assert!(Pack::open_damaged(&pack).is_err());
}
