//! Softmax attention and retention by head on a GPU.

use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::Argument::{self, Again, Counts, Null, Read, Write};
use super::heads::Sizes;
use super::{Gpu, Module, Values, backward, forward, module};
use crate::kernels::mixing::{MixHeads, Mixing};

const KERNELS: Module = module!("mixing");

/// What scores are multiplied with and which frames are valid, as far as that is not every frame.
pub(in crate::kernels) struct Rule {
    /// `[heads, time]`, `γⁿ`.
    powers: Option<Values>,
    lengths: Option<CudaSlice<u32>>,
}

impl Rule {
    fn powers(&self) -> Argument<'_> {
        self.powers.as_ref().map_or(Null, Again)
    }

    fn lengths(&self) -> Argument<'_> {
        self.lengths.as_ref().map_or(Null, Counts)
    }
}

impl MixHeads {
    /// The rule, which is brought to the device once.
    fn rule(&self, gpu: &Gpu<'_>, time: usize) -> Result<&Rule> {
        if let Some(rule) = self.rule.get() {
            return Ok(rule);
        }
        let rule = self.brought(gpu, time)?;
        Ok(self.rule.get_or_init(|| rule))
    }

    #[allow(clippy::cast_possible_truncation)]
    fn brought(&self, gpu: &Gpu<'_>, time: usize) -> Result<Rule> {
        let (mut powers, mut lengths) = (None, None);
        match &self.mixing {
            Mixing::Softmax { lengths: given } => {
                lengths = given.as_ref().map(|n| gpu.counts(n)).transpose()?;
            }
            Mixing::Decay { rates } => {
                let power =
                    |rate: f64, n: usize| rate.powi(i32::try_from(n).unwrap_or(i32::MAX)) as f32;
                let of_rate = |&rate: &f64| (0..time).map(move |n| power(rate, n));
                let table: Vec<f32> = rates.iter().flat_map(of_rate).collect();
                powers = Some(gpu.table(&table)?);
            }
        }
        Ok(Rule { powers, lengths })
    }

    pub(in crate::kernels) fn on_gpu(
        &self,
        packed: &CudaStorage,
        layout: &Layout,
    ) -> Result<CudaStorage> {
        forward([(packed, layout)], |gpu, [packed]| {
            let sizes = Sizes::of(packed.dims, self.heads, packed.dims[2])?;
            let rule = self.rule(gpu, sizes.time)?;
            let mut weights = gpu.room(sizes.weights())?;
            let mut y = gpu.room(sizes.frames())?;
            let arguments = [
                Read(&packed.values),
                rule.powers(),
                rule.lengths(),
                Write(&mut weights),
                Write(&mut y),
            ];
            let arguments = &mut sizes.after(arguments)?;
            gpu.launch(KERNELS, "mixing_forward", sizes.grid(), arguments)?;
            Ok(y)
        })
    }

    pub(in crate::kernels) fn back_on_gpu(
        &self,
        packed: &Tensor,
        gradient: &Tensor,
    ) -> Result<Tensor> {
        let [dpacked] = backward([packed, gradient], |gpu, [packed, g]| {
            let sizes = Sizes::of(packed.dims, self.heads, packed.dims[2])?;
            let rule = self.rule(gpu, sizes.time)?;
            let mut weights = gpu.room(sizes.weights())?;
            let mut dscores = gpu.room(sizes.weights())?;
            let mut dpacked = gpu.room(packed.values.len())?;
            let arguments = [
                Read(&packed.values),
                rule.powers(),
                rule.lengths(),
                Read(&g.values),
                Write(&mut weights),
                Write(&mut dscores),
                Write(&mut dpacked),
            ];
            let arguments = &mut sizes.after(arguments)?;
            gpu.launch(KERNELS, "mixing_backward_queries", sizes.grid(), arguments)?;
            let causal = u32::from(rule.powers.is_some());
            let arguments = [
                Read(&packed.values),
                rule.lengths(),
                Read(&g.values),
                Again(&weights),
                Again(&dscores),
                Write(&mut dpacked),
                Argument::Size(causal),
            ];
            let arguments = &mut sizes.after(arguments)?;
            gpu.launch(KERNELS, "mixing_backward_keys", sizes.grid(), arguments)?;
            Ok([(dpacked, packed.dims.into())])
        })?;
        Ok(dpacked)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::Mixing;
    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};
    use crate::kernels::mix_heads;
    use crate::layers::retention::decay_rate;

    /// `(batch, time, heads, width)`: single entries, tiles that are full, nearly full and overfull,
    /// the usual size, and many tiles of frames.
    const SHAPES: [(usize, usize, usize, usize); 8] = [
        (1, 1, 1, 1),
        (2, 5, 3, 7),
        (3, 16, 1, 16),
        (1, 17, 2, 33),
        (2, 20, 4, 64),
        (2, 47, 2, 15),
        (1, 300, 1, 5),
        (65, 2, 2, 3),
    ];

    fn packed((batch, time, heads, width): (usize, usize, usize, usize)) -> Tensor {
        normals(&[batch, time, 3 * heads * width], 1)
    }

    fn softmax(lengths: Option<Vec<usize>>) -> Mixing {
        Mixing::Softmax { lengths }
    }

    #[test]
    fn attention_is_that_of_the_cpu() {
        for shape in SHAPES {
            let (batch, time, heads, _) = shape;
            let name = format!("attention of {shape:?}");
            agrees(&name, &[packed(shape)], 1e-5, |x| {
                mix_heads(&x[0], heads, softmax(None))
            });
            // From one frame to all, and of the last clip one.
            let mut lengths: Vec<_> = (0..batch).map(|clip| clip * 7 % time + 1).collect();
            lengths[batch - 1] = 1;
            lengths[0] = time;
            agrees(&format!("masked {name}"), &[packed(shape)], 1e-5, |x| {
                mix_heads(&x[0], heads, softmax(Some(lengths.clone())))
            });
        }
    }

    #[test]
    fn retention_is_that_of_the_cpu() {
        for shape in SHAPES {
            let rates: Vec<f64> = (0..shape.2).map(decay_rate).collect();
            let name = format!("retention of {shape:?}");
            agrees(&name, &[packed(shape)], 1e-5, |x| {
                let rates = rates.clone();
                mix_heads(&x[0], shape.2, Mixing::Decay { rates })
            });
        }
    }

    #[test]
    fn sharp_scores_and_other_layouts_agree() {
        // Scores of some hundreds, whose roundings the exponential magnifies.
        let sharp = (packed((2, 20, 2, 32)) * 15.0).unwrap();
        agrees("sharp attention", &[sharp], 1e-4, |x| {
            mix_heads(&x[0], 2, softmax(Some(vec![20, 13])))
        });
        let turned = normals(&[2, 24, 19], 2);
        agrees("attention of columns", &[turned], 1e-5, |x| {
            let rows = x[0].transpose(1, 2)?;
            let rates = vec![0.5, 1.0];
            let decayed = mix_heads(&rows, 2, Mixing::Decay { rates })?;
            mix_heads(&rows, 2, softmax(None))?.add(&decayed)
        });
    }

    #[test]
    fn no_number_is_not_hidden() {
        shows_nan("attention", &[packed((2, 20, 2, 8))], |x| {
            mix_heads(&x[0], 2, softmax(None))
        });
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_is_mixed_to_nothing() {
        let gpu = Device::new_cuda(0).unwrap();
        let rows = packed((2, 4, 2, 3)).to_device(&gpu).unwrap();
        assert!(mix_heads(&rows, 4, softmax(None)).is_err());
        assert!(mix_heads(&rows, 2, softmax(Some(vec![4, 5]))).is_err());
        assert!(mix_heads(&rows, 2, softmax(Some(vec![0, 4]))).is_err());
        let none = rows.narrow(0, 0, 0).unwrap();
        let y = mix_heads(&none, 2, softmax(None)).unwrap();
        assert_eq!(y.dims(), [0, 4, 6]);
    }
}
