//! Sizes of kernels whose blocks have a tile of frames of one head of one clip.

use candle_core::Result;

use super::{Argument, Grid, size};
use crate::kernels::heads::scale;

/// Frames of a tile, and the side of a block.
const TILE: usize = 16;

/// Sizes of packed queries, keys and values.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub batch: usize,
    pub time: usize,
    pub heads: usize,
    pub width: usize,
}

impl Sizes {
    /// Of packed rows that hold `vectors` entries of queries, keys and values.
    ///
    /// # Errors
    /// When one clip is beyond what kernels can index.
    pub fn of(dims: &[usize], heads: usize, vectors: usize) -> Result<Self> {
        let &[batch, time, stride] = dims else {
            candle_core::bail!("packed rows have three dimensions, not {}", dims.len());
        };
        // Kernels step from clip to clip in 64 bits, within one in 32; tiles reach beyond its end.
        let padded = time.next_multiple_of(TILE);
        size(padded.saturating_mul(padded.max(stride.next_multiple_of(TILE))))?;
        Ok(Self {
            batch,
            time,
            heads,
            width: vectors / (3 * heads),
        })
    }

    pub fn blocks(self) -> usize {
        self.batch * self.heads * self.time.div_ceil(TILE)
    }

    /// Entries of `[batch, heads, time, time]`.
    pub fn weights(self) -> usize {
        self.batch * self.heads * self.time * self.time
    }

    /// Entries of `[batch, time, heads · width]`.
    pub fn frames(self) -> usize {
        self.batch * self.time * self.heads * self.width
    }

    pub fn grid(self) -> Grid {
        Grid {
            blocks: (self.blocks(), 1, 1),
            threads: (TILE, TILE, 1),
            shared: 0,
        }
    }

    /// `float scale, unsigned time, unsigned heads, unsigned width` after others.
    ///
    /// # Errors
    /// Beyond 2³² − 1.
    pub fn after<'a, const N: usize>(
        self,
        arguments: [Argument<'a>; N],
    ) -> Result<Vec<Argument<'a>>> {
        let mut all = Vec::from(arguments);
        all.push(Argument::Number(scale(self.width)));
        for entry in [self.time, self.heads, self.width] {
            all.push(Argument::Size(size(entry)?));
        }
        Ok(all)
    }
}
