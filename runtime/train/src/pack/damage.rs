//! A pack of which some clips were damaged after it was made: what of it can still be trusted.
//!
//! Each clip has a hash of its own in the manifest, so that one whose hash agrees is what it was, no
//! matter what became of the rest of the file.

use std::collections::BTreeSet;
use std::path::Path;

use orze_campaign::InputError;

use super::manifest::{MANIFEST, Manifest, Split};
use super::open::Pack;

/// The largest share of the training clips that may be left out.
const MOST_DROPPED: f64 = 0.05;

/// What is wrong with a pack.
#[derive(Debug, Clone)]
pub struct Damage {
    /// The first thing that is wrong, with its file.
    pub error: InputError,
    /// The clips that can't be used, by their index in the manifest.
    pub clips: BTreeSet<usize>,
}

impl Damage {
    /// Whether the pack can be used without these clips: they are few, and only training clips. A
    /// score over fewer validation or test clips would be another metric.
    ///
    /// # Errors
    /// Says what is in the way.
    fn can_be_left_out(&self, manifest: &Manifest) -> Result<(), String> {
        for &clip in &self.clips {
            let clip = &manifest.clips[clip];
            if clip.split != Split::Train {
                return Err(format!(
                    "{} clip {} can't be used; only training clips may be left out",
                    clip.split.name(),
                    clip.id
                ));
            }
        }
        let clips = manifest.clips.iter();
        let all = clips.filter(|clip| clip.split == Split::Train).count();
        #[allow(clippy::cast_precision_loss)]
        if self.clips.len() as f64 > MOST_DROPPED * all as f64 {
            return Err(format!(
                "{} of {all} training clips can't be used; at most 5 % may be left out",
                self.clips.len()
            ));
        }
        Ok(())
    }
}

impl Pack {
    /// As [`Pack::open`], but a pack with a few damaged training clips opens too, with its damage.
    ///
    /// # Errors
    /// As [`Pack::open`], and for damage that can't be left out.
    pub fn open_damaged(folder: &Path) -> Result<Self, InputError> {
        let mut pack = Self::read(folder)?;
        let Err(error) = pack.check() else {
            return Ok(pack);
        };
        let error = error.in_file(pack.folder().join(&pack.manifest().features.file));
        let Some(clips) = pack.damaged_clips() else {
            return Err(error);
        };
        let damage = Damage { error, clips };
        if let Err(why) = damage.can_be_left_out(pack.manifest()) {
            return Err(InputError {
                message: format!("{}; {why}", damage.error.message),
                ..damage.error
            });
        }
        pack.damaged(damage);
        Ok(pack)
    }

    /// The clips whose features are not finite or not those of their hash; `None` where that does
    /// not explain what is wrong.
    fn damaged_clips(&mut self) -> Option<BTreeSet<usize>> {
        // What is cut off is read as zeros, which have another hash.
        self.pad()?;
        let broken = self.clips_with_errors().ok()?;
        let clips: BTreeSet<usize> = broken.into_iter().map(|(clip, _)| clip).collect();
        (!clips.is_empty()).then_some(clips)
    }

    /// Whether a folder holds the files of a pack, in whatever state.
    pub fn is_there(folder: &Path) -> bool {
        if !folder.join(MANIFEST).is_file() {
            return false;
        }
        // A manifest that can't be read is a damage of a pack that is there.
        Manifest::read(folder).map_or(true, |(manifest, _)| {
            folder.join(manifest.features.file).is_file()
        })
    }
}
