//! Clips as a few numbers a column.

use crate::pack::Backbone;

/// What a clip's frames are summed up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Mean over time.
    Mean,
    /// Least value.
    Least,
    /// Largest value.
    Largest,
    /// Value of the first frame.
    First,
    /// Value of the last frame.
    Last,
}

impl Statistic {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Mean,
        Self::Least,
        Self::Largest,
        Self::First,
        Self::Last,
    ];

    /// As messages say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Least => "least value",
            Self::Largest => "largest value",
            Self::First => "first frame",
            Self::Last => "last frame",
        }
    }

    /// The statistic of each column of a clip.
    #[allow(clippy::cast_precision_loss)]
    pub fn of(self, map: &Backbone, clip: usize) -> Vec<f32> {
        let frames = map.clip(clip);
        let folded = |fold: fn(f32, f32) -> f32| {
            let mut rows = frames.chunks_exact(map.dim);
            let mut found = rows.next().map(<[f32]>::to_vec).unwrap_or_default();
            for row in rows {
                for (found, &value) in found.iter_mut().zip(row) {
                    *found = fold(*found, value);
                }
            }
            found
        };
        match self {
            Self::Mean => {
                let count = (frames.len() / map.dim) as f32;
                let mut sums = folded(|a, b| a + b);
                sums.iter_mut().for_each(|sum| *sum /= count);
                sums
            }
            Self::Least => folded(f32::min),
            Self::Largest => folded(f32::max),
            Self::First => frames[..map.dim].to_vec(),
            Self::Last => frames[frames.len() - map.dim..].to_vec(),
        }
    }
}
