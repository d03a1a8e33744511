//! The mean loss of a batch on a GPU: a launch there and one back.

use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::Argument::{Number, Read, Size, Write};
use super::{Argument, Grid, Module, THREADS, backward, forward, module, size};
use crate::kernels::misfit;
use crate::loss::Loss;

const KERNELS: Module = module!("loss");

/// The mean loss of logits and targets, both `[batch]`, a scalar; targets get no gradient.
///
/// # Errors
/// When the shapes differ.
pub fn loss(loss: Loss, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    if logits.dims() != targets.dims() || logits.elem_count() == 0 {
        return Err(misfit("loss", logits.dims(), targets.dims()));
    }
    logits
        .contiguous()?
        .apply_op2(&targets.contiguous()?, MeanLoss(loss))
}

struct MeanLoss(Loss);

impl MeanLoss {
    /// Focal or not, its exponent and weight, and the smoothing.
    #[allow(clippy::cast_possible_truncation)]
    fn arguments<'a>(&self) -> [Argument<'a>; 4] {
        let (focal, gamma, alpha, smoothing) = match self.0 {
            Loss::Focal { gamma, alpha } => (1, gamma, alpha, 0.0),
            Loss::Bce => (0, 0.0, 0.0, 0.0),
            Loss::LabelSmoothing { smoothing } => (0, 0.0, 0.0, smoothing),
        };
        [
            Size(focal),
            Number(gamma as f32),
            Number(alpha as f32),
            Number(smoothing as f32),
        ]
    }
}

impl CustomOp2 for MeanLoss {
    fn name(&self) -> &'static str {
        "mean-loss"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        candle_core::bail!("the fused loss is a GPU's")
    }

    fn cuda_fwd(
        &self,
        logits: &CudaStorage,
        ll: &Layout,
        targets: &CudaStorage,
        tl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let mean = forward([(logits, ll), (targets, tl)], |gpu, [logits, targets]| {
            let mut mean = gpu.room(1)?;
            let mut arguments = vec![
                Read(&logits.values),
                Read(&targets.values),
                Write(&mut mean),
            ];
            arguments.extend(self.arguments());
            arguments.push(Size(size(logits.values.len())?));
            let grid = Grid::of_blocks(1, THREADS).sharing(THREADS);
            gpu.launch(KERNELS, "loss_forward", grid, &mut arguments)?;
            Ok(mean)
        })?;
        Ok((mean, ().into()))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        targets: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let [dlogits] = backward([logits, targets, &gradient], |gpu, [logits, targets, g]| {
            let count = logits.values.len();
            let mut dlogits = gpu.room(count)?;
            let mut arguments = vec![
                Read(&logits.values),
                Read(&targets.values),
                Read(&g.values),
                Write(&mut dlogits),
            ];
            arguments.extend(self.arguments());
            arguments.push(Size(size(count)?));
            gpu.launch(KERNELS, "loss_backward", Grid::over(count), &mut arguments)?;
            Ok([(dlogits, logits.dims.into())])
        })?;
        Ok((Some(dlogits), None))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor};

    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};
    use crate::loss::Loss;

    const LOSSES: [Loss; 4] = [
        Loss::Bce,
        Loss::LabelSmoothing { smoothing: 0.2 },
        Loss::Focal {
            gamma: 2.0,
            alpha: 0.25,
        },
        Loss::Focal {
            gamma: 0.0,
            alpha: 0.7,
        },
    ];

    /// Hard and mixed targets of so many clips.
    fn targets(count: usize, device: &Device) -> Tensor {
        let target = |i: usize| [0.0_f32, 1.0, 0.3][i % 3];
        Tensor::from_vec((0..count).map(target).collect(), count, device).unwrap()
    }

    #[test]
    fn losses_are_the_cpus() {
        for loss in LOSSES {
            for count in [1, 7, 64, 1000] {
                let mean = |x: &[Tensor]| -> Result<Tensor> {
                    loss.forward(&x[0], &targets(count, x[0].device()))
                };
                let logits = (normals(&[count], 1) * 4.0).unwrap();
                agrees(&format!("{loss:?} of {count}"), &[logits], 1e-5, mean);
            }
        }
    }

    #[test]
    fn extremes_are_finite_and_nan_is_shown() {
        let logits = Tensor::new(&[-80.0_f32, 80.0, -30.0, 30.0, 0.0], &Device::Cpu).unwrap();
        for loss in LOSSES {
            let mean = |x: &[Tensor]| loss.forward(&x[0], &targets(5, x[0].device()));
            agrees(
                &format!("{loss:?} far out"),
                std::slice::from_ref(&logits),
                1e-5,
                mean,
            );
            shows_nan(&format!("{loss:?}"), std::slice::from_ref(&logits), mean);
        }
    }

    #[test]
    fn misfits_are_refused() {
        let gpu = Device::new_cuda(0).unwrap();
        let logits = normals(&[3], 1).to_device(&gpu).unwrap();
        assert!(Loss::Bce.forward(&logits, &targets(4, &gpu)).is_err());
    }
}
