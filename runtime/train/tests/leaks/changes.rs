//! What is done to clips.

use orze_train::pack::Split;

use crate::packs::Clip;

impl Clip {
    /// Changes every value of every backbone.
    pub fn each(&mut self, mut change: impl FnMut(f32) -> f32) {
        for rows in self.frames.values_mut() {
            for value in rows.iter_mut().flatten() {
                *value = change(*value);
            }
        }
    }

    /// Appends a column to `raw`, whose value may depend on the frame.
    pub fn column(&mut self, mut value: impl FnMut(usize) -> f32) {
        let rows = self.frames.get_mut("raw").unwrap();
        for (frame, row) in rows.iter_mut().enumerate() {
            row.push(value(frame));
        }
    }
}

/// Copies of the first `count` clips of a split, in another split, under ids and a group of their own.
pub fn copies(clips: &[Clip], from: Split, to: Split, count: usize) -> Vec<Clip> {
    let chosen = clips.iter().filter(|clip| clip.split == from).take(count);
    let copy = |clip: &Clip| Clip {
        id: format!("copy-{}", clip.id),
        split: to,
        group: "visitor".to_owned(),
        ..clip.clone()
    };
    chosen.map(copy).collect()
}
