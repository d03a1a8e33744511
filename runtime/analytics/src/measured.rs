//! Which records count as measurements, in which order, and the dimensions that name their cells.

use orze_campaign::{Dimension, Domain, ExperimentId, ExperimentRecord, Group, Space, Status};

/// A completed experiment with a finite objective: the only kind that is ranked or averaged.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// The whole record.
    pub record: &'a ExperimentRecord,
    /// The value that ranks; larger is better.
    pub objective: f64,
}

impl<'a> Measured<'a> {
    /// The record as a measurement; `None` unless it is completed and its objective is finite.
    pub fn of(record: &'a ExperimentRecord) -> Option<Self> {
        let objective = record.objective.filter(|objective| objective.is_finite())?;
        (record.status == Status::Completed).then_some(Self { record, objective })
    }
}

/// The position of a record in the order of finishing; ties go by number. A record without a
/// time of finishing stands last.
pub(crate) fn finish_key(record: &ExperimentRecord) -> (i64, ExperimentId) {
    (record.finished_at_ms.unwrap_or(i64::MAX), record.id)
}

/// The finished experiments of the search, completed or failed, in the order of finishing. What
/// measures one again, such as a replicate, is none: it would count a configuration twice, and pass off
/// a repetition as an improvement.
pub fn finished(records: &[ExperimentRecord]) -> Vec<&ExperimentRecord> {
    let mut finished: Vec<_> = records
        .iter()
        .filter(|record| record.status.is_finished() && record.kind.is_search())
        .collect();
    finished.sort_by_key(|record| finish_key(record));
    finished
}

/// The measurements of the search in the order of finishing.
pub fn measured(records: &[ExperimentRecord]) -> Vec<Measured<'_>> {
    finished(records)
        .into_iter()
        .filter_map(Measured::of)
        .collect()
}

/// The measurements of the search from the best down; equal objectives in the order of finishing.
pub fn ranked(records: &[ExperimentRecord]) -> Vec<Measured<'_>> {
    let mut ranked = measured(records);
    ranked.sort_by(|a, b| b.objective.total_cmp(&a.objective));
    ranked
}

/// The dimensions that make an architecture cell: the first two of [`arch_dimensions`], such as
/// backbone and encoder. Fewer when the space has fewer.
pub fn cell_dimensions(space: &Space) -> Vec<&Dimension> {
    arch_dimensions(space).into_iter().take(2).collect()
}

/// All categorical dimensions of the group `arch`; those of whole numbers where a space names none,
/// as that of a surrogate does, whose architectures are indices.
pub fn arch_dimensions(space: &Space) -> Vec<&Dimension> {
    let of = |fits: fn(&Domain) -> bool| -> Vec<&Dimension> {
        let dimensions = space.dimensions.iter();
        dimensions
            .filter(|dimension| dimension.group == Group::Arch && fits(&dimension.domain))
            .collect()
    };
    let named = of(|domain| matches!(domain, Domain::Categorical(_)));
    if named.is_empty() {
        of(|domain| matches!(domain, Domain::Integer(_)))
    } else {
        named
    }
}

/// The learning rate, by nature and not by name: the first logarithmic float of the group `train`.
pub fn learning_rate(space: &Space) -> Option<&Dimension> {
    space.dimensions.iter().find(|dimension| {
        dimension.group == Group::Train
            && matches!(dimension.domain, Domain::Float { log: true, .. })
    })
}

/// The cell of a record: its values in `dimensions`. `None` when one of them is not set or there
/// are no dimensions.
pub fn cell(record: &ExperimentRecord, dimensions: &[&Dimension]) -> Option<Vec<String>> {
    if dimensions.is_empty() {
        return None;
    }
    dimensions
        .iter()
        .map(|dimension| Some(record.config.get(&dimension.name)?.to_string()))
        .collect()
}

/// Whether a surrogate gave a result of this record; such results are no measurements.
pub fn is_surrogate(record: &ExperimentRecord) -> bool {
    record.trainer == "surrogate"
}
