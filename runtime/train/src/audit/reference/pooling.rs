//! From frames to one vector. Paper D.5 for attention.

/// What attention pooling has learned.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// `[dim]`.
    pub query: &'a [f64],
    /// `[dim, dim]`, row by row.
    pub key: &'a [f64],
}

/// One clip's frames, all valid, `[frames, dim]` row by row → `[dim]`. `None` for a name that is none,
/// or attention without its parameters.
#[allow(clippy::cast_precision_loss)]
pub fn pool(
    name: &str,
    frames: &[f64],
    dim: usize,
    attention: Option<Attention<'_>>,
) -> Option<Vec<f64>> {
    let rows = || frames.chunks_exact(dim);
    let count = rows().len();
    match name {
        "mean" => {
            let mut sum = vec![0.0; dim];
            rows().for_each(|row| sum.iter_mut().zip(row).for_each(|(s, x)| *s += x));
            Some(sum.into_iter().map(|s| s / count as f64).collect())
        }
        "last" => rows().last().map(<[f64]>::to_vec),
        "max" => {
            let mut most = vec![f64::NEG_INFINITY; dim];
            rows().for_each(|row| most.iter_mut().zip(row).for_each(|(m, &x)| *m = m.max(x)));
            Some(most)
        }
        "attention" => {
            let Attention { query, key } = attention?;
            let scores: Vec<f64> = rows()
                .map(|row| {
                    let keyed = key.chunks_exact(dim).zip(query);
                    let score: f64 = keyed.map(|(key, q)| q * dot(key, row)).sum();
                    score / (dim as f64).sqrt()
                })
                .collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let shares: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
            let total: f64 = shares.iter().sum();
            let mut sum = vec![0.0; dim];
            for (row, share) in rows().zip(shares) {
                let each = sum.iter_mut().zip(row);
                each.for_each(|(s, x)| *s += share / total * x);
            }
            Some(sum)
        }
        _ => None,
    }
}

/// The scalar product.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::reference::testing::{list, vector};

    #[test]
    fn reference_vector_of_attention() {
        let file = vector("attention_pooling");
        let (query, key) = (&file["params"]["q"]["data"], &file["params"]["w_k"]["data"]);
        let (query, key) = (list(query), list(key));
        let attention = Attention {
            query: &query,
            key: &key,
        };
        let x = list(&file["inputs"]["x"]["data"]);
        let pooled: Vec<f64> = x
            .chunks_exact(7 * 8)
            .flat_map(|clip| pool("attention", clip, 8, Some(attention)).unwrap())
            .collect();
        for (pooled, expected) in pooled.iter().zip(list(&file["output"]["data"])) {
            assert!((pooled - expected).abs() < 1e-12, "{pooled} {expected}");
        }
    }

    #[test]
    fn the_others_by_hand() {
        let frames = [1.0, 6.0, 3.0, 2.0];
        assert_eq!(pool("mean", &frames, 2, None), Some(vec![2.0, 4.0]));
        assert_eq!(pool("last", &frames, 2, None), Some(vec![3.0, 2.0]));
        assert_eq!(pool("max", &frames, 2, None), Some(vec![3.0, 6.0]));
        assert_eq!(pool("attention", &frames, 2, None), None);
        assert_eq!(pool("median", &frames, 2, None), None);
    }
}
