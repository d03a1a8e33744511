//! The masks of a forward pass, one a resolution.

use candle_core::Result;

use crate::mask::Mask;

/// Masks by resolution; none where nothing is padded.
pub(super) struct Masks(Vec<(usize, Option<Mask>)>);

impl Masks {
    /// The masks at these resolutions, each made once.
    pub fn new(mask: Option<&Mask>, resolutions: impl Iterator<Item = usize>) -> Result<Self> {
        let Some(mask) = mask else {
            return Ok(Self(Vec::new()));
        };
        let mut masks: Vec<(usize, Option<Mask>)> = Vec::new();
        for resolution in resolutions {
            if masks.iter().any(|(known, _)| *known == resolution) {
                continue;
            }
            let own = match resolution {
                1 => Some(mask.clone()),
                coarser => mask.downsampled(coarser)?,
            };
            masks.push((resolution, own));
        }
        Ok(Self(masks))
    }

    /// The mask of frames at a resolution.
    pub fn at(&self, resolution: usize) -> Option<&Mask> {
        let found = self.0.iter().find(|(known, _)| *known == resolution);
        found.and_then(|(_, mask)| mask.as_ref())
    }
}
