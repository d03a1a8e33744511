//! A mixed batch, taken apart: the share that its clips kept and who each was mixed with.

use super::bounds::square_limit;
use super::inputs::{Rows, TOLERANCE};

/// Clips of a batch that are taken apart; partners are looked for among all.
const TAKEN_APART: usize = 20;
/// Shares that are tried on all of them.
const CANDIDATES: usize = 12;

/// What a batch was mixed of.
#[derive(Debug)]
pub struct Mixture {
    /// The share λ that explains all of it best.
    pub share: f64,
    /// How far λ may be off.
    uncertainty: f64,
    /// The sum of squares that λ and the best partners leave unexplained.
    pub square: f64,
    /// How many values that is of.
    pub freedom: f64,
    /// How many of them the choice of λ and of the best of all partners may have used up.
    pub fitted: f64,
    /// What each clip that was taken apart may be mixed with: partners, and the squares that they leave.
    partners: Vec<Vec<(usize, f64)>>,
}

impl Mixture {
    /// Takes a batch apart.
    pub fn of(rows: &Rows<'_>, noise: f64) -> Self {
        let taken = rows.clean.len().min(TAKEN_APART);
        let mut shares: Vec<f64> = (0..taken)
            .filter_map(|place| {
                let fits = partners(rows, place).filter_map(|partner| fit(rows, place, partner));
                let best = fits.min_by(|a, b| a.1.total_cmp(&b.1));
                best.map(|(share, _)| share)
            })
            .collect();
        shares.sort_by(f64::total_cmp);
        let step = shares.len().div_ceil(CANDIDATES).max(1);
        let candidates = shares.into_iter().step_by(step).chain([1.0]);
        let explained = candidates.map(|share| (share, unexplained(rows, taken, share)));
        let best = explained.min_by(|a, b| total(&a.1).total_cmp(&total(&b.1)));
        let (share, partners) = best.unwrap_or((1.0, Vec::new()));
        // Once more, by all clips together.
        let (mut over, mut under) = (0.0, 0.0);
        for (place, fits) in partners.iter().enumerate() {
            if let Some(&(partner, _)) = nearest(fits) {
                for (x, c, d) in triples(rows, place, partner) {
                    over += (x - d) * (c - d);
                    under += (c - d) * (c - d);
                }
            }
        }
        let share = if under > 0.0 { over / under } else { share };
        let partners = unexplained(rows, taken, share);
        let values = |place: usize| rows.lengths[place] * rows.dim;
        #[allow(clippy::cast_precision_loss)]
        let freedom = (0..taken).map(values).sum::<usize>() as f64;
        #[allow(clippy::cast_precision_loss)]
        let fitted = 1.0 + taken as f64 * 2.0 * (rows.clean.len() as f64).ln();
        Self {
            share,
            uncertainty: 6.0 * (noise + 1e-6) / under.max(1e-12).sqrt(),
            square: total(&partners),
            freedom,
            fitted,
            partners,
        }
    }

    /// What is wrong with the batch: clips that no partner explains, or targets that were not mixed as
    /// the clips were.
    pub fn wrong(
        &self,
        rows: &Rows<'_>,
        (labels, targets): (&[f64], &[f64]),
        noise: f64,
    ) -> Option<String> {
        let share = self.share;
        let slack = TOLERANCE + self.uncertainty.min(1.0);
        if !(-slack..=1.0 + slack).contains(&share) {
            return Some(format!("clips were mixed with a share of {share:.3}"));
        }
        for (place, fits) in self.partners.iter().enumerate() {
            let scale = 1.0
                + rows.clean[place]
                    .values
                    .iter()
                    .fold(0.0, |m: f64, v| m.max(v.abs()));
            #[allow(clippy::cast_precision_loss)]
            let freedom = (rows.lengths[place] * rows.dim) as f64;
            let allowed = 1.1 * noise * noise * square_limit(freedom)
                + freedom * (4.0 * TOLERANCE * scale).powi(2);
            let mut possible = fits.iter().filter(|(_, square)| *square <= allowed);
            if possible.clone().next().is_none() {
                return Some(
                    "a clip of a mixed batch is no mixture of two of its clips with the share of \
                     the others"
                        .to_owned(),
                );
            }
            let target = targets.get(place).copied().unwrap_or(f64::NAN);
            let fits = possible.any(|&(partner, _)| {
                let mixed = share * labels[place] + (1.0 - share) * labels[partner];
                (mixed - target).abs() <= slack + 4.0 * TOLERANCE
            });
            if !fits {
                return Some(format!(
                    "clips were mixed with a share of {share:.3}, a target was {target:.3}: not the \
                     labels mixed alike"
                ));
            }
        }
        None
    }
}

/// Clips that a clip may be mixed with, itself included: the frames that both have are used.
fn partners(rows: &Rows<'_>, place: usize) -> impl Iterator<Item = usize> {
    let own = rows.clean[place].frames;
    let length = rows.lengths[place];
    (0..rows.clean.len()).filter(move |&other| rows.clean[other].frames.min(own) == length)
}

/// Values as given, of the clip and of its partner.
fn triples(rows: &Rows<'_>, place: usize, partner: usize) -> impl Iterator<Item = (f64, f64, f64)> {
    let partner = rows.clean[partner].values.iter().copied();
    rows.pairs(place).zip(partner).map(|((x, c), d)| (x, c, d))
}

/// The share of a clip against this partner that leaves the least, and what it leaves.
fn fit(rows: &Rows<'_>, place: usize, partner: usize) -> Option<(f64, f64)> {
    if partner == place {
        return None;
    }
    let (mut over, mut under) = (0.0, 0.0);
    for (x, c, d) in triples(rows, place, partner) {
        over += (x - d) * (c - d);
        under += (c - d) * (c - d);
    }
    (under > 0.0).then(|| (over / under, left(rows, place, partner, over / under)))
}

/// The sum of squares that a share and a partner leave.
fn left(rows: &Rows<'_>, place: usize, partner: usize, share: f64) -> f64 {
    let each = triples(rows, place, partner);
    each.map(|(x, c, d)| (x - share * c - (1.0 - share) * d).powi(2))
        .sum()
}

/// For each clip its possible partners, and what each leaves at this share.
fn unexplained(rows: &Rows<'_>, taken: usize, share: f64) -> Vec<Vec<(usize, f64)>> {
    let of = |place| {
        partners(rows, place)
            .map(|partner| (partner, left(rows, place, partner, share)))
            .collect()
    };
    (0..taken).map(of).collect()
}

fn nearest(fits: &[(usize, f64)]) -> Option<&(usize, f64)> {
    fits.iter().min_by(|a, b| a.1.total_cmp(&b.1))
}

/// What the best partners leave.
fn total(clips: &[Vec<(usize, f64)>]) -> f64 {
    let left = clips.iter().filter_map(|fits| nearest(fits));
    left.map(|(_, square)| square).sum()
}
