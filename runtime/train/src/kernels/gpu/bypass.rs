//! The bypass on a GPU.

use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::Argument::{Number, Read, Size, Write};
use super::{Grid, Module, backward, forward, module, size};
use crate::kernels::bypass::BypassOp;

const KERNELS: Module = module!("bypass");

#[allow(clippy::cast_possible_truncation)]
impl BypassOp {
    /// `x`, `branch` `[.., dim]` and `scale` `[dim]` → `[.., dim]`.
    pub(in crate::kernels) fn on_gpu(
        &self,
        arguments: [(&CudaStorage, &Layout); 3],
    ) -> Result<CudaStorage> {
        forward(arguments, |gpu, [x, branch, scale]| {
            let count = x.values.len();
            let mut y = gpu.room(count)?;
            let arguments = &mut [
                Read(&x.values),
                Read(&branch.values),
                Read(&scale.values),
                Write(&mut y),
                Number(self.minimum as f32),
                Number(self.maximum as f32),
                Size(size(scale.values.len())?),
                Size(size(count)?),
            ];
            gpu.launch(KERNELS, "bypass_forward", Grid::over(count), arguments)?;
            Ok(y)
        })
    }

    /// The gradients of the branch and the scale.
    pub(in crate::kernels) fn back_on_gpu(
        &self,
        branch: &Tensor,
        scale: &Tensor,
        gradient: &Tensor,
    ) -> Result<[Tensor; 2]> {
        backward([branch, scale, gradient], |gpu, [branch, scale, g]| {
            let (count, dim) = (branch.values.len(), scale.values.len());
            size(count)?;
            let rows = count.checked_div(dim).unwrap_or(0);
            let mut dbranch = gpu.room(count)?;
            let arguments = vec![
                Read(&branch.values),
                Read(&scale.values),
                Read(&g.values),
                Write(&mut dbranch),
                Number(self.minimum as f32),
                Number(self.maximum as f32),
            ];
            let dscale = gpu.column_sums(KERNELS, "bypass_backward", (rows, dim), arguments)?;
            Ok([(dbranch, branch.dims.into()), (dscale, dim.into())])
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use crate::kernels::bypass;
    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};

    fn arguments(shape: &[usize]) -> [Tensor; 3] {
        let dim = *shape.last().unwrap();
        [normals(shape, 1), normals(shape, 2), normals(&[dim], 3)]
    }

    /// Scales below, within and above the bounds; rows of one slice and of several.
    #[test]
    fn bypass_is_the_cpus() {
        let shapes: [&[usize]; 7] = [
            &[1],
            &[1, 1, 3],
            &[2, 5, 33],
            &[7, 64],
            &[3, 20, 257],
            &[2049, 2],
            &[5000, 35],
        ];
        for shape in shapes {
            agrees(
                &format!("bypass of {shape:?}"),
                &arguments(shape),
                1e-5,
                |a| bypass(&a[0], &a[1], &a[2], -0.3, 0.8),
            );
        }
        shows_nan("bypass", &arguments(&[2, 5, 33]), |a| {
            bypass(&a[0], &a[1], &a[2], -0.3, 0.8)
        });
    }

    #[test]
    fn bypass_takes_views() {
        let arguments = [
            normals(&[33, 5], 1),
            normals(&[33, 5], 2),
            normals(&[33, 2], 3),
        ];
        agrees("bypass of views", &arguments, 1e-5, |a| {
            let scale = a[2].t()?.get(1)?;
            bypass(&a[0].t()?, &a[1].t()?, &scale, -0.3, 0.8)?.t()
        });
    }
}
